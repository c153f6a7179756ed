//! Segments without a live session: which end gets a reset, with which numbers, and which hears nothing?

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{Cast, Side, frame},
};
use xdp_ebpf::{
    abi::{
        ACCESS_DENY, ACCESS_OPEN, CUT, FREE, LIVE, WITHOUT_SESSION_ASK, WITHOUT_SESSION_RESET,
        WITHOUT_SESSION_SILENT,
    },
    limit,
    verdict::{Event, Outcome},
};

use crate::world::{World, assert_sound, mapped};

/// A segment of the client's to the listener, or of the backend's to the local port.
fn from(cast: &Cast, side: Side, edit: impl FnOnce(&mut Segment)) -> Segment {
    match side {
        Side::Front => cast.from_client(edit),
        Side::Back => cast.from_backend(edit),
    }
}

/// What the sender gets back, if it gets something.
fn answer(world: &World, side: Side, segment: &Segment) -> Result<Segment, Outcome> {
    let (outcome, left) = world.send(side, &frame(side, &segment.packet().unwrap()));
    // The interface that it came in by has the slot of its side.
    if outcome != Outcome::Redirect(side as u8) {
        return Err(outcome);
    }
    assert_sound(&left);
    Ok(Segment::parse(&left).unwrap())
}

fn world(without_session: u32) -> World {
    let mut world = World::new();
    world.tables.config.without_session = without_session;
    world
}

const SIDES: [Side; 2] = [Side::Front, Side::Back];

proptest! {
    /// RFC 9293, 3.10.7.1: with the number that the sender says it expects, or else all that it sent is acknowledged.
    #[test]
    fn whoever_believes_in_a_session_is_told_with_numbers_that_it_believes(
        cast in prop::sample::select(Cast::ALL.to_vec()),
        is_front in any::<bool>(),
        (seq, ack) in any::<(u32, u32)>(),
        (has_ack, fin) in any::<(bool, bool)>(),
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let world = world(WITHOUT_SESSION_RESET);
        let side = SIDES[usize::from(!is_front)];
        let stray = from(&cast, side, |s| {
            (s.tcp.sequence_number, s.tcp.acknowledgment_number) = (seq, ack);
            (s.tcp.ack, s.tcp.fin, s.payload) = (has_ack, fin, payload);
        });
        let answer = answer(&world, side, &stray).unwrap();
        prop_assert_eq!((answer.source, answer.destination), (stray.destination, stray.source));
        prop_assert!(answer.tcp.rst && answer.payload.is_empty());
        if has_ack {
            prop_assert_eq!((answer.tcp.sequence_number, answer.tcp.ack), (ack, false));
        } else {
            let end = seq.wrapping_add(stray.payload.len() as u32 + u32::from(fin));
            prop_assert_eq!((answer.tcp.ack, answer.tcp.acknowledgment_number), (true, end));
        }
        prop_assert_eq!(world.tables.counted(Event::ResetNoSession), 1);
    }
}

#[test]
fn nobody_is_told_while_somebody_else_may_own_the_session() {
    for (cast, side) in Cast::ALL.into_iter().flat_map(|cast| SIDES.map(|side| (cast, side))) {
        for word in [WITHOUT_SESSION_SILENT, WITHOUT_SESSION_ASK] {
            let silent = Err(Outcome::Stop(Event::DropNoSession));
            assert_eq!(
                answer(&world(word), side, &from(&cast, side, |s| s.tcp.ack = true)),
                silent,
                "{cast:?}"
            );
        }
    }
}

#[test]
fn a_reset_is_never_answered_and_a_syn_to_the_host_is_the_hosts() {
    let world = world(WITHOUT_SESSION_RESET);
    for cast in Cast::ALL {
        let reset = cast.from_client(|s| s.tcp.rst = true);
        assert_eq!(answer(&world, Side::Front, &reset), Err(Outcome::Stop(Event::DropNoSession)));
        let opens = |s: &mut Segment| (s.tcp.syn, s.tcp.ack) = (true, false);
        for edit in [|s: &mut Segment| s.tcp.rst = true, opens] {
            let stray = cast.from_backend(edit);
            assert_eq!(answer(&world, Side::Back, &stray), Err(Outcome::Stop(Event::PassNoSession)));
        }
    }
}

