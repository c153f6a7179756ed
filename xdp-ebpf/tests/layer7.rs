//! Packets of Layer-7 listeners on the host, both ways and of both families: what is counted, charged and refused.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::net::IpAddr;

use testbed::{
    Segment,
    cases::{Cast, FRONT, Side, frame},
};
use xdp_ebpf::{
    abi::{
        ACCESS_ALLOW, ACCESS_DENY, LISTENER_FORWARD, LISTENER_LAYER7, ListenerIndex, ListenerStat,
        PROTOCOL_TCP,
    },
    address::{Address, MappedAddress},
    family::{Family, V4, V6},
    host::{HostPacket, HostTables},
    layer7::{Sent, leave},
    limit::{cost, depth},
    pipeline,
    verdict::{Event, Outcome},
};

const HZ: u32 = 250;
const INTERFACE: u32 = 11;
const CASTS: [Cast; 2] = [Cast::IPV4, Cast::IPV6];

fn world(cast: &Cast) -> HostTables {
    let mut tables = HostTables::new(&[cast.local.ip()], cast.local.port(), 64, 1024);
    tables.listen(PROTOCOL_TCP, cast.vip, &[cast.backend]);
    tables.listeners[0].kind = LISTENER_LAYER7;
    tables.connect(INTERFACE, FRONT[0], cast.client.ip(), FRONT[1]);
    tables
}

/// What becomes of a client's segment, which must be left as it is; and its bytes from the IP header on.
fn arrive(tables: &HostTables, segment: &Segment) -> (Event, u64) {
    let bytes = frame(Side::Front, &segment.packet().unwrap());
    let mut packet = HostPacket::new(&bytes, 224, INTERFACE);
    let Outcome::Stop(event) = pipeline::process(&mut packet, tables) else { panic!("it went on") };
    assert_eq!(packet.frame(), bytes);
    (event, bytes.len() as u64 - 14)
}

/// What becomes of what the host sends from here.
fn send(tables: &HostTables, src: IpAddr, sport: u16, packets: u32, bytes: u32) -> Result<(), Event> {
    fn of<F: Family>(tables: &HostTables, src: F::Address, rest: (u16, u32, u32)) -> Result<(), Event> {
        let (sport, packets, bytes) = rest;
        leave::<F, _>(tables, &Sent { src, sport, packets, bytes })
    }
    let rest = (sport, packets, bytes);
    match src {
        IpAddr::V4(_) => of::<V4>(tables, Address::from_mapped(MappedAddress::from(src)).unwrap(), rest),
        IpAddr::V6(src) => of::<V6>(tables, src.octets(), rest),
    }
}

fn stat(tables: &HostTables) -> ListenerStat {
    tables.listener_stats.borrow().get(&ListenerIndex::new(0)).copied().unwrap_or_default()
}

#[test]
fn both_ways_are_counted() {
    for cast in CASTS {
        let tables = world(&cast);
        let (event, syn) = arrive(&tables, &cast.syn());
        assert_eq!(event, Event::PassLayer7);
        let (event, data) = arrive(&tables, &cast.ack(b"hello"));
        assert_eq!(event, Event::PassLayer7);
        assert_eq!(send(&tables, cast.vip.ip(), cast.vip.port(), 3, 4100), Ok(()));
        let expected = ListenerStat {
            packets_in: 2,
            bytes_in: syn + data,
            packets_out: 3,
            bytes_out: 4100,
            sessions: 1,
            ..ListenerStat::default()
        };
        assert_eq!(stat(&tables), expected);
    }
}

#[test]
fn what_the_host_sends_from_elsewhere_is_left_alone() {
    for cast in CASTS {
        let mut tables = world(&cast);
        let (vip, port) = (cast.vip.ip(), cast.vip.port());
        for (src, port) in [(vip, port + 1), (cast.client.ip(), port), (cast.local.ip(), port)] {
            assert_eq!(send(&tables, src, port, 1, 1000), Ok(()));
        }
        tables.listeners[0].kind = LISTENER_FORWARD;
        assert_eq!(send(&tables, vip, port, 1, 1000), Ok(()));
        assert_eq!(stat(&tables), ListenerStat::default());
    }
}

