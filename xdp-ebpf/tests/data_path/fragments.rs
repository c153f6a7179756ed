//! Datagrams in pieces: the pieces follow the first one, and at the other end they make what was sent.

use std::net::SocketAddr;

use etherparse::{IpNumber, Ipv4Header, Ipv6FragmentHeader, Ipv6Header};
use proptest::prelude::*;
use testbed::{
    Datagram, Segment,
    cases::{
        BACK, Cast, Extension, FRONT, Side, TAG, frame, in_pieces, piece, tagged, with_extensions,
        with_options,
    },
};
use xdp_ebpf::{
    abi::LISTENER_LAYER7,
    verdict::{Event, Outcome},
};

use crate::world::{World, assert_sound};

const PLAIN: [Cast; 2] = [Cast::IPV4, Cast::IPV6];
const MIXED: [Cast; 2] = [Cast::IPV6_TO_IPV4, Cast::IPV4_TO_IPV6];

fn question(cast: &Cast, payload: &[u8]) -> Vec<u8> {
    Datagram::new(cast.client, cast.vip, payload).packet().unwrap()
}

fn answer(cast: &Cast, payload: &[u8]) -> Vec<u8> {
    Datagram::new(cast.backend, cast.local, payload).packet().unwrap()
}

/// What a receiver makes of the pieces: the frame that would have come in one. Every piece must be sound by itself.
fn reassembled(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut pieces: Vec<(usize, bool, Vec<u8>)> = Vec::new();
    let mut headers = Vec::new();
    for bytes in frames {
        let (ethernet, packet) = bytes.split_at(14);
        if packet[0] >> 4 == 4 {
            let (mut ip, rest) = Ipv4Header::from_slice(packet).unwrap();
            assert_eq!(ip.calc_header_checksum(), ip.header_checksum);
            assert_eq!(usize::from(ip.payload_len().unwrap()), rest.len());
            pieces.push((ip.fragment_offset.byte_offset().into(), ip.more_fragments, rest.to_vec()));
            (ip.more_fragments, ip.fragment_offset) = (false, 0.try_into().unwrap());
            headers.push((ethernet.to_vec(), ip.identification.into(), Ok(ip)));
        } else {
            let (mut ip, rest) = Ipv6Header::from_slice(packet).unwrap();
            assert_eq!(
                (usize::from(ip.payload_length), ip.next_header),
                (rest.len(), IpNumber::IPV6_FRAGMENTATION_HEADER)
            );
            let (fragment, rest) = Ipv6FragmentHeader::from_slice(rest).unwrap();
            pieces.push((
                fragment.fragment_offset.byte_offset().into(),
                fragment.more_fragments,
                rest.to_vec(),
            ));
            (ip.next_header, ip.payload_length) = (fragment.next_header, 0);
            headers.push((ethernet.to_vec(), fragment.identification, Err(ip)));
        }
    }
    pieces.sort();
    let mut payload = Vec::new();
    let last = pieces.len() - 1;
    for (n, (offset, more, bytes)) in pieces.into_iter().enumerate() {
        assert_eq!((offset, more), (payload.len(), n < last), "piece {n}");
        payload.extend(bytes);
    }
    let (ethernet, id, ip) = headers[0].clone();
    let mut whole = ethernet.clone();
    match ip {
        Ok(mut ip) => {
            for (ethernet_, id_, other) in &headers {
                let other = other.as_ref().unwrap();
                assert_eq!((ethernet_, id_), (&ethernet, &id));
                assert_eq!(
                    (other.source, other.destination, other.time_to_live),
                    (ip.source, ip.destination, ip.time_to_live)
                );
            }
            ip.total_len = (20 + payload.len()) as u16;
            ip.header_checksum = ip.calc_header_checksum();
            ip.write_raw(&mut whole).unwrap();
        }
        Err(mut ip) => {
            assert!(headers.iter().all(|other| *other == (ethernet.clone(), id, Err(ip.clone()))));
            ip.payload_length = payload.len() as u16;
            ip.write(&mut whole).unwrap();
        }
    }
    whole.extend(payload);
    whole
}

/// Sends pieces that must all be forwarded.
fn forwarded(world: &World, side: Side, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let left = pieces.iter().map(|piece| world.send(side, &frame(side, piece)));
    left.map(|(outcome, bytes)| {
        assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
        bytes
    })
    .collect()
}

/// Sends one that must be stopped under this name, with no session touched.
fn assert_stopped(world: &World, side: Side, piece: &[u8], event: Event) {
    let (before, bytes) = (world.halves(), frame(side, piece));
    assert_eq!(world.send(side, &bytes), (Outcome::Stop(event), bytes));
    assert_eq!(world.halves(), before);
}

