//! Do access lists and counters of the XDP program hold for HTTP listeners?

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        http, nginx,
        script::{Client, ok, serve},
    },
};

const SHORT: Duration = Duration::from_millis(700);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_change_cuts_live_connections_and_lets_them_go_on() {
    let mut balancer = Balancer::start(Settings { listener: "allow = []".into(), ..http(1) });
    serve(&balancer.network.backends[0], |_, _| ok("here"));
    let connect = || TcpStream::connect_timeout(&VIP, SHORT);
    assert!(balancer.network.client().enter(connect).unwrap().is_err(), "an empty list lets nobody in");
    assert!(balancer.counter("drop_denied") > 0);

    balancer.settings.listener = "allow = [\"198.51.100.0/24\"]".into();
    balancer.reload();
    let mut client = Client::connect(balancer.network.client(), VIP);
    assert_eq!(client.ask(GET).text(), "here");

    balancer.settings.listener = "allow = [\"198.51.100.0/24\"]\ndeny = [\"198.51.100.2\"]".into();
    balancer.reload();
    let (denied, answered) =
        (balancer.counter("drop_denied"), balancer.ask("status")["http"][0]["requests"].clone());
    let stream = client.stream();
    stream.set_read_timeout(Some(SHORT)).unwrap();
    stream.write_all(GET).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "{error}");
    assert!(balancer.counter("drop_denied") > denied);
    assert_eq!(balancer.ask("status")["http"][0]["requests"], answered);

    // What it sent meanwhile is sent again.
    balancer.settings.listener = String::new();
    balancer.reload();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut answer = [0; 15];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[test]
fn packets_for_http_listeners_are_counted_on_their_way_up() {
    let balancer = Balancer::start(http(1));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let before = balancer.counter("pass_layer7");
    balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/?[1-50]"]);
    let counted = || balancer.counter("pass_layer7") - before;
    // A request for each, and its acknowledgement at least once in a while.
    wait_for("packets", DEADLINE, || counted() > 50).unwrap();
    assert_eq!(balancer.open_sessions(), 0, "Layer 4 has no part in it");
}
