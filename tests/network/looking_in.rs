//! Do the commands that look in show what is asked for, and members as they are?

use std::net::{TcpListener, TcpStream};

use testbed::{Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

#[test]
fn sessions_are_shown_that_are_asked_for() {
    let balancer = Balancer::start(Settings::default());
    let listener = servers::listen(&balancer.network.backends[0]);
    let connect = || TcpStream::connect_timeout(&VIP, DEADLINE);
    let clients: Vec<_> =
        (0..3).map(|_| balancer.network.client().enter(connect).unwrap().unwrap()).collect();
    let servers: Vec<_> = clients.iter().map(|_| listener.accept().unwrap()).collect();
    let one = clients[0].local_addr().unwrap().to_string();
    for (words, expected) in [
        ("", 3),
        ("--client 198.51.100.0/28", 3),
        (&format!("--client {one}"), 1),
        ("--vip 203.0.113.10:80 --backend 192.0.2.11 --listener test/web --state established", 3),
        ("--vip 203.0.113.11", 0),
        ("--sort idle --limit 2", 2),
        ("--limit 0", 0),
    ] {
        let words: Vec<_> = words.split_whitespace().collect();
        let shown = balancer.ask_for("sessions", &words);
        assert_eq!(shown.as_array().unwrap().len(), expected, "{words:?}: {shown:#}");
    }
    drop((clients, servers));
}

#[test]
fn a_member_is_being_checked_then_down_then_well_for_a_while() {
    let nobody =
        "health = { protocol = \"tcp\", port = 9000, interval = \"2s\", timeout = \"2s\", retries = 1 }";
    let balancer = Balancer::start(Settings { pool: nobody, ..Settings::default() });
    let member = |field: &str| balancer.member(0)[field].clone();
    wait_for("down", DEADLINE, || member("health") == "down").unwrap();
    assert_eq!((member("reason"), member("well_for_s")), ("connection refused".into(), ().into()));
    let backend = &balancer.network.backends[0];
    let _port = backend.enter(|| TcpListener::bind((backend.address(), 9000))).unwrap().unwrap();
    wait_for("up", DEADLINE, || member("health") == "up").unwrap();
    assert_eq!(member("reason"), "connection refused");
    wait_for("a second of it", DEADLINE, || member("well_for_s").as_u64().unwrap() >= 1).unwrap();
}

#[test]
fn a_member_that_has_not_answered_yet_is_not_down() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let silent = "add table ip silent; \
                  add chain ip silent in { type filter hook input priority 0; policy drop; }";
    network.backends[0].run(&["nft", silent]).unwrap();
    let slow = "health = { protocol = \"tcp\", interval = \"50s\", timeout = \"50s\" }";
    let balancer = Balancer::start_in(network, Settings { pool: slow, ..Settings::default() });
    assert_eq!(balancer.member(0)["health"], "checking");
}
