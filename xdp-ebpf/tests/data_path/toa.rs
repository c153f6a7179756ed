//! TOA on the wire: where it must be, where it must not, and that nothing of the client's passes for it.

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{Cast, Side, frame, options},
};
use xdp_ebpf::{
    abi::FLAG_MIXED,
    verdict::{Event, Outcome},
};

use crate::{
    icmp::Message,
    world::{World, assert_sound},
};

/// A world in which the handshake is done up to the SYN-ACK.
fn half_open(cast: &Cast) -> World {
    let world = World::new();
    world.forward(Side::Front, &cast.syn());
    world.forward(Side::Back, &cast.syn_ack());
    world
}

#[test]
fn the_third_segment_and_all_data_until_the_backend_answers() {
    for cast in Cast::ALL {
        let world = half_open(&cast);
        for segment in [cast.ack(b""), cast.ack(b"one"), cast.ack(b"one"), cast.ack(b"two")] {
            let left = world.forward(Side::Front, &segment);
            assert_eq!(left.toa(), [cast.client]);
            let begins = [254, cast.toa_len() as u8];
            assert_eq!(left.tcp.options.as_slice()[..2], begins, "right behind the TCP header");
        }
        // A duplicate of the SYN-ACK's acknowledgement answers nothing yet.
        world.forward(Side::Back, &cast.from_backend(|_| ()));
        assert_eq!(world.forward(Side::Front, &cast.ack(b"three")).toa(), [cast.client]);
        world.forward(Side::Back, &cast.from_backend(|s| s.tcp.acknowledgment_number += 3));
        assert_eq!(world.forward(Side::Front, &cast.ack(b"four")).toa(), []);
    }
}

#[test]
fn data_from_the_backend_ends_it() {
    for cast in Cast::ALL {
        let world = half_open(&cast);
        assert_eq!(world.forward(Side::Front, &cast.ack(b"")).toa(), [cast.client]);
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"220".to_vec()));
        assert_eq!(world.forward(Side::Front, &cast.ack(b"")).toa(), []);
    }
}

#[test]
fn a_bare_syn_and_a_reset_carry_none_and_a_syn_with_data_does() {
    for cast in Cast::ALL {
        let world = World::new();
        assert_eq!(world.forward(Side::Front, &cast.syn()).toa(), []);
        let reset = cast.from_client(|s| s.tcp.rst = true);
        assert_eq!(world.forward(Side::Front, &reset).toa(), []);

        let world = World::new();
        let mut early = cast.syn();
        early.payload = b"early".to_vec();
        assert_eq!(world.forward(Side::Front, &early).toa(), [cast.client]);
    }
}

/// A child socket that a backend makes from the SYN itself would have the SYN's options only.
#[test]
fn a_fast_open_cookie_goes_from_a_syn_and_from_nothing_else() {
    let cookie = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
    let asked = [34, 2, 1, 1];
    for (cast, bytes) in Cast::ALL.into_iter().flat_map(|cast| [(cast, &cookie[..]), (cast, &asked)]) {
        for (payload, expected) in [(&b""[..], &[][..]), (b"early", &[254])] {
            let mut syn = cast.syn();
            options(&mut syn, bytes);
            syn.payload = payload.to_vec();
            let left = World::new().forward(Side::Front, &syn);
            assert_eq!(kinds(left.tcp.options.as_slice()), expected, "{cast:?}");
            assert_eq!(left.payload, payload);
        }
        let mut segment = cast.ack(b"data");
        options(&mut segment, bytes);
        let left = half_open(&cast).forward(Side::Front, &segment);
        assert_eq!(kinds(left.tcp.options.as_slice()), [254, 34], "{cast:?}");
    }
}

/// MPTCP's three, TCP-ENO and two that nobody has thought of yet.
#[test]
fn a_syn_asks_for_nothing_that_takes_the_room_later() {
    for cast in Cast::ALL {
        for asked in [
            &[30, 4, 1, 1][..],
            &[30, 12, 0x10, 0, 1, 2, 3, 4, 5, 6, 7, 8],
            &[69, 4, 1, 1],
            &[28, 4, 0, 9],
            &[199, 2, 1, 1],
        ] {
            let mut syn = cast.syn();
            let usual = syn.tcp.options.as_slice().to_vec();
            options(&mut syn, &[&usual[..], asked].concat());
            let world = World::new();
            let left = world.forward(Side::Front, &syn);
            assert_eq!(kinds(left.tcp.options.as_slice()), [2, 4, 8, 3], "{cast:?} {asked:?}");
            assert_eq!(left.tcp.options.as_slice()[..20], usual[..], "{cast:?}");
            assert_eq!(world.tables.counted(Event::ToaStripped), 1);
            // Later segments keep theirs, as long as there is room.
            world.forward(Side::Back, &cast.syn_ack());
            let mut segment = cast.ack(b"data");
            options(&mut segment, asked);
            let left = world.forward(Side::Front, &segment);
            assert_eq!(kinds(left.tcp.options.as_slice()), [254, asked[0]], "{cast:?}");
        }
    }
}

