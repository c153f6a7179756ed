//! ICMP errors that the balancer writes itself: "too big" to a sender, and one family's errors told in the other.

use etherparse::{IpNumber, Ipv4Header};
use proptest::prelude::*;
use testbed::{
    Datagram, Segment,
    cases::{BACK, Cast, FRONT, Message as Says, Side, frame, icmp_error, tagged, with_options},
};
use xdp_ebpf::{
    abi::Interface,
    verdict::{Event, Outcome},
};

use crate::{
    icmp::Message,
    world::{INTERFACES, World},
};

/// A world in which there is a connection.
fn connected(cast: &Cast) -> World {
    let world = World::new();
    for step in cast.handshake() {
        world.send(step.side, &step.frame);
    }
    world
}

/// A world in which there is an answered datagram.
fn answered(cast: &Cast) -> World {
    let world = World::new();
    world.forward_datagram(Side::Front, &Datagram::new(cast.client, cast.vip, b"data"));
    world.forward_datagram(Side::Back, &Datagram::new(cast.backend, cast.local, b"data"));
    world
}

/// Who sends on this side, to whom, and the headers' length there and on the other side.
fn ends(cast: &Cast, side: Side) -> ([std::net::SocketAddr; 2], usize, usize) {
    match side {
        Side::Front => ([cast.client, cast.vip], cast.front_header(), cast.back_header()),
        Side::Back => ([cast.backend, cast.local], cast.back_header(), cast.front_header()),
    }
}

fn without_df(packet: &[u8]) -> Vec<u8> {
    let (mut ip, rest) = Ipv4Header::from_slice(packet).unwrap();
    ip.dont_fragment = false;
    ip.header_checksum = ip.calc_header_checksum();
    let mut changed = Vec::new();
    ip.write_raw(&mut changed).unwrap();
    [&changed, rest].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_sender_hears_what_fits(
        cast in prop::sample::select(Cast::ALL.to_vec()),
        side in prop_oneof![Just(Side::Front), Just(Side::Back)],
        udp in any::<bool>(),
        mtu in 1300..9000u32,
        surplus in prop_oneof![Just(1u32), 1..2000u32],
        options in prop::option::of((1..=10usize).prop_map(|words| words * 4)),
    ) {
        let mut world = if udp { answered(&cast) } else { connected(&cast) };
        let way_out = 1 - side as usize;
        world.tables.interfaces[way_out].mtu = mtu;
        let ([source, destination], near, far) = ends(&cast, side);
        // As it would leave it has the surplus.
        let payload = vec![7; (mtu + surplus) as usize - far - if udp { 8 } else { 20 }];
        let mut packet = if udp {
            Datagram::new(source, destination, &payload).packet().unwrap()
        } else {
            let mut segment = Segment::new(source, destination);
            (segment.tcp.ack, segment.tcp.sequence_number) = (true, 0x0102_0304);
            segment.payload = payload;
            segment.packet().unwrap()
        };
        let sent = packet.clone();
        if let Some(length) = options && near == 20 {
            packet = with_options(&packet, length);
        }
        let before = world.halves();
        let (outcome, left) = world.send(side, &frame(side, &packet));
        prop_assert_eq!(outcome, Outcome::Redirect(side as u8));
        prop_assert_eq!(world.tables.counted(Event::IcmpTooBig), 1);
        prop_assert_eq!(world.halves(), before);

        let macs = if side == Side::Front { FRONT } else { BACK };
        prop_assert_eq!(&left[..12], &[macs[1], macs[0]].concat()[..]);
        let said = Message::read(&left, "too big");
        prop_assert_eq!((said.source.ip(), said.destination.ip()), (destination.ip(), source.ip()));
        prop_assert_eq!(said.quoted, (source, destination));
        prop_assert_eq!(said.kind, if near == 20 { [3, 4] } else { [2, 0] });
        let toa = if side == Side::Front && !udp { cast.toa_len() } else { 0 };
        let fits = (mtu as usize + near - far - toa) as u32;
        prop_assert_eq!(said.mtu, Some(if near == 40 { fits.max(1280) } else { fits }));
        // The quoted header and eight bytes are what was sent.
        let quotation = &left[14 + near + 8..];
        prop_assert_eq!(quotation, &sent[..near + 8]);

        // And what fits by that goes on, TOA and all.
        let room = said.mtu.unwrap() as usize - near - 20;
        if !udp && fits >= 1280 {
            let mut fitting = Segment::new(source, destination);
            (fitting.tcp.ack, fitting.payload) = (true, vec![7; room]);
            let (outcome, left) = world.send(side, &frame(side, &fitting.packet().unwrap()));
            prop_assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
            prop_assert!(left.len() <= 14 + mtu as usize);
            prop_assert_eq!(world.tables.counted(Event::ToaNoRoom), 0);
        }
    }

    /// What no honest router says: it is dropped or sent on sound, and never a panic.
    #[test]
    fn any_error_about_a_session(
        cast in prop::sample::select(Cast::ALL.to_vec()),
        side in prop_oneof![Just(Side::Front), Just(Side::Back)],
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        kind in prop::sample::select(vec![1u8, 2, 3, 4, 11, 12]),
    ) {
        let world = connected(&cast);
        let mut bytes = about(&cast, side, &tcp_sent(&cast, side));
        let l4 = 14 + ends(&cast, side).1;
        bytes[l4] = kind;
        let range = bytes.len() - l4 - 1;
        for (at, value) in flips {
            bytes[l4 + 1 + at.index(range)] = value;
        }
        let before = world.halves();
        let (outcome, left) = world.send(side, &bytes);
        prop_assert_eq!(world.halves(), before);
        match outcome {
            Outcome::Stop(_) => prop_assert_eq!(left, bytes),
            _ => prop_assert!(etherparse::PacketHeaders::from_ethernet_slice(&left).is_ok()),
        }
    }
}

