//! Is the client's address on the wire when a receiver reads it, whatever the handshake looks like, and never a
//! forged one?

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use etherparse::TcpOptionElement;
use testbed::{Network, Segment, Size, capture::Capture};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings, VIP},
    servers,
};

fn connect(balancer: &Balancer) -> (TcpStream, SocketAddr) {
    let stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let client = stream.local_addr().unwrap();
    (stream, client)
}

fn to_backend(segments: &[Segment]) -> impl Iterator<Item = &Segment> {
    segments.iter().filter(|segment| segment.destination.port() == BACKEND_PORT)
}

fn first_data(capture: &Capture) -> Segment {
    let seen = |segments: &[Segment]| to_backend(segments).any(|segment| !segment.payload.is_empty());
    let segments = capture.wait_for("data", DEADLINE, seen).unwrap();
    to_backend(&segments).find(|segment| !segment.payload.is_empty()).unwrap().clone()
}

#[test]
fn on_the_third_segment_and_on_the_first_data() {
    let balancer = Balancer::start(Settings::default());
    let capture = balancer.network.backends[0].capture("eth0").unwrap();
    let listener = servers::listen(&balancer.network.backends[0]);
    let (mut stream, client) = connect(&balancer);
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(
        peer.ip().to_string()[..9],
        *"100.64.0.",
        "without a receiver the socket sees a local address"
    );
    stream.write_all(b"hello").unwrap();
    let data = first_data(&capture);
    let segments = capture.segments();
    let third = to_backend(&segments).nth(1).unwrap();
    assert!(third.tcp.ack && !third.tcp.syn && third.payload.is_empty());
    assert_eq!((third.toa(), data.toa()), (vec![client], vec![client]));

    // The answer ends it.
    server.write_all(b"welcome").unwrap();
    stream.read_exact(&mut [0; 7]).unwrap();
    stream.write_all(b"more").unwrap();
    let seen = capture.wait_for("more", DEADLINE, |all| all.iter().any(|s| s.payload == b"more")).unwrap();
    assert_eq!(seen.iter().find(|s| s.payload == b"more").unwrap().toa(), []);
    assert!(seen.iter().all(Segment::checksum_is_right));
}

#[test]
fn a_server_that_speaks_first() {
    let balancer = Balancer::start(Settings::default());
    let capture = balancer.network.backends[0].capture("eth0").unwrap();
    let listener = servers::listen(&balancer.network.backends[0]);
    let (mut stream, client) = connect(&balancer);
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"220 ready\r\n").unwrap();
    stream.read_exact(&mut [0; 11]).unwrap();
    stream.write_all(b"EHLO\r\n").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    let segments = capture.wait_for("the data", DEADLINE, |all| all.iter().any(|s| s.payload == b"EHLO\r\n"));
    assert_eq!(to_backend(&segments.unwrap()).nth(1).unwrap().toa(), [client]);
}

#[test]
fn a_lost_third_segment() {
    let balancer = Balancer::start(Settings::default());
    let backend = &balancer.network.backends[0];
    let capture = backend.capture("eth0").unwrap();
    let listener = servers::listen(backend);
    // Every bare ACK is lost, 60 bytes with timestamps and TOA, until data has made the connection.
    for rule in [
        "add table ip loss",
        "add chain ip loss input { type filter hook input priority 0; }",
        "add rule ip loss input tcp dport 8080 tcp flags & (fin|syn|rst|psh|ack) == ack ip length <= 60 counter drop",
    ] {
        backend.run(&["nft", rule]).unwrap();
    }
    let (mut stream, client) = connect(&balancer);
    stream.write_all(b"first data").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.read_exact(&mut [0; 10]).unwrap();
    let dropped = backend.run(&["nft", "list", "table", "ip", "loss"]).unwrap();
    assert!(!dropped.contains("packets 0 "), "{dropped}");
    assert_eq!(first_data(&capture).toa(), [client]);
}

#[test]
fn a_client_whose_segments_leave_no_room_sends_smaller_ones() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    network.client().run(&["ip", "link", "set", "eth0", "mtu", "1396"]).unwrap();
    network.balancer.run(&["ip", "link", "set", "back", "mtu", "1400"]).unwrap();
    let balancer = Balancer::start_in(network, Settings::default());
    let capture = balancer.network.backends[0].capture("eth0").unwrap();
    let listener = servers::listen(&balancer.network.backends[0]);
    let (mut stream, client) = connect(&balancer);
    let (mut server, _) = listener.accept().unwrap();
    // One segment: the two headers, timestamps, and what is left of the MTU.
    let data = [7; 1396 - 20 - 32];
    stream.write_all(&data).unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    server.read_exact(&mut [0; 1396 - 20 - 32]).unwrap();
    assert_eq!(first_data(&capture).toa(), [client]);
    assert!(balancer.counter("icmp_too_big") > 0);
}

#[test]
fn a_listener_that_defers_accept() {
    let balancer = Balancer::start(Settings::default());
    let directory = tempfile::tempdir().unwrap();
    let capture = balancer.network.backends[0].capture("eth0").unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "deferred");
    let (mut stream, client) = connect(&balancer);
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("backend1\n"), "{answer}");
    assert_eq!(first_data(&capture).toa(), [client]);
}