/// Of a doubled SYN-ACK the client says so by a SACK block, of what it already had (RFC 2883).
#[test]
fn options_that_leave_no_room_give_way_but_for_timestamps() {
    let stamps = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let sack = |blocks: usize| [&[1, 1, 5, 2 + 8 * blocks as u8][..], &vec![9; 8 * blocks]].concat();
    for cast in Cast::ALL {
        for (given, stay) in [
            ([&stamps[..], &sack(1)].concat(), true),
            ([&stamps[..], &sack(3)].concat(), true),
            // No stack sends them so.
            ([&sack(3)[..], &stamps].concat(), false),
            (sack(3), false),
            (vec![1; 40], false),
        ] {
            for payload in [&b""[..], b"odd", &[7; 600]] {
                let world = half_open(&cast);
                let mut segment = cast.ack(payload);
                options(&mut segment, &given);
                let left = world.forward(Side::Front, &segment);
                let what = format!("{cast:?} {given:?}");
                assert_eq!(left.toa(), [cast.client], "{what}");
                let rest = &left.tcp.options.as_slice()[cast.toa_len()..];
                if given.len() + cast.toa_len() <= 40 {
                    assert_eq!(rest, given, "{what}");
                } else {
                    assert_eq!(rest, if stay { stamps } else { [1; 12] }, "{what}");
                }
                assert_eq!(left.payload, payload, "{what}");
                let number = |s: &Segment| (s.tcp.sequence_number, s.tcp.acknowledgment_number);
                assert_eq!(number(&left), number(&segment), "{what}");
                assert_eq!(world.tables.counted(Event::ToaNoRoom), 0, "{what}");
            }
        }
    }
}

/// What a client writes that could pass for TOA goes until the backend has answered, and not a segment longer.
#[test]
fn forged_options_go_until_the_backend_has_answered_and_then_stay() {
    let forged = [254, 8, 0, 80, 192, 0, 2, 1];
    for cast in Cast::ALL {
        let world = half_open(&cast);
        let mut segment = cast.ack(b"data");
        options(&mut segment, &forged);
        for _ in 0..2 {
            assert_eq!(world.forward(Side::Front, &segment).toa(), [cast.client]);
        }
        // A server that speaks first: its socket has the address by now, whatever comes.
        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"220 ready".to_vec()));
        let left = world.forward(Side::Front, &segment);
        assert_eq!(left.tcp.options.as_slice(), forged, "as it came");
        assert_eq!(world.tables.counted(Event::ToaStripped), 2);
    }
}

#[test]
fn the_mss_towards_the_client_leaves_room_and_that_towards_the_backend_stays() {
    for cast in Cast::ALL {
        let world = World::new();
        let mss = |segment: Segment| {
            let options = segment.tcp.options.as_slice().to_vec();
            assert_eq!(options[..2], [2, 4]);
            usize::from(u16::from_be_bytes([options[2], options[3]]))
        };
        assert_eq!(mss(world.forward(Side::Front, &cast.syn())), 1460);
        assert_eq!(mss(world.forward(Side::Back, &cast.syn_ack())), 1460 - cast.toa_len());
    }
}

#[test]
fn as_much_as_the_way_out_takes_gets_it_and_a_byte_more_does_not() {
    const MTU: usize = 1500;
    for cast in Cast::ALL {
        let world = half_open(&cast);
        let room = MTU - cast.back_header() - 20 - cast.toa_len();
        assert_eq!(world.forward(Side::Front, &cast.ack(&vec![7; room])).toa(), [cast.client]);
        let larger = cast.ack(&vec![7; room + 1]);
        let bytes = frame(Side::Front, &larger.packet().unwrap());
        // A whole window of them, for any may be the first that the backend gets.
        for _ in 0..3 {
            let (outcome, told) = world.send(Side::Front, &bytes);
            assert_eq!(outcome, Outcome::Redirect(0), "{cast:?}");
            let told = Message::read(&told, "too big").mtu.unwrap() as usize;
            assert_eq!(told, cast.front_header() + 20 + room, "{cast:?}: what fits");
        }
        // Whoever sends it again does not hear that, and shall not wait for it.
        let again = world.tables.now.get() + world.tables.config.jiffies_hz / 5;
        world.tables.now.set(again);
        assert_eq!(world.forward(Side::Front, &larger).toa(), [], "{cast:?}");
        assert_eq!((world.tables.counted(Event::ToaNoRoom), world.tables.counted(Event::IcmpTooBig)), (1, 3));

        world.forward(Side::Back, &cast.from_backend(|s| s.payload = b"hi".to_vec()));
        assert!(world.forward_halves().iter().all(|half| half.flags & !FLAG_MIXED == 0), "nothing stays");
    }
}

