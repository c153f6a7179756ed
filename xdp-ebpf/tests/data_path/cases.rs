//! The table of cases, and what must be true of every frame that is forwarded.

use testbed::{
    Datagram, Segment,
    cases::{BACK, BACKEND, CLIENT, FRONT, LOCAL, Side, VIP, cases},
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
