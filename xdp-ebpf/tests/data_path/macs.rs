//! Whose MAC a frame is for: a switch floods what it has not learned.

use testbed::cases::{Cast, Message, Side, frame, icmp_error};
use xdp_ebpf::{
    abi::WITHOUT_SESSION_RESET,
    verdict::{Event, Outcome},
};

use crate::world::World;

const OTHER: [u8; 6] = [2, 0, 0, 0, 0x77, 1];

/// The frame, for this MAC.
fn addressed(mut frame: Vec<u8>, to: [u8; 6]) -> Vec<u8> {
    frame[..6].copy_from_slice(&to);
    frame
}

/// Not even by those answers that need no session.
#[test]
fn what_is_for_another_mac_is_left_alone() {
    for cast in Cast::ALL {
        let mut world = World::new();
        world.tables.config.without_session = WITHOUT_SESSION_RESET;
        let packets = [cast.syn(), cast.ack(b"data")].map(|segment| segment.packet().unwrap());
        let mut frames = packets.map(|packet| frame(Side::Front, &packet)).to_vec();
        frames.push(icmp_error(Side::Front, cast.vip.ip(), Message::Echo, &[0; 48]));
        let seen = frames.len() as u64;
        for bytes in frames {
            let bytes = addressed(bytes, OTHER);
            assert_eq!(world.send(Side::Front, &bytes), (Outcome::Stop(Event::PassOtherMac), bytes.clone()));
        }
        assert_eq!(world.tables.counted(Event::PassOtherMac), seen);
        assert!(world.halves().iter().all(|half| half.state == 0));
    }
}

#[test]
fn a_virtual_routers_mac_is_ours() {
    let mut world = World::new();
    let syn = addressed(frame(Side::Front, &Cast::IPV4.syn().packet().unwrap()), OTHER);
    assert_eq!(world.send(Side::Front, &syn).0, Outcome::Stop(Event::PassOtherMac));
    world.tables.config.virtual_macs[7] = OTHER;
    assert!(matches!(world.send(Side::Front, &syn).0, Outcome::Redirect(_)));
}
