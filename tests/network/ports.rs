//! What happens when the local ports run out?

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use testbed::wait_for;
use xdp_ebpf::abi::{MAX_PLANES, plane_of};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Settings, VIP},
    servers,
};

#[test]
fn it_is_counted_by_name_and_service_resumes() {
    let balancer = Balancer::start(Settings {
        host: "local_addresses = [\"100.64.0.1\"]\nlocal_ports = \"20000-20003\"\nmax_sessions = 1024",
        timeouts: "time_wait = \"1s\"\nclose_wait = \"1s\"\nfin_wait = \"1s\"",
        ..Settings::default()
    });
    let listener = servers::listen(&balancer.network.backends[0]);
    let client = balancer.network.client();
    let mut open: Vec<(TcpStream, TcpStream)> = (0..4)
        .map(|_| {
            let stream = client.enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
            (stream, listener.accept().unwrap().0)
        })
        .collect();
    let refused = client.enter(|| TcpStream::connect_timeout(&VIP, Duration::from_secs(1))).unwrap();
    assert!(refused.is_err());
    assert!(balancer.counter("drop_no_port") >= 1);
    let (mut stream, mut server) = open.remove(1);
    stream.write_all(b"the others go on").unwrap();
    server.read_exact(&mut [0; 16]).unwrap();

    drop((stream, server));
    wait_for("a session's end", DEADLINE, || balancer.open_sessions() == 3).unwrap();
    let mut stream = client.enter(|| TcpStream::connect_timeout(&VIP, DEADLINE)).unwrap().unwrap();
    stream.write_all(b"again").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
}

/// The planes of these members.
fn planes(balancer: &Balancer) -> BTreeSet<u32> {
    let members = balancer.network.backends.iter();
    members.map(|host| plane_of(host.address().octets(), BACKEND_PORT, MAX_PLANES - 1)).collect()
}

/// All connections are of one client, whose own member has ports for four.
#[test]
fn another_member_takes_over_and_status_shows_what_is_left() {
    let balancer = Balancer::start(Settings {
        host: "local_addresses = [\"100.64.0.1\"]\nlocal_ports = \"20000-20003\"\nmax_sessions = 1024",
        weights: vec![1; 4],
        pool: "algorithm = \"source-hash\"",
        ..Settings::default()
    });
    let _listeners: Vec<_> = balancer.network.backends.iter().map(servers::listen).collect();
    let planes = planes(&balancer).len() as u64;
    assert!(planes > 1, "the backends' addresses are in one plane: nothing can be seen");
    let left = || {
        let ports = &balancer.ask("status")["pools"][0]["ports"];
        (ports["free"].as_u64().unwrap(), ports["total"].as_u64().unwrap())
    };
    assert_eq!(left(), (4 * planes, 4 * planes));
    let client = balancer.network.client();
    let connect = |patience| client.enter(|| TcpStream::connect_timeout(&VIP, patience)).unwrap();
    let open: Vec<_> = (0..4 * planes).map(|_| connect(DEADLINE).unwrap()).collect();
    assert_eq!(left(), (0, 4 * planes));
    assert_eq!(balancer.counter("member_passed_over"), 4 * (planes - 1));
    assert_eq!(balancer.counter("drop_no_port"), 0);
    connect(Duration::from_secs(1)).unwrap_err();
    assert!(balancer.counter("drop_no_port") > 0);
    drop(open);
}
