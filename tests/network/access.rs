//! Do access lists let in whom they should, also while they change under load?

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

const SHORT: Duration = Duration::from_millis(700);

fn try_to_connect(balancer: &Balancer) -> std::io::Result<TcpStream> {
    balancer.network.client().enter(|| TcpStream::connect_timeout(&VIP, SHORT)).unwrap()
}

#[test]
fn a_change_cuts_whom_it_shuts_out_and_lets_in_whom_it_names() {
    let mut balancer = Balancer::start(Settings { listener: "allow = []".into(), ..Settings::default() });
    let listener = servers::listen(&balancer.network.backends[0]);
    assert!(try_to_connect(&balancer).is_err(), "an empty list lets nobody in");
    assert!(balancer.counter("drop_denied") > 0);

    balancer.settings.listener = "allow = [\"198.51.100.0/24\"]".into();
    balancer.reload();
    let mut client = try_to_connect(&balancer).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();

    balancer.settings.listener = "allow = [\"198.51.100.0/24\"]\ndeny = [\"198.51.100.2\"]".into();
    balancer.reload();
    // Though neither says anything.
    for (stream, end) in [(&mut client, "client"), (&mut server, "server")] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset, "{end}");
    }
    assert_eq!(balancer.open_sessions(), 0);
    assert!(try_to_connect(&balancer).is_err());

    balancer.settings.listener = String::new();
    balancer.reload();
    try_to_connect(&balancer).unwrap();
}

#[test]
fn ten_thousand_networks_that_change_under_load_cost_nobody_else_a_request() {
    let lists = |third: u8| {
        let networks: Vec<String> = (0..40u8)
            .flat_map(|second| (0..=255u8).map(move |n| format!("\"10.{second}.{n}.{third}\"")))
            .collect();
        format!("allow = [\"198.51.100.0/24\"]\ndeny = [{}]", networks.join(", "))
    };
    let mut balancer = Balancer::start(Settings { listener: lists(1), ..Settings::default() });
    let directory = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    let requests =
        ["curl", "-sS", "--max-time", "60", "-H", "Connection: close", "http://203.0.113.10/?[1-4000]"];
    let mut load = balancer.network.client().spawn(&requests).unwrap();
    for third in 2..6 {
        balancer.settings.listener = lists(third);
        balancer.reload();
    }
    wait_for("the last answer", Duration::from_mins(1), || load.status().unwrap().is_some()).unwrap();
    assert!(load.status().unwrap().unwrap().success(), "{}", load.log());
    wait_for("the last line", DEADLINE, || load.log().matches("backend1").count() == 4000).unwrap();
    assert_eq!(balancer.counter("drop_denied"), 0);
}