#[test]
fn a_segment_that_may_be_fragmented_goes_on_without() {
    let cast = Cast::IPV4;
    let world = half_open(&cast);
    let mut bytes = frame(Side::Front, &cast.ack(&[7; 1460]).packet().unwrap());
    // DF, and what it is in the checksum.
    bytes[20] = 0;
    bytes[24..26].copy_from_slice(&[0; 2]);
    let mut header = etherparse::Ipv4Header::from_slice(&bytes[14..]).unwrap().0;
    header.header_checksum = header.calc_header_checksum();
    bytes[24..26].copy_from_slice(&header.header_checksum.to_be_bytes());
    let (outcome, left) = world.send(Side::Front, &bytes);
    assert_eq!(outcome, Outcome::Redirect(1));
    assert_sound(&left);
    assert_eq!(Segment::parse(&left).unwrap().toa(), []);
}

#[test]
fn without_headroom_the_segment_goes_on_as_it_is() {
    for cast in [Cast::IPV4, Cast::IPV6, Cast::IPV6_TO_IPV4] {
        let world = half_open(&cast);
        let bytes = frame(Side::Front, &cast.ack(b"data").packet().unwrap());
        let (_, left) = world.send_with(Side::Front, &bytes, cast.toa_len() - 1);
        assert_sound(&left);
        assert_eq!(Segment::parse(&left).unwrap().toa(), []);
        assert_eq!(world.tables.counted(Event::ToaNoRoom), 1);
    }
}

#[test]
fn without_headroom_for_a_longer_header_it_does_not_go_on() {
    let cast = Cast::IPV4_TO_IPV6;
    let world = half_open(&cast);
    let bytes = frame(Side::Front, &cast.ack(b"data").packet().unwrap());
    assert_eq!(world.send_with(Side::Front, &bytes, 19).0, Outcome::Stop(Event::DropNoHeadroom));
    assert!(matches!(world.send_with(Side::Front, &bytes, 28).0, Outcome::Redirect(_)));
}

/// Options as a hostile client may write them: true ones, forged ones, rubbish.
fn client_options() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        3 => Just(vec![1u8]),
        2 => Just(vec![254, 8, 0, 80, 192, 0, 2, 99]),
        1 => Just(vec![253, 8, 0, 80, 192, 0, 2, 99]),
        1 => Just(vec![200, 8, 0, 80, 192, 0, 2, 99]),
        1 => Just([&[254, 20][..], &[0x20; 18]].concat()),
        1 => Just(vec![254, 4, 0xF9, 0x89]),
        1 => Just(vec![8, 10, 0, 0, 0, 1, 0, 0, 0, 1]),
        1 => Just(vec![0]),
        1 => prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop::collection::vec(option, 0..8).prop_map(|options| {
        let mut bytes = options.concat();
        bytes.truncate(40);
        bytes.resize(bytes.len().next_multiple_of(4), 1);
        bytes
    })
}

/// The kinds of the options as the kernel's `tcp_parse_options` walks them.
fn kinds(mut rest: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let Some((&kind, tail)) = rest.split_first() {
        match kind {
            0 => break,
            1 => rest = tail,
            _ => {
                let Some(&length) = tail.first() else { break };
                if length < 2 || usize::from(length) > rest.len() {
                    break;
                }
                kinds.push(kind);
                rest = &rest[usize::from(length)..];
            }
        }
    }
    kinds
}

proptest! {
    #[test]
    fn no_option_of_the_clients_passes_for_toa(
        cast in prop::sample::select(Cast::ALL.to_vec()),
        bytes in client_options(),
        stage in 0..3u8,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let world = if stage == 0 { World::new() } else { half_open(&cast) };
        let mut segment = match stage {
            0 => cast.syn(),
            1 => cast.ack(b""),
            _ => cast.ack(&payload),
        };
        options(&mut segment, &bytes);
        let left = world.forward(Side::Front, &segment);
        let wanted: &[_] = if stage > 0 { &[cast.client] } else { &[] };
        prop_assert_eq!(left.toa(), wanted);

        let seen = kinds(left.tcp.options.as_slice());
        let ours = usize::from(!wanted.is_empty());
        prop_assert!(seen.iter().skip(ours).all(|kind| ![200, 253, 254].contains(kind)), "{:?}", seen);
        let honest = kinds(&bytes).into_iter().filter(|kind| match stage {
            0 => [2, 3, 4, 8].contains(kind),
            _ => ![200, 253, 254].contains(kind),
        });
        if stage == 0 || bytes.len() + cast.toa_len() <= 40 {
            prop_assert_eq!(&seen[ours..], honest.collect::<Vec<_>>(), "honest options stay");
        } else {
            prop_assert!(seen[ours..].iter().all(|kind| *kind == 8) && seen.len() <= ours + 1, "{:?}", seen);
        }
        prop_assert_eq!(left.payload, segment.payload);
    }
}
