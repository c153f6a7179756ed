//! Are the balancer's addresses found on the link, and do open sessions follow a backend that gets another MAC?

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use testbed::{
    Host, Network, Size,
    network::{BALANCER_BACK6, LOCAL_ADDRESSES, LOCAL_ADDRESSES6},
    wait_for,
};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings, VIP, VIP6},
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

/// As switches flood them, or as a router sends them that has another host's MAC.
#[test]
fn frames_for_another_mac_are_left_alone_but_for_a_virtual_routers() {
    let balancer = Balancer::start(Settings::default());
    let _listener = servers::listen(&balancer.network.backends[0]);
    let way = balancer.client(&["ip", "route", "get", &VIP.ip().to_string()]);
    let gateway = way.split_whitespace().skip_while(|word| *word != "via").nth(1).unwrap();
    let mac = "00:00:5e:00:01:0a";
    balancer.client(&[
        "ip",
        "neighbour",
        "replace",
        gateway,
        "lladdr",
        mac,
        "dev",
        "eth0",
        "nud",
        "permanent",
    ]);
    let connect = || TcpStream::connect_timeout(&VIP, Duration::from_millis(500));
    let connect = || balancer.network.client().enter(connect).unwrap();
    assert!(connect().is_err());
    assert!(balancer.counter("pass_other_mac") > 0);
    let host =
        "local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 65536\nvirtual_macs = [\"00:00:5e:00:01:0a\"]";
    balancer.reload_with(&Settings { host, ..Settings::default() });
    connect().unwrap();
}

/// A connection through the balancer, both ends of it.
fn connect(balancer: &Balancer, listener: &TcpListener) {
    let connect = || TcpStream::connect_timeout(&balancer.settings.vip(), DEADLINE);
    let client = balancer.network.client().enter(connect).unwrap().unwrap();
    drop((client, listener.accept().unwrap()));
}

/// A gateway need not answer ARP: its MAC may have been set by hand.
#[test]
fn a_neighbour_that_the_administrator_has_set_stays_theirs() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let (backend, mac) = (&network.backends[0], "02:00:00:00:47:11");
    backend.run(&["ip", "link", "set", "eth0", "address", mac]).unwrap();
    backend.run(&["sysctl", "-w", "net.ipv4.conf.eth0.arp_ignore=8"]).unwrap();
    let address = backend.address().to_string();
    let set = ["ip", "neighbour", "add", &address, "lladdr", mac, "dev", "back", "nud", "permanent"];
    network.balancer.run(&set).unwrap();
    let listed = |host: &Host| host.run(&["ip", "neighbour", "show", &address, "dev", "back"]).unwrap();
    let before = listed(&network.balancer);

    let mut balancer = Balancer::start_in(network, Settings::default());
    connect(&balancer, &servers::listen(&balancer.network.backends[0]));
    assert_eq!(listed(&balancer.network.balancer), before);
    balancer.end();
    balancer.unload();
    assert_eq!(listed(&balancer.network.balancer), before);
}

/// Nobody configures VIPs and local addresses by hand: the daemon's local routes make the kernel answer for them.
#[test]
fn vips_and_local_addresses_answer_arp() {
    let balancer = Balancer::start(Settings::default());
    let backend = &balancer.network.backends[0];
    let vip = format!("{}/32", VIP.ip());
    balancer.network.client().run(&["ip", "route", "add", &vip, "dev", "eth0"]).unwrap();
    backend.run(&["ip", "route", "replace", LOCAL_ADDRESSES, "dev", "eth0"]).unwrap();
    connect(&balancer, &servers::listen(backend));
}

/// Of IPv6, the daemon's addresses do, and the host does not use them for itself.
#[test]
fn vips_and_local_addresses_answer_neighbour_solicitations() {
    let balancer = Balancer::start(Settings::between(Family::V6, Family::V6));
    let backend = &balancer.network.backends[0];
    let vip = format!("{}/128", VIP6.ip());
    balancer.network.client().run(&["ip", "route", "add", &vip, "dev", "eth0"]).unwrap();
    backend.run(&["ip", "route", "replace", LOCAL_ADDRESSES6, "dev", "eth0"]).unwrap();
    let listener = servers::listen_on(backend, Family::V6);
    connect(&balancer, &listener);
    let target = (backend.address6(), BACKEND_PORT);
    let own = balancer.network.balancer.enter(|| TcpStream::connect(target)).unwrap().unwrap();
    assert_eq!(own.local_addr().unwrap().ip(), BALANCER_BACK6);
}

/// The kernel takes an interface's IPv6 addresses away when it goes down, those that the test gave it too.
#[test]
fn an_interface_that_went_down_gets_its_ipv6_addresses_again() {
    let balancer = Balancer::start(Settings::between(Family::V6, Family::V6));
    let listener = servers::listen_on(&balancer.network.backends[0], Family::V6);
    connect(&balancer, &listener);
    let host = &balancer.network.balancer;
    let count = || {
        let listed = host.run(&["ip", "address", "show", "dev", "back", "to", "2001:db8:64::/64"]).unwrap();
        listed.matches("inet6").count()
    };
    assert_eq!(count(), 16);
    for state in ["down", "up"] {
        host.run(&["ip", "link", "set", "back", state]).unwrap();
    }
    host.run(&["ip", "address", "add", &format!("{BALANCER_BACK6}/64"), "dev", "back"]).unwrap();
    wait_for("the addresses", DEADLINE, || count() == 16).unwrap();
    connect(&balancer, &listener);
}
