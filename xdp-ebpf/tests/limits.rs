//! Limits and refusals on the host, packet by packet, for both families and the mixed ones. What comes out is read by
//! etherparse, never by our own parser.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{BACK, Cast, FRONT, Side, frame, options},
};
use xdp_ebpf::{
    abi::{FLAG_LIMITED, LIVE, ListenerIndex, NO_BANDWIDTH, PROTOCOL_TCP, Pool, SlotIndex, WHEN_DOWN_RESET},
    host::{HostPacket, HostTables},
    limit::{cost, depth},
    pipeline,
    verdict::{Event, Outcome},
};

const HZ: u32 = 250;
/// Interface indexes of the two sides.
const INTERFACES: [u32; 2] = [11, 12];

fn world(cast: &Cast) -> HostTables {
    let mut tables = HostTables::new(&[cast.local.ip()], cast.local.port(), 64, 1024);
    tables.listen(PROTOCOL_TCP, cast.vip, &[cast.backend]);
    tables.connect(INTERFACES[0], FRONT[0], cast.client.ip(), FRONT[1]);
    tables.connect(INTERFACES[1], BACK[0], cast.backend.ip(), BACK[1]);
    tables
}

fn send(tables: &HostTables, side: Side, segment: &Segment) -> (Outcome, Vec<u8>) {
    let bytes = frame(side, &segment.packet().unwrap());
    let mut packet = HostPacket::new(&bytes, 224, INTERFACES[side as usize]);
    let outcome = pipeline::process(&mut packet, tables);
    (outcome, packet.frame().to_vec())
}

fn goes_on(tables: &HostTables, side: Side, segment: &Segment) -> bool {
    matches!(send(tables, side, segment).0, Outcome::Redirect(_))
}

fn handshake(tables: &HostTables, cast: &Cast) {
    assert!(goes_on(tables, Side::Front, &cast.syn()));
    assert!(goes_on(tables, Side::Back, &cast.syn_ack()));
    assert!(goes_on(tables, Side::Front, &cast.ack(b"hello")));
}

proptest! {
    /// Whatever the SYN: the answer is what a host without a listener would send, and nothing more.
    #[test]
    fn a_reset_answers_the_syn(
        (v6, port, seq, ttl) in (any::<bool>(), any::<u16>(), any::<u32>(), 2..=255u8),
        nops in 0..=10usize,
        payload in prop::collection::vec(any::<u8>(), 0..1300),
    ) {
        let cast = if v6 { Cast::IPV6 } else { Cast::IPV4 };
        let mut tables = world(&cast);
        tables.listeners[0].when_down = WHEN_DOWN_RESET;
        tables.pools.shared(0).unwrap().block().set(Pool::block_of(SlotIndex::new(0), 0, 0));
        let mut syn = cast.syn();
        syn.source.set_port(port);
        syn.time_to_live = ttl;
        (syn.tcp.sequence_number, syn.payload) = (seq, payload);
        options(&mut syn, &vec![1; nops * 4]);

        let (outcome, left) = send(&tables, Side::Front, &syn);
        prop_assert_eq!(outcome, Outcome::Redirect(0), "back to where it came from");
        prop_assert_eq!(tables.counted(Event::ResetNoMember), 1);
        prop_assert_eq!(left.len(), 14 + cast.front_header() + 20);
        prop_assert_eq!(&left[..12], &[FRONT[1], FRONT[0]].concat()[..]);
        let sliced = etherparse::SlicedPacket::from_ethernet(&left).unwrap();
        if let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net {
            prop_assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
        }
        let answer = Segment::parse(&left).unwrap();
        prop_assert!(answer.checksum_is_right());
        prop_assert_eq!((answer.source, answer.destination), (syn.destination, syn.source));
        prop_assert_eq!(answer.time_to_live, 64);
        let tcp = &answer.tcp;
        prop_assert!(tcp.rst && tcp.ack && !tcp.syn && !tcp.fin && tcp.options.is_empty());
        let end = seq.wrapping_add(1).wrapping_add(syn.payload.len() as u32);
        prop_assert_eq!((tcp.sequence_number, tcp.acknowledgment_number), (0, end));
        prop_assert_eq!(tables.listener_stats.borrow()[&ListenerIndex::new(0)].no_member, 1);
    }
}

#[test]
fn only_a_syn_is_answered() {
    let mut tables = world(&Cast::IPV4);
    tables.listeners[0].when_down = WHEN_DOWN_RESET;
    tables.pools.shared(0).unwrap().block().set(Pool::block_of(SlotIndex::new(0), 0, 0));
    let (outcome, _) = send(&tables, Side::Front, &Cast::IPV4.ack(b"data"));
    assert_eq!(outcome, Outcome::Stop(Event::DropNoSession));
}

