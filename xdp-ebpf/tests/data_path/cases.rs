//! The table of cases, and what must be true of every frame that is forwarded.

use std::net::SocketAddrV4;

use etherparse::{Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4Header, Ipv4Slice, icmpv4::DestUnreachableHeader};
use testbed::{
    Datagram, Segment,
    cases::{BACK, BACKEND, CLIENT, FRONT, LOCAL, NARROW_MTU, Side, VIP, cases},
};
use xdp_ebpf::verdict::Outcome;

use crate::world::{World, assert_sound, name};

#[test]
fn every_case_ends_as_the_table_says() {
    for case in cases() {
        let world = World::new();
        for (n, step) in case.steps.iter().enumerate() {
            let (outcome, left) = world.send(step.side, &step.frame);
            assert_eq!(name(outcome), step.verdict, "{}, step {n}", case.what);
            match outcome {
                Outcome::Stop(_) => {
                    assert_eq!(left, step.frame, "{}, step {n}: changed, then stopped", case.what)
                }
                Outcome::Tx | Outcome::Redirect(_) => {
                    assert_rewritten(step.side, &step.frame, &left, case.what)
                }
            }
        }
    }
}

/// What a rewrite may change, and to what; nothing else may change but the options.
fn assert_rewritten(side: Side, came: &[u8], left: &[u8], what: &str) {
    if came[23] == 1 {
        return assert_error(side, came, left, what);
    }
    assert_sound(left);
    if let Some(before) = Datagram::parse(came) {
        return assert_datagram(side, &before, &Datagram::parse(left).unwrap(), what);
    }
    let (before, after) = (Segment::parse(came).unwrap(), Segment::parse(left).unwrap());
    let (macs, source, destination) = match side {
        Side::Front => (BACK, after.source, BACKEND),
        Side::Back => (FRONT, VIP, CLIENT),
    };
    assert_eq!(left[..12], [macs[1], macs[0]].concat(), "{what}: MACs");
    assert_eq!((after.source, after.destination), (source, destination), "{what}: addresses");
    if side == Side::Front {
        assert_eq!(after.source.ip(), LOCAL.ip(), "{what}: the local address");
    }
    assert_eq!(after.time_to_live, before.time_to_live - 1, "{what}: time to live");
    assert_eq!(after.payload, before.payload, "{what}: payload");
    let mut same = after.tcp.clone();
    same.source_port = before.tcp.source_port;
    same.destination_port = before.tcp.destination_port;
    same.checksum = before.tcp.checksum;
    same.set_options_raw(before.tcp.options.as_slice()).unwrap();
    assert_eq!(same, before.tcp, "{what}: the rest of the TCP header");
}

/// An ICMP error that went on: who hears it from whom, what it says, and every checksum in it.
fn assert_error(side: Side, came: &[u8], left: &[u8], what: &str) {
    let ip = Ipv4Slice::from_slice(&left[14..]).unwrap();
    assert_eq!(
        ip.header().to_header().calc_header_checksum(),
        ip.header().header_checksum(),
        "{what}: outer"
    );
    let icmp = Icmpv4Slice::from_slice(ip.payload().payload).unwrap();
    assert_eq!(icmp.icmp_type().calc_checksum(icmp.payload()), icmp.checksum(), "{what}: ICMP checksum");
    let (quoted, rest) = Ipv4Header::from_slice(icmp.payload()).unwrap();
    assert_eq!(quoted.calc_header_checksum(), quoted.header_checksum, "{what}: quoted IP checksum");
    let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
    let source = SocketAddrV4::new(quoted.source.into(), port(0));
    let destination = SocketAddrV4::new(quoted.destination.into(), port(2));

    // Who hears it, what they had sent, and from whom they hear it: the address that they know.
    let (hears, sent, from) = match side {
        Side::Front => (BACKEND, (BACKEND, LOCAL), LOCAL),
        Side::Back => (CLIENT, (CLIENT, VIP), VIP),
    };
    let outer = ip.header();
    assert_eq!((outer.source_addr(), outer.destination_addr()), (*from.ip(), *hears.ip()), "{what}: outer");
    assert_eq!((source, destination), sent, "{what}: quoted");
    let Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu }) =
        icmp.icmp_type()
    else {
        return assert_eq!(left[34..36], came[34..36], "{what}: type and code");
    };
    let room = if side == Side::Back && quoted.protocol == IpNumber::TCP { 8 } else { 0 };
    assert_eq!(next_hop_mtu, NARROW_MTU - room, "{what}: MTU");
}

fn assert_datagram(side: Side, before: &Datagram, after: &Datagram, what: &str) {
    match side {
        Side::Front => {
            assert_eq!((after.source.ip(), after.destination), (LOCAL.ip(), BACKEND), "{what}: addresses");
        }
        Side::Back => assert_eq!((after.source, after.destination), (VIP, CLIENT), "{what}: addresses"),
    }
    assert_eq!(after.payload, before.payload, "{what}: payload");
    assert_eq!(after.checksum == Some(0), before.checksum == Some(0), "{what}: no checksum stays none");
}

#[test]
fn every_truncation_of_every_case_is_stopped_and_unchanged() {
    for case in cases() {
        for n in 0..case.steps.len() {
            let world = World::new();
            for step in &case.steps[..n] {
                world.send(step.side, &step.frame);
            }
            let step = &case.steps[n];
            let opened = world.tables.counted(xdp_ebpf::verdict::Event::SessionOpened);
            let packet_len = 14 + usize::from(u16::from_be_bytes([step.frame[16], step.frame[17]]));
            for length in 0..step.frame.len().min(packet_len) {
                let cut = &step.frame[..length];
                let (outcome, left) = world.send(step.side, cut);
                assert!(
                    matches!(outcome, Outcome::Stop(_)),
                    "{}, step {n} cut to {length}: {outcome:?}",
                    case.what
                );
                assert_eq!(left, cut, "{}, step {n} cut to {length}", case.what);
            }
            assert_eq!(world.tables.counted(xdp_ebpf::verdict::Event::SessionOpened), opened);
        }
    }
}
