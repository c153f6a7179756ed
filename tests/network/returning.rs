//! Does the balancer get over what goes away under it: an interface, or the switch that its route lookups need?

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use testbed::{network::VIPS, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings, VIP},
    servers,
};

/// Whether a connection through the balancer comes about.
fn connects(balancer: &Balancer, listener: &TcpListener) -> bool {
    let connect = || TcpStream::connect_timeout(&VIP, Duration::from_secs(1));
    let client = balancer.network.client().enter(connect).unwrap();
    client.is_ok_and(|client| {
        drop((client, listener.accept().unwrap()));
        true
    })
}

/// How `status` says that an interface runs XDP.
fn mode(balancer: &Balancer, name: &str) -> Option<String> {
    let status = balancer.ask("status");
    let mut rows = status["interfaces"].as_array().unwrap().iter();
    let row = rows.find(|row| row["name"] == name)?;
    Some(row["mode"].to_string())
}

/// An interface goes and comes as a VLAN that is made anew does, or a driver that is loaded again.
#[test]
fn interfaces_come_back_and_lookups_stay_possible() {
    let balancer = Balancer::start(Settings::between(Family::V4, Family::V4));
    let (host, client) = (&balancer.network.balancer, balancer.network.client());
    let listener = servers::listen(&balancer.network.backends[0]);
    assert!(connects(&balancer, &listener));

    host.run(&["ip", "link", "del", "front"]).unwrap();
    // `status` shows an interface whose MAC is the one that the data path knows.
    host.run(&["ip", "link", "set", "back", "address", "02:00:00:00:47:11"]).unwrap();
    wait_for("the other one's new MAC", DEADLINE, || mode(&balancer, "back").is_some()).unwrap();

    let veth = ["ip", "link", "add", "front", "type", "veth", "peer", "eth0", "netns", client.namespace()];
    host.run(&veth).unwrap();
    for (end, words) in [
        (client, "ethtool -K eth0 tx off gro on"),
        (client, "ip link set eth0 up gro_max_size 1500"),
        (host, "ip link set front up"),
        (host, "ip address add 198.51.100.1/28 dev front"),
        (client, "ip address add 198.51.100.2/28 dev eth0"),
        (client, &format!("ip route add {VIPS} via 198.51.100.1")),
        (&balancer.network.backends[0], "ip neighbour flush all"),
    ] {
        end.run(&words.split(' ').collect::<Vec<_>>()).unwrap();
    }
    wait_for("the way through it", DEADLINE, || connects(&balancer, &listener)).unwrap();
    assert_eq!(mode(&balancer, "front").as_deref(), Some("\"native\""));
    let log = balancer.log();
    assert!(log.contains("front is gone") && log.contains("front is back"), "{log}");
    assert!(!log.contains("cannot"), "{log}");

    // Whoever turns forwarding off turns it off for `lo`, too.
    for switch in ["net.ipv4.ip_forward=1", "net.ipv4.ip_forward=0"] {
        host.run(&["sysctl", "-w", switch]).unwrap();
    }
    let warning = "net.ipv4.conf.lo.forwarding was turned off";
    wait_for("the switch", DEADLINE, || balancer.log().contains(warning)).unwrap();
    assert!(connects(&balancer, &listener));
}
