//! Sessions: the inverse law, ports, members, resets.

use std::net::SocketAddr;

use proptest::prelude::*;
use testbed::{
    Datagram, Segment,
    cases::{BACK, Cast, Side, frame},
};
use xdp_ebpf::{
    abi::{Common, DYING, ENTRY_REMOVED, FLAG_MIXED, FREE, LIVE},
    admit,
    family::V4,
    host::HostPacket,
    next_hop, open,
    tcp_state::State,
    verdict::{Event, Outcome},
};

use crate::world::{INTERFACES, World};

fn syn_from(cast: &Cast, client: SocketAddr) -> Segment {
    let mut segment = cast.syn();
    segment.source = client;
    segment
}

fn client(cast: &Cast, n: u16) -> SocketAddr {
    SocketAddr::new(cast.client.ip(), 10_000 + n)
}

fn any_cast() -> impl Strategy<Value = Cast> {
    prop::sample::select(Cast::ALL.to_vec())
}

proptest! {
    /// What the backend answers to the addresses it saw reaches the client from the addresses it called, and what
    /// was said arrives unchanged in both directions.
    #[test]
    fn there_and_back_again(
        cast in any_cast(),
        port in 1..u16::MAX,
        sequence in any::<u32>(),
        there in prop::collection::vec(any::<u8>(), 0..1400),
        back in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let world = World::new();
        let client = SocketAddr::new(cast.client.ip(), port);
        let mut first = syn_from(&cast, client);
        first.tcp.sequence_number = sequence;
        let seen = world.forward(Side::Front, &first);
        prop_assert_eq!(seen.destination, cast.backend);

        let mut data = cast.ack(&there);
        data.source = client;
        let arrived = world.forward(Side::Front, &data);
        prop_assert_eq!(arrived.source, seen.source);
        prop_assert_eq!(arrived.payload, there);

        let answer = cast.from_backend(|s| (s.destination, s.payload) = (seen.source, back.clone()));
        let answered = world.forward(Side::Back, &answer);
        prop_assert_eq!((answered.source, answered.destination), (cast.vip, client));
        prop_assert_eq!(answered.payload, back);
    }

    /// The same of datagrams, whose checksum is never zero.
    #[test]
    fn datagrams_there_and_back_again(
        cast in any_cast(),
        port in 1..u16::MAX,
        there in prop::collection::vec(any::<u8>(), 0..1400),
        back in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let world = World::new();
        let client = SocketAddr::new(cast.client.ip(), port);
        let seen = world.forward_datagram(Side::Front, &Datagram::new(client, cast.vip, &there));
        prop_assert_eq!((seen.destination, &seen.payload), (cast.backend, &there));
        prop_assert_ne!(seen.checksum, Some(0));
        for _ in 0..2 {
            let answer = Datagram::new(cast.backend, seen.source, &back);
            let answered = world.forward_datagram(Side::Back, &answer);
            prop_assert_eq!((answered.source, answered.destination), (cast.vip, client));
            prop_assert_eq!(&answered.payload, &back);
            prop_assert_ne!(answered.checksum, Some(0));
        }
    }
}

#[test]
fn members_take_turns_as_the_slots_say() {
    for cast in Cast::ALL {
        let mut members = [cast.backend; 3];
        for (n, member) in members.iter_mut().enumerate() {
            member.set_port(8080 + n as u16);
        }
        let world = World::with_members(256, &[(cast, members.to_vec())]);
        let picked: Vec<u16> = (0..9)
            .map(|n| world.forward(Side::Front, &syn_from(&cast, client(&cast, n))).destination.port())
            .collect();
        assert_eq!(picked, [8080, 8081, 8082, 8080, 8081, 8082, 8080, 8081, 8082]);
    }
}