#[test]
fn what_may_be_fragmented_is_dropped_by_name() {
    for cast in [Cast::IPV4, Cast::IPV4_TO_IPV6] {
        let packet = without_df(&cast.ack(&[7; 1600]).packet().unwrap());
        let bytes = frame(Side::Front, &packet);
        assert_eq!(connected(&cast).send(Side::Front, &bytes), (Outcome::Stop(Event::DropOverMtu), bytes));
    }
    for cast in [Cast::IPV4, Cast::IPV6_TO_IPV4] {
        let packet = cast.from_backend(|s| s.payload = vec![7; 1600]).packet().unwrap();
        let bytes = frame(Side::Back, &without_df(&packet));
        assert_eq!(connected(&cast).send(Side::Back, &bytes), (Outcome::Stop(Event::DropOverMtu), bytes));
    }
}

#[test]
fn an_answer_needs_no_headroom() {
    for cast in Cast::ALL {
        let bytes = frame(Side::Front, &cast.ack(&[7; 1600]).packet().unwrap());
        let (outcome, left) = connected(&cast).send_with(Side::Front, &bytes, 0);
        assert_eq!(outcome, Outcome::Redirect(0));
        Message::read(&left, "without headroom");
    }
}

/// What we sent on this side and what an error is about.
fn tcp_sent(cast: &Cast, side: Side) -> Vec<u8> {
    let ([peer, us], ..) = ends(cast, side);
    let mut segment = Segment::new(us, peer);
    (segment.tcp.ack, segment.payload) = (true, vec![7; 100]);
    segment.tcp.sequence_number = next_from_us(side);
    segment.packet().unwrap()
}

/// What a peer on this side expects next after the handshake.
fn next_from_us(side: Side) -> u32 {
    if side == Side::Front { 5001 } else { 1001 }
}

fn about(cast: &Cast, side: Side, quoted: &[u8]) -> Vec<u8> {
    let ([_, us], ..) = ends(cast, side);
    icmp_error(side, us.ip(), Says::TimeExceeded, quoted)
}

