//! Sessions: the inverse law, ports, members, resets.

use std::net::SocketAddrV4;

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{BACKEND, CLIENT, LOCAL, Side, VIP, ack, from_backend, from_client, syn},
};
use xdp_ebpf::{
    abi::{DYING, FREE, LIVE},
    tcp_state::State,
    verdict::{Event, Outcome},
};

use crate::world::World;

fn syn_from(client: SocketAddrV4) -> Segment {
    let mut segment = syn();
    segment.source = client;
    segment
}

fn client(n: u16) -> SocketAddrV4 {
    SocketAddrV4::new(*CLIENT.ip(), 10_000 + n)
}

proptest! {
    /// What the backend answers to the addresses it saw reaches the client from the addresses it called, and what
    /// was said arrives unchanged in both directions.
    #[test]
    fn there_and_back_again(
        port in 1..u16::MAX,
        sequence in any::<u32>(),
        there in prop::collection::vec(any::<u8>(), 0..1400),
        back in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let world = World::new();
        let client = SocketAddrV4::new(*CLIENT.ip(), port);
        let mut first = syn_from(client);
        first.tcp.sequence_number = sequence;
        let seen = world.forward(Side::Front, &first);
        prop_assert_eq!(seen.destination, BACKEND);

        let mut data = ack(&there);
        data.source = client;
        let arrived = world.forward(Side::Front, &data);
        prop_assert_eq!(arrived.source, seen.source);
        prop_assert_eq!(arrived.payload, there);

        let answer = from_backend(|s| (s.destination, s.payload) = (seen.source, back.clone()));
        let answered = world.forward(Side::Back, &answer);
        prop_assert_eq!((answered.source, answered.destination), (VIP, client));
        prop_assert_eq!(answered.payload, back);
    }
}

#[test]
fn members_take_turns_as_the_slots_say() {
    let others = [([192, 0, 2, 11], 8080), ([192, 0, 2, 12], 8080), ([192, 0, 2, 13], 8080)];
    let world = World::with_backends(256, &others);
    let picked: Vec<u8> = (0..9)
        .map(|n| world.forward(Side::Front, &syn_from(client(n))).destination.ip().octets()[3])
        .collect();
    assert_eq!(picked, [11, 12, 13, 11, 12, 13, 11, 12, 13]);
}

#[test]
fn ports_run_out_by_name_and_come_back() {
    let world = World::with_ports(4);
    let ports: Vec<u16> =
        (0..4).map(|n| world.forward(Side::Front, &syn_from(client(n))).source.port()).collect();
    assert_eq!(ports, [20_000, 20_001, 20_002, 20_003], "first in, first out");
    let fifth = testbed::cases::frame(Side::Front, &syn_from(client(4)).packet().unwrap());
    assert_eq!(world.send(Side::Front, &fifth).0, Outcome::Stop(Event::DropNoPort));
    assert_eq!(
        world.tables.forward.iter().filter(|half| half.state != FREE).count(),
        4,
        "nothing left half-open"
    );

    // As the sweeper gives a port back: the half first, then the entry, then the tail.
    world.tables.reverse.shared(2).unwrap().state().set(FREE);
    world.tables.ports.borrow_mut()[0] = 20_002;
    world.tables.planes.shared(0).unwrap().tail().set(5);
    assert_eq!(world.forward(Side::Front, &syn_from(client(4))).source.port(), 20_002);
}

#[test]
fn a_full_table_refuses_by_name() {
    let mut world = World::with_ports(64);
    world.tables.config.forward_mask = 0;
    for n in 0..4 {
        world.forward(Side::Front, &syn_from(client(n)));
    }
    let fifth = testbed::cases::frame(Side::Front, &syn_from(client(4)).packet().unwrap());
    assert_eq!(world.send(Side::Front, &fifth).0, Outcome::Stop(Event::DropTableFull));
    let plane = world.tables.planes.shared(0).unwrap().snapshot();
    assert_eq!(plane.head, 4, "a refused connection takes no port");
}

fn states(world: &World) -> Vec<(u32, State)> {
    let halves = world.tables.forward.iter().chain(world.tables.reverse.iter());
    halves
        .filter(|half| half.state != FREE)
        .map(|half| (half.state, State::from_u8(half.tcp).unwrap()))
        .collect()
}

