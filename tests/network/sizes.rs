//! Does what is larger than a packet arrive: datagrams in fragments, and segments in jumbo frames?

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream, UdpSocket},
    thread,
};

use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
use testbed::{Host, Network, Size};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings},
    servers,
};

/// Bytes of which no two pieces of a datagram are alike.
fn payload(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|n| n.wrapping_mul(0x9E37_79B9).to_be_bytes()).take(length).collect()
}

fn bound(host: &Host, family: Family, port: u16) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind((family.address_of(host), port))).unwrap().unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket
}

#[test]
fn datagrams_in_fragments_arrive_and_are_answered() {
    for family in [Family::V4, Family::V6] {
        let balancer = Balancer::start(Settings { protocol: "udp", ..Settings::between(family, family) });
        let server = bound(&balancer.network.backends[0], family, BACKEND_PORT);
        let client = bound(balancer.network.client(), family, 0);
        client.connect(balancer.settings.vip()).unwrap();
        let sizes = [3000, 1472, 1480, 4096, 8000, 5001, 100];
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = [0; 9000];
                for _ in sizes {
                    let (length, peer) = server.recv_from(&mut buffer).unwrap();
                    server.send_to(&buffer[..length], peer).unwrap();
                }
            });
            for size in sizes {
                let (sent, mut answer) = (payload(size), [0; 9000]);
                client.send(&sent).unwrap();
                let length = client.recv(&mut answer).unwrap();
                assert!(answer[..length] == sent, "{family:?}: {size} bytes");
            }
        });
        assert!(balancer.counter("fragment_forwarded") >= 2 * (2 + 1 + 2 + 5 + 3), "{family:?}");
    }
}

#[test]
fn a_ping_in_fragments_is_answered_by_the_host() {
    for (family, version) in [(Family::V4, "-4"), (Family::V6, "-6")] {
        let balancer = Balancer::start(Settings::between(family, family));
        let vip = balancer.settings.vip().ip().to_string();
        let said = balancer.client(&["ping", version, "-c", "2", "-i", "0.2", "-W", "5", "-s", "4000", &vip]);
        assert!(said.contains("2 received"), "{said}");
    }
}

/// A network whose links all take jumbo frames.
fn jumbo() -> Network {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let backend = network.backends[0].name();
    let links = [
        (network.client(), "eth0"),
        (&network.balancer, "front"),
        (&network.balancer, "back"),
        (&network.switch, "balancer"),
        (&network.switch, backend),
        (&network.switch, "bridge"),
        (&network.backends[0], "eth0"),
    ];
    for (host, device) in links {
        host.run(&["ip", "link", "set", device, "mtu", "9000"]).unwrap();
    }
    network
}

#[test]
fn jumbo_frames_carry_a_connection() {
    const BYTES: usize = 4 << 20;
    for (clients, backends) in [
        (Family::V4, Family::V4),
        (Family::V6, Family::V6),
        (Family::V6, Family::V4),
        (Family::V4, Family::V6),
    ] {
        let balancer = Balancer::start_in(jumbo(), Settings::between(clients, backends));
        let listener = servers::listen_on(&balancer.network.backends[0], backends);
        let connect = || TcpStream::connect_timeout(&balancer.settings.vip(), DEADLINE);
        let client = balancer.network.client().enter(connect).unwrap().unwrap();
        let server = listener.accept().unwrap().0;
        let sent = payload(BYTES);
        for (mut from, mut to) in [(&client, &server), (&server, &client)] {
            to.set_read_timeout(Some(DEADLINE)).unwrap();
            from.set_write_timeout(Some(DEADLINE)).unwrap();
            let arrived = thread::scope(|scope| {
                scope.spawn(|| {
                    from.write_all(&sent).unwrap();
                    from.shutdown(Shutdown::Write).unwrap();
                });
                let mut arrived = Vec::new();
                to.read_to_end(&mut arrived).unwrap();
                arrived
            });
            assert!(arrived == sent, "{clients:?} {backends:?}");
            assert!(getsockopt(from, TcpMaxSeg).unwrap() > 8000, "{clients:?} {backends:?}: small segments");
        }
    }
}