/// The slots have been written without the member by the time that the generation moves.
#[test]
fn datagrams_leave_a_removed_member_and_connections_stay() {
    for cast in Cast::ALL {
        let mut other = cast.backend;
        other.set_port(8081);
        let mut world = World::with_members(256, &[(cast, vec![cast.backend, other])]);
        let question = Datagram::new(cast.client, cast.vip, b"?");
        let seen = world.forward_datagram(Side::Front, &question);
        let connected = world.forward(Side::Front, &cast.syn());
        assert_eq!((seen.destination, connected.destination), (cast.backend, cast.backend));
        world.tables.backends.iter_mut().step_by(2).for_each(|backend| backend.state = ENTRY_REMOVED);
        assert_eq!(world.forward_datagram(Side::Front, &question).destination, cast.backend, "not yet");

        world.tables.config.generation += 1;
        // What was asked may still be answered.
        world.forward_datagram(Side::Back, &Datagram::new(cast.backend, seen.source, b"!"));
        let last = world.send(Side::Front, &frame(Side::Front, &question.packet().unwrap())).0;
        assert_eq!(last, Outcome::Stop(Event::DropMemberRemoved));
        assert_eq!(world.halves().iter().filter(|half| half.state == DYING).count(), 2);
        assert_eq!(world.forward_datagram(Side::Front, &question).destination, other);
        assert_eq!(
            world.forward(Side::Front, &cast.syn()).destination,
            cast.backend,
            "the connection's SYN again"
        );
    }
}

#[test]
fn one_pool_has_members_of_both_families() {
    for (cast, other) in [(Cast::IPV4, Cast::IPV6), (Cast::IPV6, Cast::IPV4)] {
        let members = vec![cast.backend, other.backend];
        let world = World::with_members(64, &[(cast, members.clone())]);
        for n in 0..4 {
            let left = world.forward(Side::Front, &syn_from(&cast, client(&cast, n)));
            let member = members[usize::from(n) % 2];
            assert_eq!(left.destination, member);
            let answer = Segment { source: member, destination: left.source, ..cast.syn_ack() };
            assert_eq!(world.forward(Side::Back, &answer).destination, client(&cast, n));
        }
    }
}

#[test]
fn ports_run_out_by_name_and_come_back() {
    for cast in Cast::ALL {
        let world = World::with_ports(4);
        let ports: Vec<u16> = (0..4)
            .map(|n| world.forward(Side::Front, &syn_from(&cast, client(&cast, n))).source.port())
            .collect();
        assert_eq!(ports, [20_000, 20_001, 20_002, 20_003], "first in, first out");
        let fifth = frame(Side::Front, &syn_from(&cast, client(&cast, 4)).packet().unwrap());
        assert_eq!(world.send(Side::Front, &fifth).0, Outcome::Stop(Event::DropNoPort));
        let taken = world.forward_halves().iter().filter(|half| half.state != FREE).count();
        assert_eq!(taken, 4, "nothing left half-open");

        // As the sweeper gives a port back: the half first, then the entry, then the tail.
        let ring = if cast.backend.is_ipv4() {
            world.tables.reverse.shared(2).unwrap().state().set(FREE);
            0
        } else {
            world.tables.reverse6.shared(2).unwrap().state().set(FREE);
            1
        };
        world.tables.ports.borrow_mut()[ring * 4] = 20_002;
        world.tables.planes.shared(ring as u32).unwrap().tail().set(5);
        let again = world.forward(Side::Front, &syn_from(&cast, client(&cast, 4)));
        assert_eq!(again.source.port(), 20_002);
    }
}

#[test]
fn a_full_table_refuses_by_name() {
    for cast in Cast::ALL {
        let mut world = World::with_ports(64);
        (world.tables.config.forward_mask, world.tables.config.forward6_mask) = (0, 0);
        for n in 0..4 {
            world.forward(Side::Front, &syn_from(&cast, client(&cast, n)));
        }
        let fifth = frame(Side::Front, &syn_from(&cast, client(&cast, 4)).packet().unwrap());
        assert_eq!(world.send(Side::Front, &fifth).0, Outcome::Stop(Event::DropTableFull));
        let taken: u32 = world.tables.planes.iter().map(|plane| plane.head).sum();
        assert_eq!(taken, 4, "a refused connection takes no port");
    }
}

