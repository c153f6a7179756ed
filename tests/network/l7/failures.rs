//! What does a client see of members that fail?

use std::net::TcpListener;

use nix::sys::signal::Signal;
use testbed::{Host, Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{echo::Echo, http, nginx},
    servers,
};

const STATUS: [&str; 7] = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w%{http_code}"];

fn status(balancer: &Balancer, words: &[&str]) -> String {
    balancer.client(&[&STATUS[..], words].concat())
}

#[test]
fn a_member_killed_under_load_fails_no_request() {
    let pool = "protocol = \"http\"\nhealth = { protocol = \"tcp\", interval = \"1s\" }";
    let balancer = Balancer::start(Settings { pool, ..http(3) });
    let directory = tempfile::tempdir().unwrap();
    let mut servers = nginx(&balancer, directory.path());
    let is_up = |member: usize| balancer.member(member)["health"] == "up";
    wait_for("members", DEADLINE, || (0..servers.len()).all(is_up)).unwrap();

    let url = format!("http://{VIP}/");
    let load = ["wrk", "-t2", "-c16", "-d6s", "--timeout", "10s", &url];
    let mut load = balancer.network.client().spawn(&load).unwrap();
    let served = |n: usize| {
        let log = directory.path().join(balancer.network.backends[n].name()).join("access.log");
        std::fs::metadata(log).map_or(0, |file| file.len())
    };
    wait_for("requests", DEADLINE, || served(1) > 10_000).unwrap();
    servers[1].signal(Signal::SIGKILL).unwrap();
    wait_for("the kill", DEADLINE, || servers[1].status().unwrap().is_some()).unwrap();
    let (first, killed) = (served(0), served(1));
    wait_for("more requests", DEADLINE, || served(0) > first + 10_000).unwrap();
    wait_for("the load's end", DEADLINE, || load.status().unwrap().is_some()).unwrap();
    let report = load.log();
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    assert!(served(0) > first && served(1) == killed, "{report}");
}

#[test]
fn another_member_is_asked_only_if_the_request_may_be_made_twice() {
    let balancer = Balancer::start(http(2));
    let echos: Vec<_> = balancer.network.backends.iter().map(Echo::start).collect();
    let asked = || echos.iter().map(Echo::requests).sum::<usize>();

    assert_eq!(status(&balancer, &["http://203.0.113.10/hang-up"]), "502");
    assert_eq!(asked(), 2, "each member once");
    assert_eq!(status(&balancer, &["-X", "POST", "http://203.0.113.10/hang-up"]), "502");
    assert_eq!(asked(), 3, "the first one may have acted on it");
}

/// With the pool's `on_down`.
#[test]
fn a_request_at_a_member_that_goes_down_is_answered_by_another() {
    let pool = "protocol = \"http\"\non_down = \"reset\"\n\
                health = { protocol = \"tcp\", port = 8081, interval = \"1s\", retries = 1 }";
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    let checked = |backend: &Host| backend.enter(|| TcpListener::bind((backend.address(), 8081))).unwrap();
    let [silent, _well] = [0, 1].map(|number| checked(&network.backends[number]).unwrap());
    let balancer = Balancer::start_in(network, Settings { pool, ..http(2) });
    let is_up = |member: usize| balancer.member(member)["health"] == "up";
    wait_for("members", DEADLINE, || (0..2).all(is_up)).unwrap();
    let _silent = servers::listen(&balancer.network.backends[0]);
    let _echo = Echo::start(&balancer.network.backends[1]);

    let url = format!("http://{VIP}/");
    let ask = || balancer.network.client().spawn(&[&STATUS[..], &[&url]].concat()).unwrap();
    let mut clients = [ask(), ask()];
    wait_for("a request at the silent one", DEADLINE, || balancer.member(0)["sessions_open"] == 1).unwrap();
    drop(silent);
    for client in &mut clients {
        wait_for("an answer", DEADLINE, || client.status().unwrap().is_some()).unwrap();
        assert_eq!(client.log(), "200");
    }
}

#[test]
fn any_request_may_go_on_to_a_member_that_takes_its_connection() {
    let balancer = Balancer::start(http(2));
    let _echo = Echo::start(&balancer.network.backends[0]);
    for _ in 0..4 {
        assert_eq!(status(&balancer, &["-d", "once", "http://203.0.113.10/"]), "200");
    }
}

#[test]
fn what_cannot_be_answered_has_its_own_code() {
    let pool = "protocol = \"http\"\nhealth = { protocol = \"tcp\", interval = \"1s\" }";
    let listener = "connect_timeout = \"1s\"\nread_timeout = \"1s\"".to_owned();
    let mut balancer = Balancer::start(Settings { listener, pool, ..http(1) });
    assert_eq!(status(&balancer, &["http://203.0.113.10/"]), "503", "nobody is well");

    balancer.settings.pool = "protocol = \"http\"";
    balancer.reload();
    assert_eq!(status(&balancer, &["http://203.0.113.10/"]), "502", "nobody is checked and nobody is there");

    let silent = servers::listen(&balancer.network.backends[0]);
    assert_eq!(status(&balancer, &["http://203.0.113.10/"]), "504", "no answer");
    drop(silent);

    let deaf = "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; policy drop; }";
    balancer.network.backends[0].run(&["nft", deaf]).unwrap();
    assert_eq!(status(&balancer, &["http://203.0.113.10/"]), "504", "no connection");
}