#[test]
fn both_ways_share_the_bandwidth() {
    for cast in CASTS {
        let mut tables = world(&cast);
        tables.listeners[0].bandwidth = 2;
        let bandwidth = tables.bandwidths.shared(2).unwrap();
        bandwidth.depth().set(depth(1000, HZ));
        bandwidth.cost().set(cost(10_000, HZ));
        let upload = cast.ack(&[7; 960]);
        let leaves = || send(&tables, cast.vip.ip(), cast.vip.port(), 1, 1000);
        let mut through = 0;
        for _ in 0..10 {
            through += u64::from(arrive(&tables, &upload).0 == Event::PassLayer7);
            through += u64::from(leaves().is_ok());
        }
        // 10,000 bytes, about 1,000 each, and one on credit.
        assert!((10..=11).contains(&through), "{through}");
        let counted = stat(&tables);
        assert_eq!(
            (counted.over_bandwidth, counted.packets_in + counted.packets_out),
            (20 - through, through)
        );
        tables.now.set(tables.now.get() + 2 * HZ);
        assert_eq!(leaves(), Ok(()), "time gives it back");
    }
}

#[test]
fn as_many_connections_as_layer_7_has_room_for() {
    for cast in CASTS {
        let tables = world(&cast);
        let limit = tables.limits.shared(0).unwrap();
        limit.max_connections().set(2);
        limit.connections().set(1);
        assert_eq!(arrive(&tables, &cast.syn()).0, Event::PassLayer7);
        assert_eq!(limit.connections().get(), 1, "counting is Layer 7's business");
        limit.connections().set(2);
        assert_eq!(arrive(&tables, &cast.syn()).0, Event::DropConnectionLimit);
        assert_eq!(arrive(&tables, &cast.ack(b"more")).0, Event::PassLayer7, "who is in stays in");
        assert_eq!((stat(&tables).sessions, stat(&tables).over_connections), (1, 1));
    }
}

#[test]
fn new_connections_come_no_faster_than_they_may() {
    for cast in CASTS {
        let tables = world(&cast);
        let limit = tables.limits.shared(0).unwrap();
        limit.depth().set(depth(1000, HZ));
        limit.cost().set(cost(5, HZ));
        let come = || (0..20).filter(|_| arrive(&tables, &cast.syn()).0 == Event::PassLayer7).count();
        assert_eq!(come(), 5);
        assert_eq!(arrive(&tables, &cast.syn()).0, Event::DropRateLimit);
        assert_eq!(arrive(&tables, &cast.ack(b"more")).0, Event::PassLayer7);
        assert_eq!((stat(&tables).sessions, stat(&tables).over_rate), (5, 16));
        tables.now.set(tables.now.get() + HZ);
        assert_eq!(come(), 5);
    }
}

/// A refusal counts as one of a session only if there was to be one, and takes nothing of what others may use.
#[test]
fn whoever_is_denied_uses_up_nothing() {
    for cast in CASTS {
        let mut tables = world(&cast);
        tables.access.push((0, MappedAddress::from(cast.client.ip()), 128, ACCESS_DENY));
        tables.listeners[0].access = ACCESS_ALLOW;
        let limit = tables.limits.shared(0).unwrap();
        limit.depth().set(depth(1000, HZ));
        limit.cost().set(cost(1, HZ));
        for segment in [cast.syn(), cast.ack(b"hello"), cast.syn()] {
            assert_eq!(arrive(&tables, &segment).0, Event::DropDenied);
        }
        assert_eq!(stat(&tables), ListenerStat { denied: 2, ..ListenerStat::default() });
        assert_eq!(limit.spent().get(), 0);
    }
}
