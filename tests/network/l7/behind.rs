//! Layer 7 on a host of its own, behind Layer 4: do it and its members hear of the client? (Requirements DP6.)

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use testbed::{Host, Network, Process, Size};

use crate::{
    balancer::{Balancer, DEADLINE, Settings},
    l7::echo::Echo,
    receiver::{Receiver, TRUSTED},
};

/// Where the second layer listens: its own host's network, so that the first one finds it as it finds backends.
const SECOND: &str = "192.0.2.100";

/// The daemon on the second layer's host, in the receiver's cgroup.
struct Layer7 {
    _process: Process,
    pins: PathBuf,
    directory: TempDir,
}

impl Layer7 {
    fn start(host: &Host, member: &Host, receiver: &Receiver) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let [config, log] = ["evenkeel.toml", "access.log"].map(|name| directory.path().join(name));
        let text = format!(
            "[host]\ninterfaces = [\"eth0\"]\nlocal_addresses = [\"100.64.1.0/28\"]\nmax_sessions = 1024\n\
             [[load_balancer]]\nname = \"second\"\nvip = \"{SECOND}\"\n\
             access_log = {{ path = {log:?}, format = \"json\" }}\n\
             [[load_balancer.listener]]\nname = \"web\"\nprotocol = \"http\"\nport = 80\npool = \"web\"\n\
             [[pool]]\nname = \"web\"\nprotocol = \"http\"\n\
             [[pool.member]]\naddress = \"{}\"\nport = 8080\n",
            member.address()
        );
        fs::write(&config, text).unwrap();
        let program = testbed::binary("evenkeel").unwrap();
        let pins = host.pins();
        let words = [&program, &config, &pins, directory.path()].map(|path: &Path| path.to_str().unwrap());
        let [program, config, pin_dir, state] = words;
        let run = [program, "run", "--config", config, "--pin-dir", pin_dir, "--state-dir", state];
        let mut process = receiver.serve(host, &run);
        process.wait_for_output("evenkeel: ready", DEADLINE).unwrap();
        Self { _process: process, pins, directory }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("access.log")
    }
}

impl Drop for Layer7 {
    /// With its pins the data path goes.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.pins) {
            eprintln!("{} stays behind: {error}", self.pins.display());
        }
    }
}

#[test]
fn the_client_is_known_on_the_second_layer_and_behind_it() {
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    let [second, last] = &network.backends[..] else { unreachable!() };
    let receiver = Receiver::new(second);
    let layer7 = Layer7::start(second, last, &receiver);
    receiver.attach(TRUSTED);
    let _echo = Echo::start(last);

    // The first layer knows one backend, by the address that the second one listens at.
    let pool = "[[pool.member]]\naddress = \"192.0.2.100\"\nport = 80\n";
    let balancer = Balancer::start_in(network, Settings { weights: vec![], pool, ..Settings::default() });
    let answer = balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/"]);
    let client = balancer.network.client().address();
    assert!(answer.starts_with("backend2\n"), "{answer}");
    assert!(answer.to_lowercase().contains(&format!("\nx-forwarded-for: {client}\r\n")), "{answer}");
    assert_eq!(receiver.total("with_toa"), 1);

    let log = layer7.log();
    testbed::wait_for("a line", DEADLINE, || fs::read_to_string(&log).unwrap().contains("\"status\":200"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert!(line["remote_addr"].as_str().unwrap().starts_with(&format!("{client}:")), "{line}");
    // Before its network, so that it can end in good order.
    drop(layer7);
}
