//! Tags, options and extension headers: with them a packet leaves as it does without, or goes up as it came.

use proptest::prelude::*;
use testbed::{
    Datagram, Segment,
    cases::{
        Cast, Extension, Message, PROVIDER_TAG, Side, Step, TAG, behind_options, frame, icmp_error, tagged,
        with_extensions, with_options,
    },
};
use xdp_ebpf::{
    abi::LISTENER_LAYER7,
    verdict::{Event, Outcome},
};

use crate::world::{INTERFACES, World, assert_sound};

const TAGS: [&[u32]; 3] = [&[TAG], &[PROVIDER_TAG, TAG], &[TAG, 0x8100_0000]];

/// A connection, and datagrams: every packet plain.
fn conversations(cast: &Cast) -> [Vec<Step>; 2] {
    let step = |side, packet: Vec<u8>| Step { side, frame: frame(side, &packet), verdict: "forward" };
    let mut connection = cast.handshake();
    for payload in [&[7; 4][..], &[7; 1000]] {
        connection.push(step(Side::Front, cast.ack(payload).packet().unwrap()));
    }
    let answer = cast.from_backend(|s| (s.tcp.acknowledgment_number, s.payload) = (1005, vec![8; 99]));
    connection.push(step(Side::Back, answer.packet().unwrap()));
    let datagram = |side, source, destination| {
        step(side, Datagram::new(source, destination, b"of odd length").packet().unwrap())
    };
    let question = datagram(Side::Front, cast.client, cast.vip);
    [connection, vec![question.clone(), datagram(Side::Back, cast.backend, cast.local), question]]
}

/// Plays the conversation as it is and with every frame changed by `make_odd`: the same must leave, and the same must be
/// known afterwards.
fn assert_same(cast: &Cast, make_odd: impl Fn(&Step) -> Vec<u8>) {
    for steps in conversations(cast) {
        let (plain, odd) = (World::new(), World::new());
        for step in steps {
            let (wanted, left) = (plain.send(step.side, &step.frame), odd.send(step.side, &make_odd(&step)));
            assert!(matches!(wanted.0, Outcome::Redirect(_)), "{wanted:?}");
            assert_eq!(left, wanted, "{cast:?}");
            assert_sound(&left.1);
        }
        assert_eq!(odd.halves(), plain.halves());
    }
}

/// The step's frame with its IP packet changed, if it is of the version.
fn of_version(version: u8, step: &Step, change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (ethernet, packet) = step.frame.split_at(14);
    if packet[0] >> 4 == version { [ethernet, &change(packet)].concat() } else { step.frame.clone() }
}

fn assert_stopped(world: &World, bytes: &[u8], event: Event, what: &str) {
    let before = world.halves();
    let (outcome, left) = world.send(Side::Front, bytes);
    assert_eq!((outcome, left), (Outcome::Stop(event), bytes.to_vec()), "{what}");
    assert_eq!(world.halves(), before, "{what}: touched a session");
}

#[test]
fn tags_end_here() {
    for cast in Cast::ALL {
        for tags in TAGS {
            assert_same(&cast, |step| tagged(&step.frame, tags));
        }
    }
}

#[test]
fn what_leaves_has_the_tags_of_its_way_out() {
    for cast in Cast::ALL {
        for out in [[TAG, 0], [PROVIDER_TAG, TAG]] {
            let worn: Vec<u32> = out.into_iter().filter(|tag| *tag != 0).collect();
            for came in [&[][..], TAGS[0], TAGS[1]] {
                for steps in conversations(&cast) {
                    let (plain, mut world) = (World::new(), World::new());
                    world.tables.interfaces.iter_mut().for_each(|interface| interface.tags = out);
                    for step in steps {
                        let wanted = plain.send(step.side, &step.frame);
                        let left = world.send(step.side, &tagged(&step.frame, came));
                        assert_eq!(left, (wanted.0, tagged(&wanted.1, &worn)), "{cast:?} {came:x?}");
                    }
                }
            }
        }
    }
}

