//! What somebody can do to a session who knows its addresses and ports, and not its numbers: nothing.

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{Cast, Side, options},
};
use xdp_ebpf::{
    abi::{Common, DYING, LIVE},
    tcp_state::{RESET_WINDOW, State, WINDOW},
    verdict::Event,
};

use crate::world::World;

const MSS: [u8; 4] = [2, 4, 5, 0xB4];

/// The forward half and the reverse half of the only session.
fn session(world: &World) -> [Common; 2] {
    [world.forward_halves(), world.reverse_halves()]
        .map(|halves| halves.into_iter().find(|half| half.state == LIVE).unwrap())
}

fn state(world: &World) -> State {
    State::from_u8(session(world)[0].tcp).unwrap()
}

fn half_open(cast: &Cast) -> World {
    let world = World::new();
    world.forward(Side::Front, &cast.syn());
    world.forward(Side::Back, &cast.syn_ack());
    world
}

fn established(cast: &Cast) -> World {
    let world = half_open(cast);
    world.forward(Side::Front, &cast.ack(b""));
    assert_eq!(state(&world), State::Established);
    world
}

/// A segment of the client's or of the backend's.
fn from(cast: &Cast, side: Side, edit: impl FnOnce(&mut Segment)) -> Segment {
    match side {
        Side::Front => cast.from_client(edit),
        Side::Back => cast.from_backend(edit),
    }
}

fn any_cast() -> impl Strategy<Value = Cast> {
    prop::sample::select(Cast::ALL.to_vec())
}

proptest! {
    #[test]
    fn a_reset_or_a_fin_moves_a_session_from_within_the_window_only(
        cast in any_cast(),
        is_reset in any::<bool>(),
        is_front in any::<bool>(),
        beyond in prop_oneof![0..2 * RESET_WINDOW, WINDOW - 10..WINDOW + 10, any::<u32>()],
        acknowledged in any::<u32>(),
    ) {
        let world = established(&cast);
        let before = session(&world).map(|half| half.ack);
        let (side, next) = if is_front { (Side::Front, 1001) } else { (Side::Back, 5001) };
        let segment = from(&cast, side, |s| {
            (s.tcp.rst, s.tcp.fin, s.tcp.ack) = (is_reset, !is_reset, true);
            s.tcp.sequence_number = beyond.wrapping_add(next);
            s.tcp.acknowledgment_number = acknowledged;
        });
        world.forward(side, &segment);
        let fits = beyond < if is_reset { RESET_WINDOW } else { WINDOW };
        prop_assert_eq!(state(&world) == State::Established, !fits);
        prop_assert_eq!(world.tables.counted(Event::OutOfWindow), u64::from(!fits));
        if !fits {
            prop_assert_eq!(session(&world).map(|half| half.ack), before);
            prop_assert!(session(&world).iter().all(|half| half.packets > 0));
        }
    }

    /// It counts where the FIN itself lies: behind what comes with it, of which a part may have been acknowledged.
    #[test]
    fn a_fin_lies_behind_its_data(cast in any_cast(), acknowledged in 0..1000u32) {
        let world = established(&cast);
        let answer = cast.from_backend(|s| s.tcp.acknowledgment_number = 1001 + acknowledged);
        world.forward(Side::Back, &answer);
        world.forward(Side::Front, &cast.from_client(|s| {
            (s.tcp.ack, s.tcp.fin, s.payload) = (true, true, vec![7; 1000]);
        }));
        prop_assert_eq!(state(&world), State::CloseWait);
    }

    #[test]
    fn a_handshake_is_completed_by_whoever_has_seen_the_syn_ack(
        cast in any_cast(),
        acknowledged in prop_oneof![4990..5010u32, any::<u32>()],
        data in any::<bool>(),
    ) {
        let world = half_open(&cast);
        let before = session(&world).map(|half| half.ack);
        world.forward(Side::Front, &cast.from_client(|s| {
            (s.tcp.ack, s.tcp.acknowledgment_number) = (true, acknowledged);
            s.payload = if data { b"data".to_vec() } else { Vec::new() };
        }));
        let has_seen = acknowledged.wrapping_sub(5001) < WINDOW;
        prop_assert_eq!(state(&world) == State::Established, has_seen);
        if !has_seen {
            prop_assert_eq!(session(&world).map(|half| half.ack), before);
            world.forward(Side::Front, &cast.ack(b""));
            prop_assert_eq!(state(&world), State::Established, "the client itself still does");
        }
    }

    #[test]
    fn before_that_the_client_takes_its_syn_back_by_one_number_only(cast in any_cast(), seq in prop_oneof![990..1010u32, any::<u32>()]) {
        let world = half_open(&cast);
        world.forward(Side::Front, &cast.from_client(|s| {
            (s.tcp.rst, s.tcp.sequence_number) = (true, seq);
        }));
        let gone = world.halves().iter().filter(|half| half.state == DYING).count();
        prop_assert_eq!(gone, if seq == 1001 { 2 } else { 0 }, "with its port");
        prop_assert_eq!(world.tables.loads.iter().sum::<u32>(), u32::from(seq != 1001));
    }
}

