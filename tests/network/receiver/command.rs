//! The receiver's command, and a cgroup of the test's own for the servers.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use evenkeel_toa::cgroup::Cgroup;
use serde_json::Value;
use testbed::{Host, Process, wait_for};

use crate::balancer::DEADLINE;

/// Local addresses of the balancer, as in the tests' configuration.
pub const TRUSTED: &str = "100.64.0.0/24";

/// The receiver's command, a cgroup for the servers, and a directory for the pins.
pub struct Receiver {
    pub program: PathBuf,
    pub cgroup: PathBuf,
    pins: PathBuf,
}

impl Receiver {
    /// Attaches nothing yet. The names are those of a namespace, so that they are nobody else's.
    pub fn new(host: &Host) -> Self {
        let program = testbed::binary("evenkeel-toa").unwrap();
        let pins = PathBuf::from(format!("{}-toa", host.pins().display()));
        let cgroup = Cgroup::root().unwrap().path().join(host.namespace());
        fs::create_dir(&cgroup).unwrap();
        Self { program, cgroup, pins }
    }

    /// A new receiver that replaces one that may be there.
    pub fn attach(&self, trusted: &str) -> String {
        let cgroup = self.cgroup.to_str().unwrap();
        self.run(&["run", "--trusted", trusted, "--cgroup", cgroup])
    }

    pub fn detach(&self) -> String {
        self.run(&["detach"])
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["status", "-o", "json"])).unwrap()
    }

    /// How many connections were counted under this name.
    pub fn total(&self, name: &str) -> u64 {
        self.status()["total"][name].as_u64().unwrap()
    }

    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// Clients of all open connections.
    pub fn clients(&self) -> Vec<SocketAddr> {
        let list = self.run(&["lookup"]);
        list.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }

    pub fn run(&self, words: &[&str]) -> String {
        let output = Command::new(&self.program).args(words).arg("--pin").arg(&self.pins).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command that must fail says.
    pub fn refused(&self, words: &[&str]) -> String {
        let output = Command::new(&self.program).args(words).arg("--pin").arg(&self.pins).output().unwrap();
        assert!(!output.status.success(), "{words:?} was accepted");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts a server on this host, in the receiver's cgroup.
    pub fn serve(&self, host: &Host, words: &[&str]) -> Process {
        self.serve_in(host, &self.cgroup, words)
    }

    /// As [`Self::serve`], as a container would be: in a cgroup below and with a cgroup namespace of its own.
    pub fn serve_in_container(&self, host: &Host, words: &[&str]) -> Process {
        let inner = self.cgroup.join("container");
        fs::create_dir(&inner).unwrap();
        self.serve_in(host, &inner, &[&["unshare", "--cgroup"], words].concat())
    }

    fn serve_in(&self, host: &Host, cgroup: &Path, words: &[&str]) -> Process {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", cgroup.display());
        host.spawn(&[&["sh", "-c", &enter, "sh"], words].concat()).unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.pins.exists() {
            self.detach();
        }
        for cgroup in [self.cgroup.join("container"), self.cgroup.clone()].iter().filter(|path| path.exists())
        {
            // Servers go before their receiver, and what they forked follows soon.
            if let Err(error) = wait_for("an empty cgroup", DEADLINE, || fs::remove_dir(cgroup).is_ok()) {
                eprintln!("{} stays behind: {error:#}", cgroup.display());
            }
        }
    }
}