fn states(world: &World) -> Vec<(u8, State)> {
    let halves = world.halves().into_iter().filter(|half| half.state != FREE);
    halves.map(|half| (half.state, State::from_u8(half.tcp).unwrap())).collect()
}

/// How many connections the backends have.
fn load(world: &World) -> u32 {
    world.tables.loads.iter().sum()
}

#[test]
fn both_halves_follow_the_session_and_a_forged_reset_is_undone() {
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        assert_eq!(states(&world), [(LIVE, State::SynRecv); 2]);
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Front, &cast.ack(b""));
        assert_eq!(states(&world), [(LIVE, State::Established); 2]);

        world.forward(Side::Front, &cast.from_client(|s| s.tcp.rst = true));
        assert_eq!(states(&world), [(LIVE, State::Close); 2]);
        assert_eq!(load(&world), 0, "over");
        world.forward(Side::Front, &cast.ack(b"still"));
        assert_eq!(states(&world), [(LIVE, State::Close); 2], "one end alone proves nothing");
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"here".to_vec()));
        assert_eq!(states(&world), [(LIVE, State::Established); 2]);
        assert_eq!(load(&world), 1, "not over after all");
    }
}

#[test]
fn a_reset_that_nobody_believed_leaves_nothing_behind() {
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Front, &cast.ack(b""));
        for _ in 0..2 {
            world.forward(Side::Front, &cast.from_client(|s| s.tcp.rst = true));
            world.forward(Side::Front, &cast.ack(b"question"));
            world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"answer".to_vec()));
            assert_eq!(states(&world), [(LIVE, State::Established); 2], "{cast:?}");
            let flags = world.halves().into_iter().map(|half| half.flags & !FLAG_MIXED);
            assert_eq!(flags.max(), Some(0), "{cast:?}: it is settled again");
            assert_eq!(load(&world), 1);
        }
    }
}

/// The reverse half's copy of the state is late when the CPUs of both directions write it at the same moment.
#[test]
fn a_late_copy_of_the_state_misleads_nobody() {
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Front, &cast.ack(b""));
        let set_copy = |state: State| {
            let (four, six) = (&world.tables.reverse, &world.tables.reverse6);
            match cast.backend.is_ipv4() {
                true => (0..64).for_each(|n| four.shared(n).unwrap().tcp().set(state as u8)),
                false => (0..64).for_each(|n| six.shared(n).unwrap().tcp().set(state as u8)),
            }
        };
        set_copy(State::SynRecv);
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"hello".to_vec()));
        assert_eq!(states(&world), [(LIVE, State::Established); 2], "{cast:?}");
        world.forward(Side::Front, &cast.from_client(|s| s.tcp.rst = true));
        assert_eq!(load(&world), 0);
        set_copy(State::CloseWait);
        world.forward(Side::Back, &cast.from_backend(|s| s.tcp.fin = true));
        world.forward(Side::Back, &cast.from_backend(|s| s.tcp.rst = true));
        assert_eq!(states(&world), [(LIVE, State::Close); 2], "{cast:?}");
        assert_eq!(load(&world), 0, "it was over before");
    }
}

#[test]
fn a_true_reset_stays_and_a_new_syn_gets_a_fresh_port() {
    for cast in Cast::ALL {
        let world = World::new();
        let first = world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Front, &cast.ack(b""));
        world.forward(Side::Back, &cast.from_backend(|s| s.tcp.rst = true));
        world.forward(Side::Front, &cast.ack(b"in flight"));
        assert_eq!(states(&world), [(LIVE, State::Close); 2]);

        let second = world.forward(Side::Front, &cast.syn());
        assert_eq!(first.source, cast.local);
        assert_ne!(second.source, first.source);
        let mut seen = states(&world);
        seen.sort_by_key(|(state, _)| *state);
        // Of the old session the reverse half is left, for the sweeper; the new one has its forward slot.
        assert_eq!(seen, [(LIVE, State::SynRecv), (LIVE, State::SynRecv), (DYING, State::Close)]);
    }
}