#[test]
fn both_halves_follow_the_session_and_a_forged_reset_is_undone() {
    let world = World::new();
    world.forward(Side::Front, &syn());
    assert_eq!(states(&world), [(LIVE, State::SynRecv); 2]);
    world.forward(Side::Back, &testbed::cases::syn_ack());
    world.forward(Side::Front, &ack(b""));
    assert_eq!(states(&world), [(LIVE, State::Established); 2]);

    world.forward(Side::Front, &from_client(|s| s.tcp.rst = true));
    assert_eq!(states(&world), [(LIVE, State::Close); 2]);
    assert_eq!(load(&world), 0, "over");
    world.forward(Side::Front, &ack(b"still"));
    assert_eq!(states(&world), [(LIVE, State::Close); 2], "one end alone proves nothing");
    world.forward(Side::Back, &from_backend(|s| s.payload = b"here".to_vec()));
    assert_eq!(states(&world), [(LIVE, State::Established); 2]);
    assert_eq!(load(&world), 1, "not over after all");
}

/// How many connections the backend has.
fn load(world: &World) -> u32 {
    world.tables.loads.shared(0).unwrap().snapshot()
}

#[test]
fn a_true_reset_stays_and_a_new_syn_gets_a_fresh_port() {
    let world = World::new();
    let first = world.forward(Side::Front, &syn());
    world.forward(Side::Back, &testbed::cases::syn_ack());
    world.forward(Side::Front, &ack(b""));
    world.forward(Side::Back, &from_backend(|s| s.tcp.rst = true));
    world.forward(Side::Front, &ack(b"in flight"));
    assert_eq!(states(&world), [(LIVE, State::Close); 2]);

    let second = world.forward(Side::Front, &syn());
    assert_eq!(first.source, LOCAL);
    assert_ne!(second.source, first.source);
    let mut seen = states(&world);
    seen.sort_by_key(|(state, _)| *state);
    // Of the old session the reverse half is left, for the sweeper; the new one has its forward slot.
    assert_eq!(seen, [(LIVE, State::SynRecv), (LIVE, State::SynRecv), (DYING, State::Close)]);
}

#[test]
fn a_half_remembers_what_a_reset_needs() {
    let world = World::new();
    world.forward(Side::Front, &syn());
    world.forward(Side::Back, &testbed::cases::syn_ack());
    world.tables.now.set(77);
    world.forward(Side::Front, &from_client(|s| (s.tcp.ack, s.tcp.acknowledgment_number) = (true, 6543)));
    let half = world.tables.forward.iter().find(|half| half.state == LIVE).unwrap();
    assert_eq!((half.ack, half.last_seen, half.packets), (6543, 77, 2));
    let half = world.tables.reverse.iter().find(|half| half.state == LIVE).unwrap();
    assert_eq!((half.ack, half.last_seen, half.packets), (1001, 1000, 1));
}

#[test]
fn a_new_generation_asks_for_the_next_hop_again() {
    let mut world = World::new();
    world.forward(Side::Front, &syn());
    let moved = [2, 0, 0, 0, 9, 9];
    world.tables.connect(crate::world::INTERFACES[1], testbed::cases::BACK[0], BACKEND.ip().octets(), moved);
    let bytes = testbed::cases::frame(Side::Front, &syn().packet().unwrap());
    assert_eq!(world.send(Side::Front, &bytes).1[..6], testbed::cases::BACK[1], "nothing asks yet");
    world.tables.config.generation += 1;
    assert_eq!(world.send(Side::Front, &bytes).1[..6], moved);
    world.tables.routes.clear();
    world.tables.config.generation += 1;
    assert_eq!(world.send(Side::Front, &bytes).1[..6], moved, "no answer: the old one stays");
}

#[test]
fn what_is_larger_than_the_way_out_is_dropped_by_name() {
    const MTU: usize = 1500;
    let world = World::new();
    world.forward(Side::Front, &syn());
    let headers = ack(b"").packet().unwrap().len();
    let sent = |total: usize| {
        let packet = ack(&vec![7; total - headers]).packet().unwrap();
        world.send(Side::Front, &testbed::cases::frame(Side::Front, &packet)).0
    };
    assert!(matches!(sent(MTU), Outcome::Redirect(_)));
    assert_eq!(sent(MTU + 1), Outcome::Stop(Event::DropOverMtu));
}
