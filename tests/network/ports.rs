//! What happens when the local ports run out?

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
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
