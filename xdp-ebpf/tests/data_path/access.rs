//! Access lists: who gets in, and who is cut off when a list changes.

use testbed::{
    Segment,
    cases::{Cast, Side, frame},
};
use xdp_ebpf::{
    abi::{ACCESS_ALLOW, ACCESS_DENY, CUT, FREE, LIVE},
    address::MappedAddress,
    verdict::{Event, Outcome},
};

use crate::world::{World, mapped};

/// Network, length as of a mapped address, `ACCESS_…`.
type Prefix = (MappedAddress, u32, u32);

/// What is around the cast's client: everybody of its family, its /24 or /64, and itself.
fn around(cast: &Cast) -> [(MappedAddress, u32); 3] {
    let client = mapped(cast.client.ip());
    let lengths = if cast.client.is_ipv4() { [96, 120, 128] } else { [0, 64, 128] };
    lengths.map(|length| {
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        let network = u128::from_be_bytes(client.bytes) & mask;
        (MappedAddress { bytes: network.to_be_bytes() }, length)
    })
}

/// All listeners with this list, which is number 7.
fn restrict(world: &mut World, default: u32, prefixes: &[Prefix]) {
    for listener in &mut world.tables.listeners {
        (listener.access, listener.access_list) = (default, 7);
    }
    world.tables.access =
        prefixes.iter().map(|&(network, length, value)| (7, network, length, value)).collect();
    world.tables.access.push((8, MappedAddress::UNSPECIFIED, 0, ACCESS_ALLOW));
}

#[test]
fn the_longest_prefix_decides_and_then_the_default() {
    for cast in Cast::ALL {
        let [all, net, one] = around(&cast);
        let with = |(network, length), value| (network, length, value);
        let mut beside = net.0;
        beside.bytes[net.1 as usize / 8 - 1] ^= 1;
        let cases: [(u32, &[Prefix], bool); 8] = [
            (ACCESS_DENY, &[], false),
            (ACCESS_ALLOW, &[], true),
            (ACCESS_DENY, &[with(net, ACCESS_ALLOW)], true),
            (ACCESS_DENY, &[with(net, ACCESS_ALLOW), with(one, ACCESS_DENY)], false),
            (ACCESS_ALLOW, &[with(net, ACCESS_DENY)], false),
            (ACCESS_ALLOW, &[with(net, ACCESS_DENY), with(one, ACCESS_ALLOW)], true),
            (ACCESS_ALLOW, &[(beside, net.1, ACCESS_DENY)], true),
            (ACCESS_DENY, &[with(all, ACCESS_ALLOW)], true),
        ];
        for (default, prefixes, gets_in) in cases {
            let mut world = World::new();
            restrict(&mut world, default, prefixes);
            let outcome = world.send(Side::Front, &frame(Side::Front, &cast.syn().packet().unwrap())).0;
            let denied = outcome == Outcome::Stop(Event::DropDenied);
            assert_eq!(!denied, gets_in, "{default} {prefixes:?}, {cast:?}: {outcome:?}");
            if !gets_in {
                assert!(world.halves().iter().all(|half| half.state == FREE));
            }
        }
    }
}

/// An open connection, and then a list that keeps its client out.
fn shut_out(cast: &Cast) -> World {
    let mut world = World::new();
    world.forward(Side::Front, &cast.syn());
    world.forward(Side::Back, &cast.syn_ack());
    world.forward(Side::Front, &cast.ack(b"hello"));
    restrict(&mut world, ACCESS_DENY, &[]);
    world
}

#[test]
fn a_change_cuts_live_sessions_by_their_next_packet_in_either_direction() {
    for cast in Cast::ALL {
        let answer = cast.from_backend(|s| s.payload = b"hi".to_vec());
        for (side, packet) in [(Side::Front, cast.ack(b"more")), (Side::Back, answer)] {
            let mut world = shut_out(&cast);
            let frame = frame(side, &packet.packet().unwrap());
            assert!(
                matches!(world.send(side, &frame).0, Outcome::Redirect(_)),
                "nothing looks before the generation moves"
            );
            let loads = |world: &World| world.tables.loads.iter().sum::<u32>();
            assert_eq!(loads(&world), 1);
            world.tables.config.generation += 1;
            let (outcome, answer) = world.send(side, &frame);
            assert_eq!(outcome, Outcome::Redirect(side as u8), "{cast:?}: it is answered");
            assert!(Segment::parse(&answer).unwrap().tcp.rst);
            let states: Vec<u8> = world.halves().iter().map(|half| half.state).collect();
            assert_eq!(states.iter().filter(|state| **state == CUT).count(), 2, "{cast:?}");
            assert!(!states.contains(&LIVE));
            assert_eq!(loads(&world), 0, "it counts no more");
        }
    }
}

#[test]
fn a_change_leaves_those_who_may_stay() {
    for cast in Cast::ALL {
        let mut world = shut_out(&cast);
        let [_, (network, length), _] = around(&cast);
        world.tables.access.push((7, network, length, ACCESS_ALLOW));
        world.tables.config.generation += 1;
        world.forward(Side::Front, &cast.ack(b"more"));
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"hi".to_vec()));
    }
}