/// The third segments are lost: what makes the socket is what a client answers a doubled SYN-ACK with, 24 bytes of
/// timestamps and SACK (RFC 2883).
#[test]
fn a_duplicate_acknowledgement_that_leaves_no_room() {
    const CONNECTIONS: u16 = 50;
    for family in [Family::V4, Family::V6] {
        let balancer = Balancer::start(Settings::between(family, family));
        let (client, backend) = (balancer.network.client(), &balancer.network.backends[0]);
        let listener = servers::listen_on(backend, family);
        // The client's own stack knows nothing of these segments and must not reset them.
        for rule in [
            "add table inet quiet",
            "add chain inet quiet output { type filter hook output priority 0; }",
            "add rule inet quiet output tcp flags & rst == rst drop",
        ] {
            client.run(&["nft", rule]).unwrap();
        }
        let (answers, arrived) = (client.capture("eth0").unwrap(), backend.capture("eth0").unwrap());
        for n in 0..CONNECTIONS {
            let source = SocketAddr::new(family.address_of(client), 4000 + n);
            let mut segment = Segment::new(source, balancer.settings.vip());
            (segment.tcp.syn, segment.tcp.sequence_number) = (true, 1000);
            let stamps = [1, 1, 8, 10, 0, 0, 0, 1];
            segment
                .tcp
                .set_options_raw(&[&[2, 4, 5, 0xB4, 1, 1, 4, 2][..], &stamps, &[0; 4]].concat())
                .unwrap();
            client.send(&segment).unwrap();
            let is_answer = |s: &&Segment| s.tcp.syn && s.destination == source;
            let seen = answers.wait_for("the SYN-ACK", DEADLINE, |all| all.iter().any(|s| is_answer(&s)));
            let seen = seen.unwrap();
            let answer = seen.iter().find(is_answer).unwrap();
            let number = answer.tcp.sequence_number;
            let stamp = answer.tcp.options_iterator().find_map(|option| match option {
                Ok(TcpOptionElement::Timestamp(value, _)) => Some(value),
                _ => None,
            });
            segment.tcp.syn = false;
            (segment.tcp.ack, segment.tcp.sequence_number) = (true, 1001);
            segment.tcp.acknowledgment_number = number.wrapping_add(1);
            let block = [number.to_be_bytes(), number.wrapping_add(1).to_be_bytes()].concat();
            let stamps = [&stamps[..], &stamp.unwrap().to_be_bytes()].concat();
            segment.tcp.set_options_raw(&[&stamps[..], &[1, 1, 5, 10], &block].concat()).unwrap();
            client.send(&segment).unwrap();
            listener.accept().unwrap();
            let bare = |all: &[Segment]| to_backend(all).filter(|s| !s.tcp.syn).nth(n.into()).cloned();
            let segments = arrived.wait_for("the segment", DEADLINE, |all| bare(all).is_some()).unwrap();
            let made = bare(&segments).unwrap();
            assert_eq!(made.toa(), [source], "{family:?} {n}");
        }
        assert_eq!(balancer.counter("toa_no_room"), 0);
    }
}

/// MPTCP's options would take TOA's room; without them both ends go on with plain TCP (RFC 8684, 3.7).
#[test]
fn mptcp_is_not_negotiated() {
    let balancer = Balancer::start(Settings::default());
    let (client, backend) = (balancer.network.client(), &balancer.network.backends[0]);
    let arrived = backend.capture("eth0").unwrap();
    let mut syn = Segment::new(SocketAddr::from((client.address(), 4711)), VIP);
    (syn.tcp.syn, syn.tcp.sequence_number) = (true, 1000);
    syn.tcp.set_options_raw(&[2, 4, 5, 0xB4, 30, 4, 1, 1]).unwrap();
    client.send(&syn).unwrap();
    let seen = arrived.wait_for("the SYN", DEADLINE, |all| all.iter().any(|s| s.tcp.syn)).unwrap();
    assert_eq!(seen[0].tcp.options.as_slice(), [2, 4, 5, 0xB4, 1, 1, 1, 1]);
}

#[test]
fn forged_ones_never_arrive() {
    let balancer = Balancer::start(Settings::default());
    let (client, backend) = (balancer.network.client(), &balancer.network.backends[0]);
    let capture = backend.capture("eth0").unwrap();
    let _listener = servers::listen(backend);
    // The client's own stack knows nothing of these segments and must not reset them.
    for rule in [
        "add table ip quiet",
        "add chain ip quiet output { type filter hook output priority 0; }",
        "add rule ip quiet output tcp sport 4711 tcp flags & rst == rst drop",
    ] {
        client.run(&["nft", rule]).unwrap();
    }
    let source = SocketAddr::from((client.address(), 4711));
    let answers = client.capture("eth0").unwrap();
    let forged = [254, 8, 0x12, 0x67, 192, 0, 2, 66, 253, 8, 0, 80, 192, 0, 2, 66];

    let mut segment = Segment::new(source, VIP);
    (segment.tcp.syn, segment.tcp.sequence_number) = (true, 1000);
    segment.tcp.set_options_raw(&forged).unwrap();
    client.send(&segment).unwrap();
    let seen = answers.wait_for("the SYN-ACK", DEADLINE, |all| all.iter().any(|s| s.tcp.syn)).unwrap();
    let sequence = seen.iter().find(|s| s.tcp.syn).unwrap().tcp.sequence_number;

    segment.tcp.syn = false;
    (segment.tcp.ack, segment.tcp.sequence_number) = (true, 1001);
    segment.tcp.acknowledgment_number = sequence.wrapping_add(1);
    client.send(&segment).unwrap();
    segment.payload = b"forged".to_vec();
    client.send(&segment).unwrap();

    first_data(&capture);
    let segments = capture.segments();
    let toa: Vec<Vec<SocketAddr>> = to_backend(&segments).map(Segment::toa).collect();
    assert_eq!(toa, [vec![], vec![source], vec![source]]);
    for segment in to_backend(&segments) {
        let rest = segment.tcp.options.as_slice();
        assert!(!rest.contains(&253), "{rest:?}");
    }
    assert_eq!(balancer.counter("toa_stripped"), 3);
}
