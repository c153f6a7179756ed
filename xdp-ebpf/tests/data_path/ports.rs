//! Local ports: what becomes of a client whose member has none left.

use std::net::SocketAddr;

use testbed::{
    Datagram, Segment,
    cases::{BACK, Cast, FRONT, Side, frame},
};
use xdp_ebpf::{
    abi::{
        ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_ROUND_ROBIN, ALGORITHM_SOURCE_HASH, MAX_PLANES, PROTOCOL_TCP,
        PROTOCOL_UDP, Pool, SlotIndex, plane_of,
    },
    host::HostTables,
    verdict::{Event, Outcome},
};

use crate::world::{INTERFACES, World};

const PORTS: u32 = 4;

fn plane(member: SocketAddr) -> u32 {
    match member.ip() {
        std::net::IpAddr::V4(address) => plane_of(address.octets(), member.port(), MAX_PLANES - 1),
        std::net::IpAddr::V6(address) => plane_of(address.octets(), member.port(), MAX_PLANES - 1),
    }
}

/// So many members in a plane each.
fn members(cast: &Cast, count: usize) -> Vec<SocketAddr> {
    let mut members: Vec<SocketAddr> = Vec::new();
    for port in 8080.. {
        let member = SocketAddr::new(cast.backend.ip(), port);
        if members.iter().all(|other| plane(*other) != plane(member)) {
            members.push(member);
        }
        if members.len() == count {
            break;
        }
    }
    members
}

fn world(cast: &Cast, members: &[SocketAddr], algorithm: u8, sticky: u32) -> World {
    let locals = [Cast::IPV4.local.ip(), Cast::IPV6.local.ip()];
    let mut tables = HostTables::with_planes(&locals, MAX_PLANES, Cast::IPV4.local.port(), PORTS, 64);
    for protocol in [PROTOCOL_TCP, PROTOCOL_UDP] {
        tables.listen(protocol, cast.vip, members);
    }
    tables.connect(INTERFACES[0], FRONT[0], cast.client.ip(), FRONT[1]);
    tables.connect(INTERFACES[1], BACK[0], cast.backend.ip(), BACK[1]);
    let count = members.len() as u32;
    for pool in 0..2 {
        let of = tables.pools.shared(pool).unwrap();
        of.block().set(Pool::block_of(SlotIndex::new(pool * count), count, algorithm));
        of.sticky().set(sticky);
    }
    World { tables }
}

fn from(cast: &Cast, port: u16) -> SocketAddr {
    SocketAddr::new(cast.client.ip(), port)
}

#[test]
fn another_member_takes_what_the_first_has_no_port_for() {
    for (algorithm, sticky) in [
        (ALGORITHM_ROUND_ROBIN, 0),
        (ALGORITHM_ROUND_ROBIN, 60),
        (ALGORITHM_SOURCE_HASH, 0),
        (ALGORITHM_LEAST_CONNECTIONS, 0),
    ] {
        for cast in Cast::ALL {
            let members = members(&cast, 3);
            let world = world(&cast, &members, algorithm, sticky);
            let what = format!("{cast:?} {algorithm} {sticky}");
            // Not all of one plane: all of three.
            let connect = |n| Segment { source: from(&cast, 10_000 + n), ..cast.syn() };
            let mut taken: Vec<SocketAddr> =
                (0..3 * PORTS as u16).map(|n| world.forward(Side::Front, &connect(n)).destination).collect();
            taken.sort();
            for member in &members {
                assert_eq!(taken.iter().filter(|to| *to == member).count(), PORTS as usize, "{what}");
            }
            if algorithm == ALGORITHM_SOURCE_HASH {
                let passed_over = world.tables.counted(Event::MemberPassedOver);
                assert_eq!(passed_over, 2 * u64::from(PORTS), "{what}");
            }
            let last = frame(Side::Front, &connect(3 * PORTS as u16).packet().unwrap());
            assert_eq!(world.send(Side::Front, &last).0, Outcome::Stop(Event::DropNoPort), "{what}");
            assert_eq!(world.tables.half_open.iter().sum::<u32>(), 3 * PORTS);
        }
    }
}

/// It goes to the other member, and stays there.
#[test]
fn a_client_that_sticks_moves_once() {
    let cast = Cast::IPV4;
    let members = members(&cast, 2);
    let world = world(&cast, &members, ALGORITHM_ROUND_ROBIN, 60);
    let to = |n| world.forward(Side::Front, &Segment { source: from(&cast, n), ..cast.syn() }).destination;
    let own = to(1);
    assert_eq!([2, 3, 4].map(to), [own; 3]);
    let other = to(5);
    assert_ne!(other, own);
    assert_eq!([6, 7, 8].map(to), [other; 3]);
}

#[test]
fn datagrams_too() {
    for cast in Cast::ALL {
        let members = members(&cast, 2);
        let world = world(&cast, &members, ALGORITHM_SOURCE_HASH, 0);
        for n in 0..2 * PORTS as u16 {
            world.forward_datagram(Side::Front, &Datagram::new(from(&cast, 10_000 + n), cast.vip, b"?"));
        }
        assert_eq!(world.tables.counted(Event::MemberPassedOver), u64::from(PORTS), "{cast:?}");
    }
}
