//! Whose connections are listed? Those of every network namespace in which a server may be.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use evenkeel_toa::namespaces;
use testbed::{Network, Process, Size, wait_for};

use crate::balancer::DEADLINE;

/// The numbers of all namespaces that are found.
fn found() -> Vec<u64> {
    let mut found = Vec::new();
    namespaces::each(|_, namespace| {
        found.push(namespace.metadata().unwrap().ino());
        Ok(())
    })
    .unwrap();
    found
}

fn number(path: PathBuf) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[test]
fn namespaces_with_a_name_and_those_with_processes_only() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let backend = &network.backends[0];
    let named = number(PathBuf::from("/run/netns").join(backend.namespace()));
    // As in a container: nobody has given its namespace a name.
    let words = ["unshare", "--net", "sh", "-c", "echo inside; exec sleep 1000"];
    let mut container: Process = backend.spawn(&words).unwrap();
    container.wait_for_output("inside", DEADLINE).unwrap();
    let nameless = number(PathBuf::from(format!("/proc/{}/ns/net", container.id())));
    let own = number("/proc/self/ns/net".into());
    assert!(named != nameless && named != own && nameless != own);

    let seen = found();
    for (what, number) in [("own", own), ("named", named), ("nameless", nameless)] {
        assert_eq!(seen.iter().filter(|other| **other == number).count(), 1, "{what} {number} of {seen:?}");
    }
    drop(container);
    wait_for("the end of it", DEADLINE, || !found().contains(&nameless)).unwrap();
}
