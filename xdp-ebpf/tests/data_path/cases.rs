//! The table of cases, and what must be true of every frame that is forwarded.

use etherparse::{NetHeaders, PacketHeaders};
use testbed::{
    Datagram, Segment,
    cases::{BACK, Cast, FRONT, Side, cases},
};
use xdp_ebpf::verdict::{Event, Outcome};

use crate::{
    icmp::{assert_error, is_icmp},
    world::{World, assert_sound, name, packet_len},
};

#[test]
fn every_case_ends_as_the_table_says() {
    for cast in Cast::ALL {
        for case in cases(cast) {
            let world = World::new();
            for (n, step) in case.steps.iter().enumerate() {
                let what = &format!("{}, step {n}, {cast:?}", case.what);
                let (outcome, left) = world.send(step.side, &step.frame);
                assert_eq!(name(outcome), step.verdict, "{what}");
                match outcome {
                    Outcome::Stop(_) => assert_eq!(left, step.frame, "{what}: changed, then stopped"),
                    // An answer to who sent it: `icmp_error` reads those.
                    _ if left[..6] == step.frame[6..12] => {
                        assert!(is_icmp(&left) || left[12] == 0x81, "{what}");
                    }
                    _ if is_icmp(&step.frame) => assert_error(&cast, step.side, &step.frame, &left, what),
                    // `normalising` and `fragments` compare them with what they are made of.
                    _ if is_odd(&step.frame) => assert!(PacketHeaders::from_ethernet_slice(&left).is_ok()),
                    _ => assert_rewritten(&cast, step.side, &step.frame, &left, what),
                }
            }
        }
    }
}

/// Whether there is something between the headers, or the packet is a fragment.
fn is_odd(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame[14] != 0x45 || frame[20..22] != [0x40, 0],
        [0x86, 0xDD] => frame[20] != 6 && frame[20] != 17,
        _ => true,
    }
}

/// What a rewrite may change, and to what; nothing else may change but the options.
fn assert_rewritten(cast: &Cast, side: Side, came: &[u8], left: &[u8], what: &str) {
    assert_sound(left);
    let macs = match side {
        Side::Front => BACK,
        Side::Back => FRONT,
    };
    assert_eq!(left[..12], [macs[1], macs[0]].concat(), "{what}: MACs");
    let padding = |frame: &[u8]| frame.len() - 14 - packet_len(frame).unwrap();
    assert_eq!(padding(left), padding(came), "{what}: padding");
    let (old, new) = (IpFields::of(came), IpFields::of(left));
    assert_eq!(new.time_to_live, old.time_to_live - 1, "{what}: time to live");
    assert_eq!(new.class, old.class, "{what}: class of traffic");
    if cast.is_plain() {
        assert_eq!(new.version, old.version, "{what}: version");
        assert_eq!(new.rest, old.rest, "{what}: the rest of the IP header");
    } else {
        assert_ne!(new.version, old.version, "{what}: version");
        let rest = if new.version == 4 { DO_NOT_FRAGMENT } else { 0 };
        assert_eq!(new.rest, rest, "{what}: the rest of the IP header");
    }
    if let Some(before) = Datagram::parse(came) {
        assert_datagram(cast, side, &before, &Datagram::parse(left).unwrap(), what);
    } else {
        assert_segment(cast, side, &Segment::parse(came).unwrap(), &Segment::parse(left).unwrap(), what);
    }
}

/// What of an IP header both families have, and in one number what only this one has.
struct IpFields {
    version: u8,
    class: u8,
    time_to_live: u8,
    rest: u32,
}

/// [`IpFields::rest`] of IPv4 with DF alone.
const DO_NOT_FRAGMENT: u32 = 1 << 16;

impl IpFields {
    fn of(frame: &[u8]) -> Self {
        match PacketHeaders::from_ethernet_slice(frame).unwrap().net.unwrap() {
            NetHeaders::Ipv4(ip, _) => Self {
                version: 4,
                class: ip.dscp.value() << 2 | ip.ecn.value(),
                time_to_live: ip.time_to_live,
                rest: u32::from(ip.dont_fragment) << 16 | u32::from(ip.identification),
            },
            NetHeaders::Ipv6(ip, _) => Self {
                version: 6,
                class: ip.traffic_class,
                time_to_live: ip.hop_limit,
                rest: ip.flow_label.value(),
            },
            NetHeaders::Arp(_) => panic!("neither IPv4 nor IPv6"),
        }
    }
}

fn assert_segment(cast: &Cast, side: Side, before: &Segment, after: &Segment, what: &str) {
    match side {
        Side::Front => {
            let local = after.source.ip();
            assert_eq!((local, after.destination), (cast.local.ip(), cast.backend), "{what}: addresses");
        }
        Side::Back => {
            assert_eq!((after.source, after.destination), (cast.vip, cast.client), "{what}: addresses");
        }
    }
    assert_eq!(after.payload, before.payload, "{what}: payload");
    let mut same = after.tcp.clone();
    same.source_port = before.tcp.source_port;
    same.destination_port = before.tcp.destination_port;
    same.checksum = before.tcp.checksum;
    same.set_options_raw(before.tcp.options.as_slice()).unwrap();
    assert_eq!(same, before.tcp, "{what}: the rest of the TCP header");
}

fn assert_datagram(cast: &Cast, side: Side, before: &Datagram, after: &Datagram, what: &str) {
    match side {
        Side::Front => {
            let local = after.source.ip();
            assert_eq!((local, after.destination), (cast.local.ip(), cast.backend), "{what}: addresses");
        }
        Side::Back => {
            assert_eq!((after.source, after.destination), (cast.vip, cast.client), "{what}: addresses");
        }
    }
    assert_eq!(after.payload, before.payload, "{what}: payload");
    assert_eq!(after.checksum == Some(0), before.checksum == Some(0), "{what}: no checksum stays none");
}

#[test]
fn every_truncation_of_every_case_is_stopped_and_unchanged() {
    for cast in Cast::ALL {
        for case in cases(cast) {
            for n in 0..case.steps.len() {
                let world = World::new();
                for step in &case.steps[..n] {
                    world.send(step.side, &step.frame);
                }
                let step = &case.steps[n];
                let opened = world.tables.counted(Event::SessionOpened);
                let whole = packet_len(&step.frame).map_or(step.frame.len(), |length| 14 + length);
                for length in 0..step.frame.len().min(whole) {
                    let what = format!("{}, step {n} cut to {length}, {cast:?}", case.what);
                    let cut = &step.frame[..length];
                    let (outcome, left) = world.send(step.side, cut);
                    assert!(matches!(outcome, Outcome::Stop(_)), "{what}: {outcome:?}");
                    assert_eq!(left, cut, "{what}");
                }
                assert_eq!(world.tables.counted(Event::SessionOpened), opened, "{}", case.what);
            }
        }
    }
}
