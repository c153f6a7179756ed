//! Random bytes: passed, dropped or forwarded, but never a panic, and sound if forwarded.

use proptest::prelude::*;
use testbed::cases::{LOCAL, Side, VIP, cases};
use xdp_ebpf::verdict::Outcome;

use crate::world::World;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn random_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        aim in 0..4u8,
        side in prop_oneof![Just(Side::Front), Just(Side::Back)],
    ) {
        let world = World::new();
        let mut bytes = bytes;
        if bytes.len() >= 34 && aim > 0 {
            bytes[12..14].copy_from_slice(&[8, 0]);
            bytes[14] = 0x45;
            bytes[23] = 6;
            let destination = if aim == 1 { LOCAL } else { VIP };
            bytes[30..34].copy_from_slice(&destination.ip().octets());
            if aim == 3 {
                bytes[20..22].copy_from_slice(&[0, 0]);
            }
        }
        world.send(side, &bytes);
    }

    #[test]
    fn a_case_with_flipped_bytes(
        case in prop::sample::select(cases()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..6),
        headroom in prop_oneof![Just(0usize), Just(7), Just(224)],
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
                Outcome::Stop(_) => prop_assert_eq!(left, step.frame),
                Outcome::Tx | Outcome::Redirect(_) => {
                    prop_assert!(etherparse::PacketHeaders::from_ethernet_slice(&left).is_ok());
                }
            }
        }
    }
}
