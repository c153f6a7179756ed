//! Are the balancer's addresses found on the link, and do open sessions follow a backend that gets another MAC?

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testbed::{network::LOCAL_ADDRESSES, wait_for};

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

/// Nobody configures VIPs and local addresses by hand: the daemon's local routes make the kernel answer for them.
#[test]
fn vips_and_local_addresses_answer_arp() {
    let balancer = Balancer::start(Settings::default());
    let backend = &balancer.network.backends[0];
    let vip = format!("{}/32", VIP.ip());
    balancer.network.client().run(&["ip", "route", "add", &vip, "dev", "eth0"]).unwrap();
    backend.run(&["ip", "route", "replace", LOCAL_ADDRESSES, "dev", "eth0"]).unwrap();
    let listener = servers::listen(backend);
    let connect = || TcpStream::connect_timeout(&VIP, DEADLINE);
    let client = balancer.network.client().enter(connect).unwrap().unwrap();
    drop((client, listener.accept().unwrap()));
}