#[test]
fn a_session_that_another_cpu_opened_meanwhile_is_not_taken_over() {
    let cast = Cast::IPV4;
    let world = World::new();
    world.forward(Side::Front, &cast.syn());
    let before = (world.halves(), load(&world));
    let packet = HostPacket::new(&frame(Side::Front, &cast.syn().packet().unwrap()), 224, INTERFACES[0]);
    let picked = admit::pick::<V4, _, _>(&packet, &world.tables).unwrap();
    let hops = next_hop::both::<V4, _, _>(&packet, &world.tables, picked).unwrap();
    assert_eq!(open::open::<V4, V4, _, _>(&packet, &world.tables, picked, hops), Err(Event::DropRace));
    assert_eq!((world.halves(), load(&world)), before);
}

#[test]
fn a_half_remembers_what_a_reset_needs() {
    let live = |halves: Vec<Common>| {
        let half = halves.into_iter().find(|half| half.state == LIVE).unwrap();
        (half.ack, half.last_seen, half.packets)
    };
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.tables.now.set(77);
        let ack = cast.from_client(|s| (s.tcp.ack, s.tcp.acknowledgment_number) = (true, 6543));
        world.forward(Side::Front, &ack);
        assert_eq!(live(world.forward_halves()), (6543, 77, 2));
        assert_eq!(live(world.reverse_halves()), (1001, 1000, 1));
    }
}

#[test]
fn a_new_generation_asks_for_the_next_hop_again() {
    for cast in Cast::ALL {
        let mut world = World::new();
        world.forward(Side::Front, &cast.syn());
        let (moved, moved_client) = ([2, 0, 0, 0, 9, 9], [2, 0, 0, 0, 9, 8]);
        world.tables.connect(INTERFACES[1], BACK[0], cast.backend.ip(), moved);
        world.tables.connect(INTERFACES[0], BACK[0], cast.client.ip(), moved_client);
        let there = frame(Side::Front, &cast.syn().packet().unwrap());
        let back = frame(Side::Back, &cast.syn_ack().packet().unwrap());
        assert_eq!(world.send(Side::Front, &there).1[..6], BACK[1], "nothing asks yet");
        world.tables.config.generation += 1;
        assert_eq!(world.send(Side::Front, &there).1[..6], moved);
        assert_eq!(world.send(Side::Back, &back).1[..6], moved_client, "{cast:?}");
        world.tables.routes.clear();
        world.tables.config.generation += 1;
        assert_eq!(world.send(Side::Front, &there).1[..6], moved, "no answer: the old one stays");
    }
}

#[test]
fn what_is_larger_than_the_way_out_is_answered() {
    const MTU: usize = 1500;
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"no TOA any more".to_vec()));
        // What leaves, from its IP header on.
        let there = |leaves: usize| {
            let packet = cast.ack(&vec![7; leaves - cast.back_header() - 20]).packet().unwrap();
            world.send(Side::Front, &frame(Side::Front, &packet)).0
        };
        assert_eq!(there(MTU), Outcome::Redirect(1), "{cast:?}");
        assert_eq!(there(MTU + 1), Outcome::Redirect(0), "{cast:?}");
        let back = |leaves: usize| {
            let payload = vec![7; leaves - cast.front_header() - 20];
            let packet = cast.from_backend(|s| s.payload = payload).packet().unwrap();
            world.send(Side::Back, &frame(Side::Back, &packet)).0
        };
        assert_eq!(back(MTU), Outcome::Redirect(0), "{cast:?}");
        assert_eq!(back(MTU + 1), Outcome::Redirect(1), "{cast:?}");
        assert_eq!(world.tables.counted(Event::IcmpTooBig), 2);
    }
}