#[test]
fn what_a_socket_of_this_host_waits_for_goes_to_it() {
    for cast in Cast::ALL {
        let mut world = world(WITHOUT_SESSION_RESET);
        let (peer, own) = (cast.backend, cast.local);
        world.tables.sockets.insert((mapped(peer.ip()), peer.port(), mapped(own.ip()), own.port()));
        let answered = answer(&world, Side::Back, &cast.from_backend(|_| ()));
        assert_eq!(answered, Err(Outcome::Stop(Event::PassNoSession)), "{cast:?}");
    }
}

#[test]
fn who_is_shut_out_hears_nothing_and_the_others_so_much_in_a_second() {
    for cast in Cast::ALL {
        let mut world = world(WITHOUT_SESSION_RESET);
        let rate = world.tables.reset_rate.shared(0).unwrap();
        rate.cost().set(limit::cost(3, 250));
        rate.depth().set(limit::depth(1000, 250));
        let stray = cast.ack(b"data");
        let through = || (0..9).filter(|_| answer(&world, Side::Front, &stray).is_ok()).count();
        // Whoever finds a part of a token takes it whole.
        assert!((3..=4).contains(&through()), "{cast:?}");
        world.tables.now.set(world.tables.now.get() + 250);
        assert!((2..=4).contains(&through()), "{cast:?}");
        let told = world.tables.counted(Event::ResetNoSession);
        assert_eq!(told + world.tables.counted(Event::DropNoSession), 18);

        world.tables.now.set(world.tables.now.get() + 1000);
        world.tables.listeners.iter_mut().for_each(|listener| listener.access = ACCESS_DENY);
        assert_eq!(answer(&world, Side::Front, &stray), Err(Outcome::Stop(Event::DropNoSession)));
    }
}

/// The packet that ends a session, and every later one of either end.
#[test]
fn a_session_that_is_cut_answers_every_packet_with_a_reset_that_fits_it() {
    for (cast, side) in Cast::ALL.into_iter().flat_map(|cast| SIDES.map(|side| (cast, side))) {
        // Whatever becomes of segments without a session.
        let mut world = world(WITHOUT_SESSION_SILENT);
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Back, &cast.syn_ack());
        world.forward(Side::Front, &cast.ack(b"hello"));
        world.tables.listeners.iter_mut().for_each(|listener| listener.access = ACCESS_DENY);
        world.tables.config.generation += 1;
        let expecting = |side, ack| {
            from(&cast, side, |s| (s.tcp.ack, s.tcp.acknowledgment_number, s.payload) = (true, ack, vec![7]))
        };
        let heard = |world: &World, side, ack| {
            answer(world, side, &expecting(side, ack)).unwrap().tcp.sequence_number
        };
        assert_eq!(heard(&world, side, 6001), 6001, "{cast:?}: the packet that ends it");
        assert!(world.halves().iter().all(|half| [FREE, CUT].contains(&half.state)));
        let ack_of = |world: &World, side| {
            let halves = if side == Side::Front { world.forward_halves() } else { world.reverse_halves() };
            halves.iter().find(|half| half.state == CUT).unwrap().ack
        };
        assert_eq!(ack_of(&world, side), 6001, "the daemon's reset fits too");
        for (side, ack) in [(Side::Front, 6002), (Side::Back, 1007), (Side::Front, 6003)] {
            assert_eq!((heard(&world, side, ack), ack_of(&world, side)), (ack, ack), "{cast:?} {side:?}");
        }
        assert_eq!(world.tables.counted(Event::ResetCut), 4);
        let reset = from(&cast, side, |s| s.tcp.rst = true);
        assert!(answer(&world, side, &reset).is_err(), "a reset is not answered");

        // The client may come again: that is another session.
        world.tables.listeners.iter_mut().for_each(|listener| listener.access = ACCESS_OPEN);
        let again = world.forward(Side::Front, &cast.syn());
        assert_ne!(again.source, cast.local, "{cast:?}");
        assert_eq!(world.halves().iter().filter(|half| half.state == LIVE).count(), 2);
        assert_eq!(heard(&world, Side::Back, 1008), 1008, "the old backend's end is still told");
    }
}
