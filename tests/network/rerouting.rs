//! Do open sessions follow when the host's routing leads to a gateway that nobody has asked for before?

use std::{
    io::Write,
    net::{IpAddr, TcpStream},
};

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
fn sessions_follow_routes_and_rules_to_gateways_that_nobody_knows_yet() {
    let network = Network::new(Size { clients: 2, backends: 2 }).unwrap();
    let settings = Settings { interfaces: &["front", "front2", "back"], ..Settings::default() };
    let balancer = Balancer::start_in(network, settings);
    let Network { clients, backends, balancer: host, .. } = &balancer.network;
    let listener = servers::listen(&backends[0]);
    let mut client = clients[0].enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let run = |words: String| host.run(&words.split(' ').collect::<Vec<_>>()).unwrap();

    let route = format!("{}/32 via {} dev back", backends[0].address(), backends[1].address());
    wait_for_segments_at(&backends[1], &mut client, || drop(run(format!("ip route add {route}"))));
    run(format!("ip route del {route}"));

    // Nothing that is sent out of this host asks for the gateways back to clients either.
    let [client, gateway] = [0, 1].map(|index| IpAddr::from(clients[index].address()));
    run(format!("ip route add {client} via {gateway} dev front2 table 100"));
    let listed = || run(format!("ip neighbour show {gateway} dev front2"));
    wait_for("the gateway's MAC", DEADLINE, || listed().contains("lladdr")).unwrap();
    // Twice: other changes may still be under way for the first time.
    for _ in 0..2 {
        for (change, gateway) in [("add", &clients[1]), ("del", &clients[0])] {
            let rule = format!("ip rule {change} to {client} lookup 100");
            wait_for_segments_at(gateway, &mut server, || drop(run(rule)));
        }
    }
}