/// A world in which the datagrams have a session.
fn answered(cast: &Cast) -> World {
    let world = World::new();
    forwarded(&world, Side::Front, &[question(cast, b"who?")]);
    forwarded(&world, Side::Back, &[answer(cast, b"I")]);
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_was_sent_in_pieces_arrives(
        cast in prop::sample::select(PLAIN.to_vec()),
        side in prop_oneof![Just(Side::Front), Just(Side::Back)],
        payload in prop::collection::vec(any::<u8>(), 64..9000),
        units in 1..180usize,
        id in any::<u32>(),
        known in any::<bool>(),
        shuffle in any::<prop::sample::Index>(),
        more_headers in any::<bool>(),
    ) {
        let world = if known || side == Side::Back { answered(&cast) } else { World::new() };
        let packet = match side {
            Side::Front => question(&cast, &payload),
            Side::Back => answer(&cast, &payload),
        };
        let mut pieces = in_pieces(&packet, id, (units * 8).max(payload.len() / 64 * 8));
        prop_assume!(pieces.len() > 1);
        // After the first one, in any order.
        let later = pieces.len() - 1;
        pieces[1..].rotate_left(shuffle.index(later));
        if more_headers {
            for piece in &mut pieces {
                *piece = if cast == Cast::IPV4 {
                    with_options(piece, 12)
                } else {
                    with_extensions(piece, &[Extension::new(0, 1), Extension::new(60, 2)])
                };
            }
        }
        let left = forwarded(&world, side, &pieces);
        prop_assert_eq!(world.tables.counted(Event::FragmentForwarded), later as u64);
        let whole = reassembled(&left);
        assert_sound(&whole);
        let arrived = Datagram::parse(&whole).unwrap();
        prop_assert_eq!(arrived.payload, payload);
        let (ends, macs) = match side {
            Side::Front => ((cast.local, cast.backend), BACK),
            Side::Back => ((cast.vip, cast.client), FRONT),
        };
        prop_assert_eq!((arrived.source, arrived.destination), ends);
        prop_assert_eq!(&whole[..12], &[macs[1], macs[0]].concat()[..]);
    }
}

#[test]
fn a_later_fragment_follows_nothing_but_its_first() {
    for cast in PLAIN {
        let world = answered(&cast);
        let pieces = in_pieces(&question(&cast, &[7; 60]), 1, 24);
        assert_stopped(&world, Side::Front, &pieces[1], Event::DropFragment);
        forwarded(&world, Side::Front, &pieces);
        // Of another datagram, another sender, to another receiver.
        let of = |client: SocketAddr, vip, id| {
            let packet = Datagram::new(client, vip, &[7; 60]).packet().unwrap();
            in_pieces(&packet, id, 24)[1].clone()
        };
        assert_stopped(&world, Side::Front, &of(cast.client, cast.vip, 2), Event::DropFragment);
        assert_stopped(&world, Side::Front, &of(cast.backend, cast.vip, 1), Event::DropFragment);
        assert_stopped(&world, Side::Front, &of(cast.client, cast.local, 1), Event::DropFragment);
        assert_stopped(&world, Side::Front, &of(cast.client, cast.client, 1), Event::PassNotOurs);
        let mut tcp = pieces[1].clone();
        tcp[if cast == Cast::IPV4 { 9 } else { 40 }] = 6;
        assert_stopped(&world, Side::Front, &tcp, Event::DropFragment);
    }
}

#[test]
fn a_later_fragment_does_not_lie_over_the_first() {
    for cast in PLAIN {
        let (world, packet) = (answered(&cast), question(&cast, &[7; 92]));
        let data = &packet[cast.front_header()..];
        forwarded(&world, Side::Front, &[piece(&packet, 5, 0, &data[..48])]);
        for offset in [8, 16, 40] {
            assert_stopped(
                &world,
                Side::Front,
                &piece(&packet, 5, offset, &data[offset..]),
                Event::DropFragment,
            );
        }
        forwarded(&world, Side::Front, &[piece(&packet, 5, 48, &data[48..])]);
    }
}

#[test]
fn no_datagram_becomes_longer_than_it_can_be() {
    for (cast, most) in [(Cast::IPV4, 65_515), (Cast::IPV6, 65_535)] {
        let (world, packet) = (answered(&cast), question(&cast, &vec![7; 65_000]));
        let data = &packet[cast.front_header()..];
        forwarded(&world, Side::Front, &[piece(&packet, 5, 0, &data[..48])]);
        let offset = 65_504;
        forwarded(&world, Side::Front, &[piece(&packet, 5, offset, &data[..most - offset])]);
        let longer = piece(&packet, 5, offset, &data[..=(most - offset)]);
        assert_stopped(&world, Side::Front, &longer, Event::DropMalformed);
    }
}

#[test]
fn the_first_one_is_forgotten_after_half_a_minute() {
    for cast in PLAIN {
        let (world, pieces) = (answered(&cast), in_pieces(&question(&cast, &[7; 60]), 1, 24));
        forwarded(&world, Side::Front, &pieces[..1]);
        let hz = world.tables.config.jiffies_hz;
        world.tables.now.set(world.tables.now.get() + 30 * hz);
        forwarded(&world, Side::Front, &pieces[1..2]);
        world.tables.now.set(world.tables.now.get() + 1);
        assert_stopped(&world, Side::Front, &pieces[2], Event::DropFragment);
    }
}

