//! Do open sessions follow when the host's routing leads to a gateway that nobody has asked for before?

use std::{io::Write, net::TcpStream};

use testbed::{Host, Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

/// Sends until a segment of the session comes by at `gateway`.
fn wait_for_segments_at(gateway: &Host, sender: &mut TcpStream, reroute: impl FnOnce()) {
    let capture = gateway.capture("eth0").unwrap();
    reroute();
    wait_for(&format!("segments at {}", gateway.name()), DEADLINE, || {
        sender.write_all(b"on").unwrap();
        !capture.segments().is_empty()
    })
    .unwrap();
}

#[test]
fn sessions_follow_routes_to_gateways_that_nobody_knows_yet() {
    let network = Network::new(Size { clients: 1, backends: 2 }).unwrap();
    let balancer = Balancer::start_in(network, Settings::default());
    let Network { clients, backends, balancer: host, .. } = &balancer.network;
    let listener = servers::listen(&backends[0]);
    let mut client = clients[0].enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let _server = listener.accept().unwrap();
    let run = |words: String| host.run(&words.split(' ').collect::<Vec<_>>()).unwrap();

    let route = format!("{}/32 via {} dev back", backends[0].address(), backends[1].address());
    wait_for_segments_at(&backends[1], &mut client, || drop(run(format!("ip route add {route}"))));
}
