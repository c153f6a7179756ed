//! Do both ends learn of a narrow link that lies behind a router on the other side of the balancer, and does ping
//! reach a VIP?

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use testbed::{
    Network, Segment, Size,
    cases::{Message, Side, icmp_error},
    wait_for,
};

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings},
    servers,
};

/// What the narrow link takes.
const NARROW: u16 = 1400;
const BYTES: usize = 1 << 20;

/// A megabyte from one end to the other.
pub fn transfer(mut from: TcpStream, mut to: TcpStream) {
    to.set_read_timeout(Some(DEADLINE)).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(&vec![7; BYTES]).unwrap();
            from.shutdown(Shutdown::Write).unwrap();
        });
        let mut arrived = Vec::new();
        to.read_to_end(&mut arrived).unwrap();
        assert_eq!(arrived.len(), BYTES);
    });
}

/// Both ends of a connection: the client's, the backend's.
pub fn connect(balancer: &Balancer, family: Family) -> (TcpStream, TcpStream) {
    let listener = servers::listen_on(&balancer.network.backends[0], family);
    let connect = || TcpStream::connect_timeout(&balancer.settings.vip(), DEADLINE);
    let client = balancer.network.client().enter(connect).unwrap().unwrap();
    (client, listener.accept().unwrap().0)
}

fn network() -> Network {
    Network::new(Size { clients: 1, backends: 1 }).unwrap()
}

#[test]
fn a_backend_learns_of_a_narrow_link_to_its_client() {
    for family in [Family::V4, Family::V6] {
        let mut network = network();
        network.narrow_client(NARROW).unwrap();
        let balancer = Balancer::start_in(network, Settings::between(family, family));
        let (client, server) = connect(&balancer, family);
        transfer(server, client);
        assert!(balancer.counter("icmp_translated") > 0, "{family:?}");
    }
}

#[test]
fn a_client_learns_of_a_narrow_link_to_its_backend() {
    for family in [Family::V4, Family::V6] {
        let mut network = network();
        network.narrow_backend(NARROW).unwrap();
        let balancer = Balancer::start_in(network, Settings::between(family, family));
        let (client, server) = connect(&balancer, family);
        transfer(client, server);
        assert!(balancer.counter("icmp_translated") > 0, "{family:?}");
    }
}

/// Who says so of its own connection: the backend keeps it for the local address, and so for all clients.
#[test]
fn a_client_makes_no_other_clients_segments_small() {
    for family in [Family::V4, Family::V6] {
        let balancer = Balancer::start(Settings::between(family, family));
        let front = balancer.network.client().capture("eth0").unwrap();
        let (client, server) = connect(&balancer, family);
        let vip = balancer.settings.vip();
        let is_answer = |segment: &&Segment| segment.source == vip && segment.tcp.syn;
        let seen =
            front.wait_for("the SYN-ACK", DEADLINE, |seen| seen.iter().any(|s| is_answer(&s))).unwrap();
        let next = seen.iter().find(is_answer).unwrap().tcp.sequence_number.wrapping_add(1);
        let say = |mtu, number| {
            let mut quoted = Segment::new(vip, client.local_addr().unwrap());
            (quoted.tcp.ack, quoted.tcp.sequence_number, quoted.payload) = (true, number, vec![7; 600]);
            let error = icmp_error(Side::Front, vip.ip(), Message::TooBigFor(mtu), &quoted.packet().unwrap());
            balancer.network.client().send_packet(&error[14..], vip.ip()).unwrap();
        };
        say(552, next);
        say(1300, next.wrapping_add(1 << 31));
        for counter in ["drop_path_mtu", "drop_icmp"] {
            wait_for(counter, DEADLINE, || balancer.counter(counter) == 1).unwrap();
        }
        let local = server.peer_addr().unwrap().ip().to_string();
        let route = || balancer.network.backends[0].run(&["ip", "route", "get", &local]).unwrap();
        assert!(!route().contains("mtu"), "{}", route());
        say(1300, next);
        wait_for("the backend to believe it", DEADLINE, || route().contains("mtu 1300")).unwrap();
    }
}

#[test]
fn ping_is_answered_by_a_vip() {
    for (family, version) in [(Family::V4, "-4"), (Family::V6, "-6")] {
        let balancer = Balancer::start(Settings::between(family, family));
        let vip = balancer.settings.vip().ip().to_string();
        let said = balancer.client(&["ping", version, "-c", "3", "-i", "0.2", "-W", "5", &vip]);
        assert!(said.contains("3 received"), "{said}");
    }
}
