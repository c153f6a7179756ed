//! Access lists: who gets in, and who is cut off when a list changes.

use testbed::cases::{CLIENT, Side, ack, from_backend, syn, syn_ack};
use xdp_ebpf::{
    abi::{ACCESS_ALLOW, ACCESS_DENY, DYING, FREE, LIVE},
    verdict::{Event, Outcome},
};

use crate::world::World;

const NETWORK: [u8; 4] = [198, 51, 100, 0];

/// Network, length, `ACCESS_…`.
type Prefix = ([u8; 4], u32, u32);

/// The TCP listener with this list, which is number 7.
fn restrict(world: &mut World, default: u32, prefixes: &[Prefix]) {
    let listener = &mut world.tables.listeners[0];
    (listener.access, listener.access_list) = (default, 7);
    world.tables.access =
        prefixes.iter().map(|&(network, length, value)| (7, network, length, value)).collect();
    world.tables.access.push((8, [0; 4], 0, ACCESS_ALLOW));
}

fn first_syn(world: &World) -> Outcome {
    world.send(Side::Front, &testbed::cases::frame(Side::Front, &syn().packet().unwrap())).0
}

#[test]
fn the_longest_prefix_decides_and_then_the_default() {
    let client = CLIENT.ip().octets();
    let cases: [(u32, &[Prefix], bool); 8] = [
        (ACCESS_DENY, &[], false),
        (ACCESS_ALLOW, &[], true),
        (ACCESS_DENY, &[(NETWORK, 24, ACCESS_ALLOW)], true),
        (ACCESS_DENY, &[(NETWORK, 24, ACCESS_ALLOW), (client, 32, ACCESS_DENY)], false),
        (ACCESS_ALLOW, &[(NETWORK, 24, ACCESS_DENY)], false),
        (ACCESS_ALLOW, &[(NETWORK, 24, ACCESS_DENY), (client, 32, ACCESS_ALLOW)], true),
        (ACCESS_ALLOW, &[([198, 51, 101, 0], 24, ACCESS_DENY)], true),
        (ACCESS_DENY, &[([0; 4], 0, ACCESS_ALLOW)], true),
    ];
    for (default, prefixes, gets_in) in cases {
        let mut world = World::new();
        restrict(&mut world, default, prefixes);
        let outcome = first_syn(&world);
        assert_eq!(
            outcome != Outcome::Stop(Event::DropDenied),
            gets_in,
            "{default} {prefixes:?}: {outcome:?}"
        );
        if !gets_in {
            assert!(world.tables.forward.iter().all(|half| half.state == FREE));
        }
    }
}

/// An open connection, and then a list that keeps its client out.
fn shut_out() -> World {
    let mut world = World::new();
    world.forward(Side::Front, &syn());
    world.forward(Side::Back, &syn_ack());
    world.forward(Side::Front, &ack(b"hello"));
    restrict(&mut world, ACCESS_DENY, &[]);
    world
}

#[test]
fn a_change_cuts_live_sessions_by_their_next_packet_in_either_direction() {
    let answer = from_backend(|s| s.payload = b"hi".to_vec());
    for (side, packet) in [(Side::Front, ack(b"more")), (Side::Back, answer)] {
        let mut world = shut_out();
        let frame = testbed::cases::frame(side, &packet.packet().unwrap());
        assert!(
            matches!(world.send(side, &frame).0, Outcome::Redirect(_)),
            "nothing looks before the generation moves"
        );
        world.tables.config.generation += 1;
        assert_eq!(world.send(side, &frame).0, Outcome::Stop(Event::DropDenied));
        let states: Vec<u32> =
            world.tables.forward.iter().chain(world.tables.reverse.iter()).map(|h| h.state).collect();
        assert_eq!(states.iter().filter(|state| **state == DYING).count(), 2);
        assert!(!states.contains(&LIVE));
        assert_eq!(world.tables.loads.shared(0).unwrap().snapshot(), 0, "it counts no more");
    }
}

#[test]
fn a_change_leaves_those_who_may_stay() {
    let mut world = shut_out();
    world.tables.access.push((7, NETWORK, 24, ACCESS_ALLOW));
    world.tables.config.generation += 1;
    world.forward(Side::Front, &ack(b"more"));
    world.forward(Side::Back, &from_backend(|s| s.payload = b"hi".to_vec()));
}
