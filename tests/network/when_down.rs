//! What does a client hear while no member takes connections?

use std::{fs, io::ErrorKind, net::TcpStream, path::PathBuf, time::Duration};

use serde_json::Value;

use crate::balancer::{Balancer, DEADLINE, Family, Settings};

fn connect(balancer: &Balancer, patience: Duration) -> ErrorKind {
    let vip = balancer.settings.vip();
    balancer
        .network
        .client()
        .enter(|| TcpStream::connect_timeout(&vip, patience))
        .unwrap()
        .unwrap_err()
        .kind()
}

/// Runs the balancer's own program on the client's interface too, where it passes everything: a frame that a virtual
/// interface answers by XDP_TX reaches the other end at once only if that runs XDP.
fn let_answers_arrive(balancer: &Balancer) {
    let versions = fs::read_dir(balancer.pins()).unwrap().map(|entry| entry.unwrap().path());
    let mut files = versions.filter(|path| path.is_dir()).flat_map(|path| fs::read_dir(path).unwrap());
    let link: PathBuf = files
        .find_map(|file| Some(file.unwrap().path()).filter(|path| path.to_str().unwrap().ends_with("front")))
        .unwrap();
    let words = ["bpftool", "--json", "link", "show", "pinned", link.to_str().unwrap()];
    let shown: Value = serde_json::from_str(&balancer.network.balancer.run(&words).unwrap()).unwrap();
    let id = shown["prog_id"].as_u64().unwrap().to_string();
    balancer.client(&["bpftool", "net", "attach", "xdp", "id", &id, "dev", "eth0"]);
}

#[test]
fn nothing_or_a_reset() {
    for clients in [Family::V4, Family::V6] {
        let settings = Settings { weights: vec![0], ..Settings::between(clients, Family::V4) };
        let mut balancer = Balancer::start(settings);
        assert_eq!(connect(&balancer, Duration::from_secs(1)), ErrorKind::TimedOut);
        assert!(balancer.counter("drop_no_member") > 0);
        assert_eq!(balancer.counter("reset_no_member"), 0);

        let_answers_arrive(&balancer);
        balancer.settings.listener = "when_down = \"reset\"".into();
        balancer.reload();
        assert_eq!(connect(&balancer, DEADLINE), ErrorKind::ConnectionRefused, "{clients:?}");
        assert!(balancer.counter("reset_no_member") > 0);
        let status = balancer.ask("status");
        assert!(status["listeners"][0]["refused"]["no_member"].as_u64() > Some(1));
        assert_eq!(balancer.open_sessions(), 0);
    }
}