/// As a restart with fewer interfaces leaves the slot.
#[test]
fn nobody_hears_the_size_of_an_interface_that_is_gone() {
    for (cast, side) in Cast::ALL.into_iter().flat_map(|cast| [(cast, Side::Front), (cast, Side::Back)]) {
        let mut world = connected(&cast);
        let ([source, destination], ..) = ends(&cast, side);
        let mut data = Segment::new(source, destination);
        (data.tcp.ack, data.payload) = (true, b"data".to_vec());
        data.tcp.acknowledgment_number = next_from_us(side);
        let data = frame(side, &data.packet().unwrap());
        let packets = [data, about(&cast, side, &tcp_sent(&cast, side))];
        for packet in &packets {
            let outcome = world.send(side, packet).0;
            assert_eq!(outcome, Outcome::Redirect(1 - side as u8), "{cast:?} {side:?}");
        }
        world.tables.interfaces[1 - side as usize] = Interface::default();
        for packet in &packets {
            let outcome = world.send(side, packet).0;
            assert_eq!(outcome, Outcome::Stop(Event::DropInterface), "{cast:?} {side:?}");
        }
    }
}

/// The checksum from its definition (RFC 1071).
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
}

/// An error of this type and code with this word, of the side's family, sealed with the right checksum.
fn error(cast: &Cast, side: Side, quoted: &[u8], [kind, code]: [u8; 2], word: u32) -> Vec<u8> {
    let mut bytes = about(cast, side, quoted);
    let header = ends(cast, side).1;
    let (ip, icmp) = bytes.split_at_mut(14 + header);
    icmp[..4].copy_from_slice(&[kind, code, 0, 0]);
    icmp[4..8].copy_from_slice(&word.to_be_bytes());
    let length = (icmp.len() as u32).to_be_bytes();
    let sum = if header == 20 {
        checksum(&[icmp])
    } else {
        checksum(&[&ip[22..54], &length, &[0, 0, 0, 58], icmp])
    };
    icmp[2..4].copy_from_slice(&sum);
    bytes
}

/// RFC 7915, 4.2 and 5.2: what an ICMP error of IPv4 becomes, and what one of IPv6. Pointers are translated only
/// where both families have a "next header".
fn translated(ipv4: bool, [kind, code]: [u8; 2]) -> Option<[u8; 2]> {
    const FROM_IPV4: [([u8; 2], [u8; 2]); 16] = [
        ([3, 0], [1, 0]),
        ([3, 1], [1, 0]),
        ([3, 2], [4, 1]),
        ([3, 3], [1, 4]),
        ([3, 4], [2, 0]),
        ([3, 5], [1, 0]),
        ([3, 6], [1, 0]),
        ([3, 7], [1, 0]),
        ([3, 8], [1, 0]),
        ([3, 9], [1, 1]),
        ([3, 10], [1, 1]),
        ([3, 11], [1, 0]),
        ([3, 12], [1, 0]),
        ([3, 13], [1, 1]),
        ([3, 15], [1, 1]),
        ([11, 255], [3, 255]),
    ];
    const FROM_IPV6: [([u8; 2], [u8; 2]); 8] = [
        ([1, 0], [3, 1]),
        ([1, 1], [3, 10]),
        ([1, 2], [3, 1]),
        ([1, 3], [3, 1]),
        ([1, 4], [3, 3]),
        ([2, 0], [3, 4]),
        ([3, 255], [11, 255]),
        ([4, 1], [3, 2]),
    ];
    let table = if ipv4 { &FROM_IPV4[..] } else { &FROM_IPV6[..] };
    let found = table.iter().find(|(from, _)| from[0] == kind && (from[1] == code || from[1] == 255));
    found.map(|(_, to)| [to[0], if to[1] == 255 { code } else { to[1] }])
}

const MIXED: [Cast; 2] = [Cast::IPV6_TO_IPV4, Cast::IPV4_TO_IPV6];