#[test]
fn both_directions_are_charged_and_dropped_when_nothing_is_left() {
    for cast in Cast::ALL {
        let mut tables = world(&cast);
        tables.listeners[0].bandwidth = 2;
        let bandwidth = tables.bandwidths.shared(2).unwrap();
        bandwidth.depth().set(depth(1000, HZ));
        bandwidth.cost().set(cost(10_000, HZ));
        handshake(&tables, &cast);
        let upload = cast.ack(&[7; 960]);
        let download = cast.from_backend(|s| s.payload = vec![7; 960]);
        let through = (0..20).filter(|n| {
            let (side, segment) = if n % 2 == 0 { (Side::Front, &upload) } else { (Side::Back, &download) };
            goes_on(&tables, side, segment)
        });
        // 10,000 bytes less the handshake's, about 1,000 each, and one on credit.
        let through = through.count();
        assert!((9..=10).contains(&through), "{through}");
        let stat = tables.listener_stats.borrow()[&ListenerIndex::new(0)];
        assert_eq!(stat.over_bandwidth, 20 - through as u64);
        assert_eq!(tables.counted(Event::DropBandwidth), stat.over_bandwidth);
        tables.now.set(tables.now.get() + 2 * HZ);
        assert!(goes_on(&tables, Side::Back, &download), "time gives it back");
    }
}

#[test]
fn a_live_session_learns_of_a_limit_with_the_generation() {
    let cast = Cast::IPV4;
    let mut tables = world(&cast);
    handshake(&tables, &cast);
    let limited = |tables: &HostTables| {
        tables
            .forward
            .iter()
            .chain(tables.reverse.iter())
            .filter(|h| h.common.flags & FLAG_LIMITED != 0)
            .count()
    };
    assert_eq!(limited(&tables), 0);
    let answer = cast.from_backend(|s| s.payload = b"hi".to_vec());
    for (bandwidth, halves) in [(0, 2), (NO_BANDWIDTH, 0)] {
        tables.listeners[0].bandwidth = bandwidth;
        tables.config.generation += 1;
        assert!(goes_on(&tables, Side::Front, &cast.ack(b"more")));
        assert!(goes_on(&tables, Side::Back, &answer));
        assert_eq!(limited(&tables), halves);
    }
}

#[test]
fn a_connection_counts_until_it_is_over() {
    for cast in Cast::ALL {
        let tables = world(&cast);
        let limit = tables.limits.shared(0).unwrap();
        limit.max_connections().set(1);
        handshake(&tables, &cast);
        assert_eq!(limit.connections().get(), 1);
        let mut other = cast.syn();
        other.source.set_port(other.source.port() + 1);
        let refused = Outcome::Stop(Event::DropConnectionLimit);
        assert_eq!(send(&tables, Side::Front, &other).0, refused);
        assert_eq!(limit.connections().get(), 1);
        assert_eq!(tables.listener_stats.borrow()[&ListenerIndex::new(0)].over_connections, 1);
        assert!(goes_on(&tables, Side::Back, &cast.from_backend(|s| s.tcp.rst = true)));
        assert_eq!(limit.connections().get(), 0);
        assert!(goes_on(&tables, Side::Front, &other));
        assert!(answer(&tables, &Cast { client: other.source, ..cast }, |_| ()));
        let other = Cast { client: other.source, ..cast }.ack(b"");
        assert!(goes_on(&tables, Side::Front, &other));
        // Valid traffic of both ends revives the first one: over the limit, but it was there before.
        assert!(goes_on(&tables, Side::Front, &cast.ack(b"still here")));
        assert!(goes_on(&tables, Side::Back, &cast.from_backend(|_| ())));
        assert_eq!(limit.connections().get(), 2);
    }
}

/// A cast whose client has this last byte in its address, or another network, and this port.
fn client(cast: &Cast, network: bool, port: u16) -> Cast {
    let address = match cast.client.ip() {
        IpAddr::V4(address) => IpAddr::from(Ipv4Addr::from_bits(address.to_bits() ^ u32::from(network) << 8)),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() ^ u128::from(network) << 64).into(),
    };
    Cast { client: SocketAddr::new(address, port), ..*cast }
}

/// The world, with a route to the other network, and so many half-open sessions of each.
fn crowded(cast: &Cast, max_half_open: u32) -> HostTables {
    let mut tables = world(cast);
    tables.config.max_half_open = max_half_open;
    tables.connect(INTERFACES[0], FRONT[0], client(cast, true, 1).client.ip(), FRONT[1]);
    tables
}

fn half_open(tables: &HostTables) -> u32 {
    tables.half_open.iter().sum()
}