#[test]
fn between_vlans_of_one_wire_a_frame_turns_with_other_tags() {
    let mut world = World::new();
    (world.tables.interfaces[1].device, world.tables.interfaces[1].tags) = (INTERFACES[0], [TAG, 0]);
    let syn = frame(Side::Front, &Cast::IPV4.syn().packet().unwrap());
    let (outcome, left) = world.send(Side::Front, &tagged(&syn, &[PROVIDER_TAG]));
    assert_eq!((outcome, &left[12..16]), (Outcome::Redirect(1), &TAG.to_be_bytes()[..]));

    // And to an interface without any, on the wire that it came by.
    let mut world = World::new();
    world.tables.interfaces[1].index = INTERFACES[0];
    let (outcome, left) = world.send(Side::Front, &tagged(&syn, &[TAG]));
    assert_eq!((outcome, &left[12..14]), (Outcome::Tx, &[8, 0][..]));
}

#[test]
fn what_goes_up_keeps_its_tags() {
    for cast in Cast::ALL {
        let mut world = World::new();
        let front = |packet: Vec<u8>| frame(Side::Front, &packet);
        let mut not_ours = cast.syn();
        not_ours.destination = cast.client;
        let no_session = cast.from_backend(|s| (s.tcp.syn, s.tcp.ack) = (true, false));
        let error = icmp_error(Side::Front, cast.vip.ip(), Message::TimeExceeded, &[0; 48]);
        let mut arp = front(cast.syn().packet().unwrap());
        arp[12..14].copy_from_slice(&[8, 6]);
        let mut frames = vec![
            (front(not_ours.packet().unwrap()), Event::PassNotOurs),
            (front(no_session.packet().unwrap()), Event::PassNoSession),
            (error, Event::PassVipOther),
            (arp, Event::PassNotIp),
        ];
        for listener in &mut world.tables.listeners {
            listener.kind = LISTENER_LAYER7;
        }
        frames.push((front(cast.syn().packet().unwrap()), Event::PassLayer7));
        for (bytes, event) in &frames {
            for tags in TAGS {
                assert_stopped(&world, &tagged(bytes, tags), *event, &format!("{cast:?} {tags:x?}"));
            }
            let three = tagged(bytes, &[TAG; 3]);
            assert_stopped(&world, &three, Event::PassNotIp, "three tags");
        }
        // Too short for what the tags promise.
        for length in 14..22 {
            assert_stopped(&world, &tagged(&frames[0].0, &[TAG; 2])[..length], Event::PassNotIp, "cut");
        }
    }
}

#[test]
fn an_answer_to_a_tagged_packet_is_tagged() {
    for cast in Cast::ALL {
        let (plain, world) = (World::new(), World::new());
        for world in [&plain, &world] {
            cast.handshake().iter().for_each(|step| drop(world.send(step.side, &step.frame)));
        }
        let bytes = frame(Side::Front, &cast.ack(&[7; 1600]).packet().unwrap());
        let echo = icmp_error(Side::Front, cast.vip.ip(), Message::Echo, &[0; 48]);
        for bytes in [bytes, echo] {
            let (outcome, answer) = plain.send(Side::Front, &bytes);
            assert_eq!(outcome, Outcome::Redirect(0));
            for tags in TAGS {
                let left = world.send(Side::Front, &tagged(&bytes, tags));
                assert_eq!(left, (outcome, tagged(&answer, tags)), "{cast:?}");
            }
        }
    }
}

#[test]
fn options_of_every_length_end_here() {
    for cast in Cast::ALL {
        for length in (4..=40).step_by(4) {
            assert_same(&cast, |step| of_version(4, step, |packet| with_options(packet, length)));
        }
        assert_same(&cast, |step| {
            tagged(&of_version(4, step, |packet| with_options(packet, 24)), &[PROVIDER_TAG, TAG])
        });
    }
}

