//! Do open sessions follow a backend that gets another MAC?

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

#[test]
fn a_session_follows_its_backend_to_another_mac() {
    let balancer = Balancer::start(Settings::default());
    let backend = &balancer.network.backends[0];
    let listener = servers::listen(backend);
    let mut client = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"before").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();

    let mac = "02:00:00:00:47:11";
    backend.run(&["ip", "link", "set", "eth0", "address", mac]).unwrap();
    let address = backend.address().to_string();
    let neighbour = ["ip", "neighbour", "replace", &address, "lladdr", mac, "dev", "back"];
    balancer.network.balancer.run(&neighbour).unwrap();
    client.write_all(b"after").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    server.read_exact(&mut [0; 5]).unwrap();
    wait_for("the renewal", DEADLINE, || balancer.counter("next_hop_renewed") >= 1).unwrap();
}