#[test]
fn every_error_is_told_in_the_other_family() {
    for (cast, side) in MIXED.into_iter().flat_map(|cast| [(cast, Side::Front), (cast, Side::Back)]) {
        let world = connected(&cast);
        let (_, near, _) = ends(&cast, side);
        let errors = if near == 20 { vec![3, 11, 12] } else { vec![1, 2, 3, 4] };
        for (kind, code) in
            errors.into_iter().flat_map(|kind| (0..20).map(move |code| [kind, code])).map(<(u8, u8)>::from)
        {
            let what = format!("{cast:?} {side:?} {kind}/{code}");
            let bytes = error(&cast, side, &tcp_sent(&cast, side), [kind, code], 1400);
            let before = world.halves();
            let (outcome, left) = world.send(side, &bytes);
            assert_eq!(world.halves(), before, "{what}");
            let mut wanted = translated(near == 20, [kind, code]);
            if kind == 2 && near == 40 {
                // Its code says nothing (RFC 4443, 3.2).
                wanted = Some([3, 4]);
            }
            let Some(wanted) = wanted else {
                assert_eq!((outcome, left), (Outcome::Stop(Event::DropIcmp), bytes), "{what}");
                continue;
            };
            assert_eq!(outcome, Outcome::Redirect(1 - side as u8), "{what}");
            let said = Message::read(&left, &what);
            assert_eq!(said.kind, wanted, "{what}");
            let ([hears, of], ..) = ends(&cast, if side == Side::Front { Side::Back } else { Side::Front });
            assert_eq!((said.source.ip(), said.destination.ip()), (of.ip(), hears.ip()), "{what}");
            assert_eq!((said.quoted, said.protocol), ((hears, of), IpNumber::TCP), "{what}");
            let macs = if side == Side::Front { BACK } else { FRONT };
            assert_eq!(left[..12], [macs[1], macs[0]].concat(), "{what}");
            let far = 60 - near;
            let word = &left[14 + far + 4..14 + far + 8];
            let toa = if side == Side::Back { cast.toa_len() } else { 0 };
            let room = (1400 + far - near - toa) as u32;
            let room = if far == 40 { room.max(1280) } else { room };
            match wanted {
                [2, 0] | [3, 4] if said.mtu.is_some() => assert_eq!(said.mtu, Some(room), "{what}"),
                // The pointer to IPv6's next header.
                [4, 1] => assert_eq!(word, [0, 0, 0, 6], "{what}"),
                _ => assert_eq!(word, [0; 4], "{what}"),
            }
            assert_eq!(left.len(), 14 + 2 * far + 16, "{what}");
        }
    }
}

#[test]
fn an_mtu_is_never_less_than_a_link_has_nor_more_than_fits_a_word() {
    for (cast, side) in MIXED.into_iter().flat_map(|cast| [(cast, Side::Front), (cast, Side::Back)]) {
        let (_, near, far) = ends(&cast, side);
        let mtus: &[u32] =
            if near == 20 { &[0, 1, 68, 1280, 65_535] } else { &[0, 1, 1280, 65_535, 65_536, u32::MAX] };
        for mtu in mtus {
            let kind = if near == 20 { [3, 4] } else { [2, 0] };
            let bytes = error(&cast, side, &tcp_sent(&cast, side), kind, *mtu);
            let mut world = connected(&cast);
            world.tables.config.min_path_mtu = 0;
            let said = Message::read(&world.send(side, &bytes).1, "MTU");
            let toa = if side == Side::Back { cast.toa_len() as i64 } else { 0 };
            let (least, room) = if far == 40 { (1280, 20) } else { (68, -20) };
            let wanted = ((i64::from(*mtu).min(65_535) + room).max(0) - toa).clamp(least, 65_535);
            assert_eq!(said.mtu, Some(wanted as u32), "{cast:?} {side:?} {mtu}");
        }
    }
}

#[test]
fn errors_about_datagrams_quote_the_checksum_that_was_sent() {
    for (cast, side) in MIXED.into_iter().flat_map(|cast| [(cast, Side::Front), (cast, Side::Back)]) {
        let ([peer, us], near, _) = ends(&cast, side);
        let ([hears, of], ..) = ends(&cast, if side == Side::Front { Side::Back } else { Side::Front });
        let quoted = Datagram::new(us, peer, b"data").packet().unwrap();
        let kind = if near == 20 { [3, 3] } else { [1, 4] };
        let (outcome, left) = answered(&cast).send(side, &error(&cast, side, &quoted, kind, 0));
        assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
        let said = Message::read(&left, "datagram");
        assert_eq!((said.quoted, said.protocol), ((hears, of), IpNumber::UDP));
        assert_eq!(said.tail, Datagram::new(hears, of, b"data").sum().unwrap().to_be_bytes());
    }
}

