//! Does a member at weight 0 keep what it has and get nothing new, and does a bad file change nothing?

use std::{fs, time::Duration};

use nix::sys::signal::Signal;
use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings},
    servers,
};

#[test]
fn a_download_outlives_its_members_weight() {
    let mut balancer = Balancer::start(Settings { weights: vec![1, 1], ..Settings::default() });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("large"), vec![7; 16 << 20]).unwrap();
    let _servers = servers::nginx_on_each(&balancer.network.backends, directory.path());
    let get = ["curl", "-sS", "--max-time", "20", "http://203.0.113.10/"];

    let arrived = directory.path().join("arrived");
    let slowly = ["curl", "-sSf", "--limit-rate", "4M", "-o", arrived.to_str().unwrap()];
    let mut download =
        balancer.network.client().spawn(&[&slowly[..], &["http://203.0.113.10/large"]].concat()).unwrap();
    wait_for("the download's start", DEADLINE, || fs::metadata(&arrived).is_ok_and(|file| file.len() > 0))
        .unwrap();
    // It stands still, so that it cannot be over before the weights have changed.
    download.signal(Signal::SIGSTOP).unwrap();
    let drained = (0..2).find(|&n| balancer.member(n)["sessions_open"] == 1).unwrap();
    let name = balancer.network.backends[1 - drained].name().to_owned();

    balancer.settings.weights[drained] = 0;
    balancer.reload();
    assert_eq!(balancer.member(drained)["state"], "draining");
    for _ in 0..6 {
        assert_eq!(balancer.client(&get).trim(), name);
    }
    assert!(download.status().unwrap().is_none(), "it still runs");
    assert_eq!(balancer.member(drained)["sessions_open"], 1);

    balancer.reload_nonsense("[host]\ninterfaces = 7\n");
    assert!(balancer.log().contains("evenkeel.toml:2: host.interfaces: "), "{}", balancer.log());
    assert_eq!(balancer.client(&get).trim(), name, "a bad file changes nothing");

    download.signal(Signal::SIGCONT).unwrap();
    wait_for("the download's end", Duration::from_mins(1), || download.status().unwrap().is_some()).unwrap();
    assert!(download.status().unwrap().unwrap().success(), "{}", download.log());
    assert_eq!(fs::metadata(&arrived).unwrap().len(), 16 << 20);

    balancer.settings.weights[drained] = 1;
    balancer.reload();
    let answers: String = (0..4).map(|_| balancer.client(&get)).collect();
    assert_eq!(answers.matches(&name).count(), 2, "{answers}");
}