#[test]
fn options_of_what_is_not_ours_stay() {
    let mut not_ours = Cast::IPV4.syn();
    not_ours.destination = Cast::IPV4.client;
    let not_ours = with_options(&not_ours.packet().unwrap(), 40);
    assert_stopped(&World::new(), &frame(Side::Front, &not_ours), Event::PassNotOurs, "not ours");
    let echo = icmp_error(Side::Front, Cast::IPV4.vip.ip(), Message::Echo, &[0; 48]);
    let echo = with_options(&echo[14..], 8);
    assert_stopped(&World::new(), &frame(Side::Front, &echo), Event::PassVipOther, "echo");
}

/// What is between the outer header and the error was for the way to us.
#[test]
fn an_icmp_error_behind_options_leaves_as_without() {
    for cast in Cast::ALL {
        for message in [Message::TooBig, Message::TimeExceeded] {
            for (side, hears, met) in
                [(Side::Front, cast.vip, cast.client), (Side::Back, cast.local, cast.backend)]
            {
                let (plain, odd) = (World::new(), World::new());
                for world in [&plain, &odd] {
                    cast.handshake().iter().for_each(|step| drop(world.send(step.side, &step.frame)));
                }
                let mut sent = Segment::new(hears, met);
                let numbers = if side == Side::Front { (5001, 1001) } else { (1001, 5001) };
                (sent.tcp.sequence_number, sent.tcp.acknowledgment_number) = numbers;
                sent.payload = vec![7; 100];
                let bytes = icmp_error(side, hears.ip(), message, &sent.packet().unwrap());
                let wanted = plain.send(side, &bytes);
                assert!(matches!(wanted.0, Outcome::Redirect(_)), "{cast:?}: {wanted:?}");
                assert_eq!(odd.send(side, &behind_options(&bytes)), wanted, "{cast:?} {message:?}");
            }
        }
    }
}

#[test]
fn options_that_the_packet_has_no_room_for_are_malformed() {
    let packet = with_options(&Cast::IPV4.syn().packet().unwrap(), 40);
    for total in [0u16, 20, 59] {
        let mut bytes = frame(Side::Front, &packet);
        bytes[16..18].copy_from_slice(&total.to_be_bytes());
        assert_stopped(&World::new(), &bytes, Event::DropMalformed, "total length");
    }
    for words in 0..5 {
        let mut bytes = frame(Side::Front, &packet);
        bytes[14] = 0x40 | words;
        assert_stopped(&World::new(), &bytes, Event::DropMalformed, "header length");
    }
    let cut = &frame(Side::Front, &packet)[..14 + 40];
    assert_stopped(&World::new(), cut, Event::DropMalformed, "cut");
}

fn skipped() -> impl Strategy<Value = Extension> {
    let kind = prop::sample::select(vec![Extension::HOP_BY_HOP, Extension::ROUTING, Extension::DESTINATION]);
    prop_oneof![
        8 => (kind, 1..9u8).prop_map(|(kind, units)| Extension::new(kind, units)),
        1 => any::<u32>().prop_map(|id| Extension::fragment(0, false, id)),
    ]
}