/// The backend's SYN-ACK, to the local port that the session got.
fn answer(tables: &HostTables, cast: &Cast, edit: impl FnOnce(&mut Segment)) -> bool {
    let forward = tables.forward.iter().map(|half| half.common);
    let mut all = forward.chain(tables.forward6.iter().map(|half| half.common));
    let session = all.find(|half| half.state == LIVE && half.sport == cast.client.port()).unwrap();
    let mut segment = cast.syn_ack();
    segment.destination.set_port(session.new_sport);
    edit(&mut segment);
    goes_on(tables, Side::Back, &segment)
}

/// Sixty times SYN and SYN-ACK: the listener has sixty places for others.
#[test]
fn a_half_open_session_takes_no_place() {
    for cast in Cast::ALL {
        let tables = crowded(&cast, 1000);
        let limit = tables.limits.shared(0).unwrap();
        limit.max_connections().set(30);
        for port in 0..60 {
            let stranger = client(&cast, false, 2000 + port);
            assert!(goes_on(&tables, Side::Front, &stranger.syn()));
            assert!(answer(&tables, &stranger, |_| ()));
        }
        assert_eq!((limit.connections().get(), half_open(&tables)), (0, 60));
        let other = client(&cast, true, 2000 + 60);
        assert!(goes_on(&tables, Side::Front, &other.syn()));
        assert!(answer(&tables, &other, |_| ()));
        assert!(goes_on(&tables, Side::Front, &other.ack(b"")));
        assert_eq!((limit.connections().get(), half_open(&tables)), (1, 60));
    }
}

#[test]
fn a_network_has_so_many_half_open_sessions() {
    for cast in Cast::ALL {
        let tables = crowded(&cast, 3);
        let of = |port| client(&cast, false, port);
        assert!((1..=3).all(|port| goes_on(&tables, Side::Front, &of(port).syn())));
        assert_eq!(send(&tables, Side::Front, &of(4).syn()).0, Outcome::Stop(Event::DropHalfOpenLimit));
        assert_eq!(tables.listener_stats.borrow()[&ListenerIndex::new(0)].over_connections, 1);
        assert!(goes_on(&tables, Side::Front, &client(&cast, true, 4).syn()), "another network");
        assert!(goes_on(&tables, Side::Front, &of(3).syn()), "the same again is none more");
        // One is complete, one is taken back, one is refused.
        assert!((1..=3).all(|port| port == 3 || answer(&tables, &of(port), |_| ())));
        assert!(goes_on(&tables, Side::Front, &of(1).ack(b"")));
        assert!(goes_on(&tables, Side::Front, &of(2).from_client(|s| s.tcp.rst = true)));
        assert!(answer(&tables, &of(3), |s| (s.tcp.syn, s.tcp.rst, s.tcp.sequence_number) = (false, true, 0)));
        assert_eq!(half_open(&tables), 1, "the other network's");
        assert_eq!(tables.limits.shared(0).unwrap().connections().get(), 1);
        assert!((5..=7).all(|port| goes_on(&tables, Side::Front, &of(port).syn())));
    }
}

/// As at a host whose backlog is full.
#[test]
fn a_handshake_that_finds_no_place_may_find_one_later() {
    for cast in Cast::ALL {
        let tables = crowded(&cast, 0);
        let limit = tables.limits.shared(0).unwrap();
        limit.max_connections().set(1);
        let [first, second] = [1, 2].map(|port| client(&cast, false, port));
        for cast in [first, second] {
            assert!(goes_on(&tables, Side::Front, &cast.syn()));
            assert!(answer(&tables, &cast, |_| ()));
        }
        assert!(goes_on(&tables, Side::Front, &first.ack(b"")));
        let refused = Outcome::Stop(Event::DropConnectionLimit);
        assert_eq!(send(&tables, Side::Front, &second.ack(b"")).0, refused);
        assert_eq!(send(&tables, Side::Front, &second.ack(b"data")).0, refused);
        assert_eq!((limit.connections().get(), half_open(&tables)), (1, 1));
        assert_eq!(tables.listener_stats.borrow()[&ListenerIndex::new(0)].over_connections, 2);
        assert!(
            answer(&tables, &first, |s| (s.tcp.syn, s.tcp.rst, s.tcp.sequence_number) = (false, true, 5001))
        );
        assert_eq!((limit.connections().get(), half_open(&tables)), (0, 1));
        assert!(goes_on(&tables, Side::Front, &second.ack(b"data")));
        assert_eq!((limit.connections().get(), half_open(&tables)), (1, 0));
    }
}

#[test]
fn what_finds_no_port_leaves_no_count() {
    let cast = Cast::IPV4;
    let tables = world(&cast);
    tables.planes.shared(0).unwrap().tail().set(0);
    assert_eq!(send(&tables, Side::Front, &cast.syn()).0, Outcome::Stop(Event::DropNoPort));
    assert_eq!((tables.limits.shared(0).unwrap().connections().get(), half_open(&tables)), (0, 0));
    assert_eq!(tables.listener_stats.borrow()[&ListenerIndex::new(0)].refused, 1);
}