#[test]
fn a_first_fragment_is_at_least_a_udp_header_and_of_whole_units() {
    for cast in Cast::ALL {
        let packet = question(&cast, &[7; 60]);
        for length in [4, 7, 9, 20, 23] {
            let data = &packet[cast.front_header()..][..length];
            assert_stopped(&World::new(), Side::Front, &piece(&packet, 5, 0, data), Event::DropMalformed);
        }
    }
}

#[test]
fn between_the_families_no_pieces_go() {
    for cast in MIXED {
        let pieces = in_pieces(&question(&cast, &[7; 60]), 1, 24);
        let (world, fresh) = (answered(&cast), World::new());
        for (n, piece) in pieces.iter().enumerate() {
            assert_stopped(&world, Side::Front, piece, Event::DropFragment);
            let without = if n == 0 { Event::DropFragment } else { Event::DropNoSession };
            assert_stopped(&fresh, Side::Front, piece, without);
        }
        let world = answered(&cast);
        for piece in in_pieces(&answer(&cast, &[7; 60]), 1, 24) {
            assert_stopped(&world, Side::Back, &piece, Event::DropFragment);
        }
        // What came before leaves no trace: the next one is whole.
        forwarded(&world, Side::Front, &[question(&cast, b"whole")]);
    }
}

#[test]
fn tagged_pieces_are_pieces() {
    for cast in PLAIN {
        let (plain, world) = (World::new(), World::new());
        let pieces = in_pieces(&question(&cast, &[7; 60]), 1, 24);
        let wanted = forwarded(&plain, Side::Front, &pieces);
        for (piece, wanted) in pieces.iter().zip(wanted) {
            let bytes = tagged(&frame(Side::Front, piece), &[TAG]);
            assert_eq!(world.send(Side::Front, &bytes), (Outcome::Redirect(1), wanted));
        }
    }
}

#[test]
fn tcp_in_pieces_arrives_and_carries_no_toa() {
    for cast in PLAIN {
        let world = World::new();
        for step in &cast.handshake()[..2] {
            world.send(step.side, &step.frame);
        }
        let segment = cast.ack(&[7; 300]);
        let left = forwarded(&world, Side::Front, &in_pieces(&segment.packet().unwrap(), 3, 80));
        let whole = reassembled(&left);
        assert_sound(&whole);
        let arrived = Segment::parse(&whole).unwrap();
        assert_eq!((arrived.toa(), arrived.payload), (vec![], segment.payload));
        assert_eq!(world.tables.counted(Event::ToaNoRoom), 1);
        // And a whole one behind it does.
        let (_, next) = world.send(Side::Front, &frame(Side::Front, &cast.ack(b"more").packet().unwrap()));
        assert_eq!(Segment::parse(&next).unwrap().toa(), [cast.client]);
    }
}

#[test]
fn pieces_for_layer_7_and_pieces_of_pings_go_up() {
    for cast in Cast::ALL {
        let mut world = World::new();
        for listener in &mut world.tables.listeners {
            listener.kind = LISTENER_LAYER7;
        }
        for piece in in_pieces(&cast.ack(&[7; 300]).packet().unwrap(), 3, 80) {
            assert_stopped(&world, Side::Front, &piece, Event::PassLayer7);
        }
        let mut ping = question(&cast, &[7; 60]);
        if cast.client.is_ipv4() {
            ping[9] = 1;
        } else {
            ping[6] = 58;
        }
        for piece in in_pieces(&ping, 3, 24) {
            assert_stopped(&World::new(), Side::Front, &piece, Event::PassVipOther);
        }
    }
}

/// The reserved byte of a fragment header means nothing (RFC 8200, 4.5), and stays what it is.
#[test]
fn what_goes_up_keeps_its_whole_fragment_header() {
    let mut first = piece(&answer(&Cast::IPV6, &[7; 100]), 9, 0, &[7; 64]);
    first[41] = 0xA5;
    assert_stopped(&World::new(), Side::Back, &first, Event::PassLocalOther);
}

#[test]
fn a_piece_that_does_not_fit_with_its_fragment_header_is_dropped_by_name() {
    let cast = Cast::IPV6;
    let mut world = answered(&cast);
    let piece = in_pieces(&question(&cast, &[7; 1500]), 1, 1400)[0].clone();
    world.tables.interfaces[1].mtu = piece.len() as u32;
    forwarded(&world, Side::Front, std::slice::from_ref(&piece));
    world.tables.interfaces[1].mtu -= 1;
    assert_eq!(world.send(Side::Front, &frame(Side::Front, &piece)).0, Outcome::Stop(Event::DropOverMtu));
}