const IPV6_CLIENTS: [Cast; 2] = [Cast::IPV6, Cast::IPV6_TO_IPV4];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn extension_headers_end_here(
        cast in prop::sample::select(Cast::ALL.to_vec()),
        chain in prop::collection::vec(skipped(), 1..=6),
        tags in prop::sample::select(vec![&[][..], TAGS[0], TAGS[1]]),
    ) {
        prop_assume!(chain.iter().map(|header| header.1.len()).sum::<usize>() <= 256);
        assert_same(&cast, |step| tagged(&of_version(6, step, |packet| with_extensions(packet, &chain)), tags));
    }

    #[test]
    fn a_chain_that_lies_about_its_length_is_stopped(
        cast in prop::sample::select(IPV6_CLIENTS.to_vec()),
        chain in prop::collection::vec(skipped(), 1..=6),
        units in any::<u8>(),
    ) {
        let mut chain = chain;
        let header = chain.last_mut().unwrap();
        prop_assume!(header.0 != Extension::FRAGMENT && header.1[1] != units);
        header.1[1] = units;
        let bytes = frame(Side::Front, &with_extensions(&cast.ack(b"x").packet().unwrap(), &chain));
        let world = World::new();
        cast.handshake().iter().for_each(|step| drop(world.send(step.side, &step.frame)));
        let before = world.halves();
        let (outcome, left) = world.send(Side::Front, &bytes);
        prop_assert!(matches!(outcome, Outcome::Stop(_)), "{:?}", outcome);
        prop_assert_eq!(world.halves(), before);
        if outcome != Outcome::Stop(Event::DropNoListener) && outcome != Outcome::Stop(Event::DropNoSession) {
            prop_assert!(left == bytes || outcome == Outcome::Stop(Event::DropMalformed), "{:?}", outcome);
        }
    }
}

#[test]
fn chains_that_are_not_handled_are_dropped_by_name() {
    for cast in IPV6_CLIENTS {
        let syn = cast.syn().packet().unwrap();
        let [hops, route, options] = [0, 43, 60].map(|kind| Extension::new(kind, 1));
        let long = Extension::new(Extension::DESTINATION, 33);
        let past = Extension(Extension::DESTINATION, vec![0, 200, 1, 4, 0, 0, 0, 0]);
        for (what, chain) in [
            ("seven headers", vec![options.clone(); 7]),
            ("too long a header", vec![long]),
            ("too long together", vec![Extension::new(Extension::DESTINATION, 11); 3]),
            ("segments left", vec![hops.clone(), Extension::routing(1)]),
            ("many segments left", vec![Extension::routing(255)]),
            ("a length past the end", vec![past]),
            ("a first fragment with options behind", vec![Extension::fragment(0, true, 1), options.clone()]),
            ("a later fragment with options behind", vec![Extension::fragment(8, true, 1), options]),
        ] {
            let bytes = frame(Side::Front, &with_extensions(&syn, &chain));
            assert_stopped(&World::new(), &bytes, Event::DropExtension, what);
        }
        // No payload at all, only what looks like a header behind the packet.
        let mut empty = frame(Side::Front, &with_extensions(&syn, &[route]));
        empty[18..20].copy_from_slice(&[0, 0]);
        assert_stopped(&World::new(), &empty, Event::DropExtension, "an empty packet");
        let mut long = frame(Side::Front, &with_extensions(&syn, &[hops]));
        long[19] += 1;
        assert_stopped(&World::new(), &long, Event::DropMalformed, "a packet longer than the frame");
    }
}

#[test]
fn chains_that_end_in_something_else_go_up() {
    for cast in IPV6_CLIENTS {
        for protocol in [50, 51, 58, 59, 135, 253] {
            for chain in [vec![0], vec![0, 60, 43, 60], vec![44]] {
                let chain: Vec<Extension> = chain
                    .into_iter()
                    .map(|kind| match kind {
                        44 => Extension::fragment(0, true, 5),
                        kind => Extension::new(kind, 2),
                    })
                    .collect();
                let mut packet = cast.syn().packet().unwrap();
                packet[6] = protocol;
                let bytes = frame(Side::Front, &with_extensions(&packet, &chain));
                assert_stopped(&World::new(), &bytes, Event::PassVipOther, &format!("{protocol}"));
                packet[24..40].copy_from_slice(&[0x20; 16]);
                let bytes = frame(Side::Front, &with_extensions(&packet, &chain));
                assert_stopped(&World::new(), &bytes, Event::PassNotOurs, &format!("{protocol}"));
            }
        }
    }
}