#[test]
fn errors_that_lie_about_what_was_sent_touch_nothing() {
    for (cast, side) in Cast::ALL.into_iter().flat_map(|cast| [(cast, Side::Front), (cast, Side::Back)]) {
        let world = connected(&cast);
        let ([peer, us], near, _) = ends(&cast, side);
        let kind = if near == 20 { [3, 3] } else { [1, 4] };
        let honest = error(&cast, side, &tcp_sent(&cast, side), kind, 0);
        let inner = 14 + near + 8;
        let otherwise = if side == Side::Front { Event::PassVipOther } else { Event::PassLocalOther };
        let stopped = |bytes: Vec<u8>, event: Event, what: &str| {
            let before = world.halves();
            assert_eq!(world.send(side, &bytes), (Outcome::Stop(event), bytes), "{what}: {cast:?} {side:?}");
            assert_eq!(world.halves(), before, "{what}");
        };
        let spoilt = |edit: &dyn Fn(&mut [u8])| {
            let mut bytes = honest.clone();
            edit(&mut bytes);
            bytes
        };
        let mut turned = Segment::new(peer, us);
        turned.tcp.ack = true;
        let turned = error(&cast, side, &turned.packet().unwrap(), kind, 0);
        stopped(turned, Event::DropIcmp, "sent by the peer");
        stopped(spoilt(&|b| b[inner + near - 1] ^= 1), otherwise, "to another receiver");
        stopped(spoilt(&|b| b[inner + near + 1] ^= 1), otherwise, "from another port");
        stopped(spoilt(&|b| b[inner] = 0x50 | b[inner] & 15), otherwise, "of another version");
        let protocol = if near == 20 { 9 } else { 6 };
        stopped(spoilt(&|b| b[inner + protocol] = 17), otherwise, "of another protocol");
        stopped(spoilt(&|b| b[inner + protocol] = 1), otherwise, "about an error");
        stopped(spoilt(&|b| b[14 + if near == 20 { 8 } else { 7 }] = 1), Event::DropTtl, "at its end");
        if near == 20 {
            stopped(spoilt(&|b| b[inner + 7] = 1), Event::DropIcmp, "about a later fragment");
            if !cast.is_plain() {
                stopped(
                    spoilt(&|b| b[inner + 2..inner + 4].copy_from_slice(&[0, 19])),
                    Event::DropIcmp,
                    "shorter than its header",
                );
            }
        }
        for length in 14..honest.len() {
            let (outcome, left) = world.send(side, &honest[..length]);
            assert!(matches!(outcome, Outcome::Stop(_)), "{length}: {outcome:?}");
            assert_eq!(left, honest[..length]);
        }
    }
}

#[test]
fn an_error_that_grows_needs_headroom_and_leaves_with_the_tags_of_its_way_out() {
    let (cast, tag) = (Cast::IPV6_TO_IPV4, 0x8100_0005);
    let bytes = error(&cast, Side::Back, &tcp_sent(&cast, Side::Back), [3, 3], 0);
    assert_eq!(connected(&cast).send_with(Side::Back, &bytes, 39).0, Outcome::Stop(Event::DropNoHeadroom));
    let (outcome, wanted) = connected(&cast).send_with(Side::Back, &bytes, 40);
    assert_eq!(outcome, Outcome::Redirect(0));
    let mut world = connected(&cast);
    (world.tables.interfaces[0].tags, world.tables.interfaces[0].device) = ([tag, 0], INTERFACES[1]);
    assert_eq!(world.send(Side::Back, &tagged(&bytes, &[tag])), (outcome, tagged(&wanted, &[tag])));
}
