//! Random bytes: passed, dropped or forwarded, but never a panic, and sound if forwarded.

use std::net::IpAddr;

use etherparse::PacketHeaders;
use proptest::prelude::*;
use testbed::cases::{Case, Cast, Side, cases};
use xdp_ebpf::verdict::{Action, Outcome};

use crate::world::World;

/// Writes so much of an IP header with this destination and protocol into a frame that it gets past the first looks.
fn aim(bytes: &mut [u8], destination: IpAddr, protocol: u8) {
    match destination {
        IpAddr::V4(destination) => {
            bytes[12..14].copy_from_slice(&[8, 0]);
            bytes[14] = 0x45;
            bytes[23] = protocol;
            bytes[30..34].copy_from_slice(&destination.octets());
        }
        IpAddr::V6(destination) => {
            bytes[12..14].copy_from_slice(&[0x86, 0xDD]);
            bytes[14] = 0x60;
            bytes[20] = protocol;
            bytes[38..54].copy_from_slice(&destination.octets());
        }
    }
}

/// The lengths and fragment fields of a whole packet.
fn make_whole(bytes: &mut [u8]) {
    let length = bytes.len() as u16 - 14;
    if bytes[12] == 8 {
        bytes[16..18].copy_from_slice(&length.to_be_bytes());
        bytes[20..22].copy_from_slice(&[0, 0]);
    } else {
        bytes[18..20].copy_from_slice(&(length - 40).to_be_bytes());
    }
}

fn all_cases() -> Vec<Case> {
    Cast::ALL.into_iter().flat_map(cases).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn random_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cast in prop::sample::select(Cast::ALL.to_vec()),
        aimed in 0..4u8,
        protocol in prop::sample::select(vec![6, 17, 1, 58, 0, 44]),
        side in prop_oneof![Just(Side::Front), Just(Side::Back)],
    ) {
        let world = World::new();
        let mut bytes = bytes;
        if bytes.len() >= 54 && aimed > 0 {
            aim(&mut bytes, if aimed == 1 { cast.local.ip() } else { cast.vip.ip() }, protocol);
            if aimed == 3 {
                make_whole(&mut bytes);
            }
        }
        world.send(side, &bytes);
    }

    #[test]
    fn a_case_with_flipped_bytes(
        case in prop::sample::select(all_cases()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        headroom in prop_oneof![Just(0usize), Just(7), Just(19), Just(224)],
    ) {
        let world = World::new();
        let mut steps = case.steps;
        for (step, at, value) in flips {
            let frame = &mut step.get_mut(&mut steps).frame;
            let at = at.index(frame.len());
            frame[at] = value;
        }
        for step in steps {
            let (outcome, left) = world.send_with(step.side, &step.frame, headroom);
            match outcome {
                // Options, extensions and tags may be off by then.
                Outcome::Stop(event) if event.action() == Action::Drop => {}
                // So they are if what goes up is TCP or UDP: they were for the way to us.
                Outcome::Stop(_) if left.len() < step.frame.len() => {
                    prop_assert!(PacketHeaders::from_ethernet_slice(&left).is_ok());
                }
                Outcome::Stop(_) => prop_assert_eq!(left, step.frame),
                _ => prop_assert!(PacketHeaders::from_ethernet_slice(&left).is_ok()),
            }
        }
    }
}
