//! How do sessions end?

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

const SHORT: &str = "syn_recv = \"1s\"\nfin_wait = \"1s\"\ntime_wait = \"1s\"\nclose = \"1s\"\nclose_wait = \"1s\"\nlast_ack = \"1s\"";

#[test]
fn an_idle_session_is_reset_at_both_ends() {
    let balancer = Balancer::start(Settings { idle_timeout: "1s", ..Settings::default() });
    let listener = servers::listen(&balancer.network.backends[0]);
    let mut client = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"hello").unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    server.write_all(b"world").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    for (mut stream, end) in [(client, "client"), (server, "server")] {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let error = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{end}");
    }
    wait_for("the session's end", DEADLINE, || balancer.open_sessions() == 0).unwrap();
}

#[test]
fn ten_thousand_short_connections_leave_nothing() {
    const CONNECTIONS: usize = 10_000;
    let balancer = Balancer::start(Settings { timeouts: SHORT, ..Settings::default() });
    let (free, total) = balancer.ports();
    assert_eq!(free, total);
    let directory = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");

    let client = balancer.network.client();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                client
                    .enter(|| {
                        for _ in 0..CONNECTIONS / 4 {
                            request();
                        }
                    })
                    .unwrap();
            });
        }
    });
    assert_eq!(balancer.counter("session_opened"), CONNECTIONS as u64);
    wait_for("the last session's end", Duration::from_mins(1), || balancer.open_sessions() == 0).unwrap();
    wait_for("every port's return", DEADLINE, || balancer.ports() == (total, total)).unwrap();
}

fn request() {
    let mut stream = TcpStream::connect(VIP).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("backend1\n"), "{answer}");
}