#[test]
fn nobody_acknowledges_a_syn_ack_that_has_not_been_sent() {
    for cast in Cast::ALL {
        let world = World::new();
        world.forward(Side::Front, &cast.syn());
        world.forward(Side::Front, &cast.from_client(|s| s.tcp.ack = true));
        assert_eq!(state(&world), State::SynRecv, "{cast:?}");
    }
}

#[test]
fn a_syn_alone_begins_nothing_anew() {
    for cast in Cast::ALL {
        let world = established(&cast);
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"hello".to_vec()));
        let before = session(&world).map(|half| half.ack);
        let syn = cast.from_client(|s| {
            (s.tcp.syn, s.tcp.sequence_number) = (true, 77_000);
            options(s, &[254, 8, 0, 1, 9, 9, 9, 9]);
        });
        let arrived = world.forward(Side::Front, &syn);
        assert_eq!(arrived.tcp.options.as_slice(), [1; 8], "it is a SYN, and looked through");
        // The backend knows better (RFC 5961, 4.2).
        world.forward(Side::Back, &cast.from_backend(|_| ()));
        assert_eq!((state(&world), session(&world).map(|half| half.ack)), (State::Established, before));
        let data = world.forward(Side::Front, &cast.ack(b"more"));
        assert!(data.tcp.options.is_empty(), "{cast:?}: and no TOA");
        // A SYN-ACK that comes twice begins nothing either.
        world.forward(Side::Back, &cast.syn_ack());
        assert_eq!(state(&world), State::Established);
        assert!(world.halves().iter().all(|half| half.state != LIVE || half.flags & !4 == 0), "settled");
    }
}

/// A backend that has started again knows nothing of the session, and the client's new SYN has its old ports.
#[test]
fn what_the_backend_opens_anew_begins_anew() {
    for cast in Cast::ALL {
        let world = established(&cast);
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"hello".to_vec()));
        assert!(world.forward(Side::Front, &cast.ack(b"more")).tcp.options.is_empty(), "no TOA any more");
        world.forward(
            Side::Front,
            &cast.from_client(|s| {
                (s.tcp.syn, s.tcp.sequence_number) = (true, 77_000);
            }),
        );
        let answered = world.forward(
            Side::Back,
            &cast.from_backend(|s| {
                (s.tcp.syn, s.tcp.sequence_number, s.tcp.acknowledgment_number) = (true, 88_000, 77_001);
                options(s, &MSS);
            }),
        );
        assert_eq!(state(&world), State::SynRecv, "{cast:?}");
        let lowered = 1460 - cast.toa_len() as u16;
        assert_eq!(answered.tcp.options.as_slice()[2..], lowered.to_be_bytes());
        assert_eq!(session(&world).map(|half| half.ack), [88_001, 77_001]);
        let third = world.forward(
            Side::Front,
            &cast.from_client(|s| {
                (s.tcp.ack, s.tcp.sequence_number, s.tcp.acknowledgment_number) = (true, 77_001, 88_001);
            }),
        );
        assert_eq!(third.tcp.options.as_slice().len(), cast.toa_len());
        assert_eq!(state(&world), State::Established);
    }
}
