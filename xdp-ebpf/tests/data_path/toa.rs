//! TOA on the wire: where it must be, where it must not, and that nothing of the client's passes for it.

use proptest::prelude::*;
use testbed::{
    Segment,
    cases::{CLIENT, Side, ack, from_backend, from_client, options, syn, syn_ack},
};
use xdp_ebpf::verdict::Event;

use crate::world::World;

/// A world in which the handshake is done up to the SYN-ACK.
fn half_open() -> World {
    let world = World::new();
    world.forward(Side::Front, &syn());
    world.forward(Side::Back, &syn_ack());
    world
}

#[test]
fn the_third_segment_and_all_data_until_the_backend_answers() {
    let world = half_open();
    for segment in [ack(b""), ack(b"one"), ack(b"one"), ack(b"two")] {
        let left = world.forward(Side::Front, &segment);
        assert_eq!(left.toa(), [CLIENT]);
        assert_eq!(left.tcp.options.as_slice()[..2], [254, 8], "right behind the TCP header");
    }
    // A duplicate of the SYN-ACK's acknowledgement answers nothing yet.
    world.forward(Side::Back, &from_backend(|_| ()));
    assert_eq!(world.forward(Side::Front, &ack(b"three")).toa(), [CLIENT]);
    world.forward(Side::Back, &from_backend(|s| s.tcp.acknowledgment_number += 3));
    assert_eq!(world.forward(Side::Front, &ack(b"four")).toa(), []);
}

#[test]
fn data_from_the_backend_ends_it() {
    let world = half_open();
    assert_eq!(world.forward(Side::Front, &ack(b"")).toa(), [CLIENT]);
    world.forward(Side::Back, &from_backend(|s| s.payload = b"220".to_vec()));
    assert_eq!(world.forward(Side::Front, &ack(b"")).toa(), []);
}

#[test]
fn a_bare_syn_and_a_reset_carry_none_and_a_syn_with_data_does() {
    let world = World::new();
    assert_eq!(world.forward(Side::Front, &syn()).toa(), []);
    let reset = from_client(|s| s.tcp.rst = true);
    assert_eq!(world.forward(Side::Front, &reset).toa(), []);

    let world = World::new();
    let mut early = syn();
    early.payload = b"early".to_vec();
    assert_eq!(world.forward(Side::Front, &early).toa(), [CLIENT]);
}

#[test]
fn the_mss_towards_the_client_leaves_room_and_that_towards_the_backend_stays() {
    let world = World::new();
    assert_eq!(world.forward(Side::Front, &syn()).tcp.options.as_slice()[..4], [2, 4, 0x05, 0xB4]);
    assert_eq!(world.forward(Side::Back, &syn_ack()).tcp.options.as_slice()[..4], [2, 4, 0x05, 0xAC]);
}

#[test]
fn without_headroom_the_segment_goes_on_as_it_is() {
    let world = half_open();
    let bytes = testbed::cases::frame(Side::Front, &ack(b"data").packet().unwrap());
    let (_, left) = world.send_with(Side::Front, &bytes, 7);
    crate::world::assert_sound(&left);
    assert_eq!(Segment::parse(&left).unwrap().toa(), []);
    assert_eq!(world.tables.counted(Event::ToaNoRoom), 1);
}

/// Options as a hostile client may write them: true ones, forged ones, rubbish.
fn client_options() -> impl Strategy<Value = Vec<u8>> {
    let option = prop_oneof![
        3 => Just(vec![1u8]),
        2 => Just(vec![254, 8, 0, 80, 192, 0, 2, 99]),
        1 => Just(vec![253, 8, 0, 80, 192, 0, 2, 99]),
        1 => Just(vec![200, 8, 0, 80, 192, 0, 2, 99]),
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
        bytes in client_options(),
        stage in 0..3u8,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let world = if stage == 0 { World::new() } else { half_open() };
        let mut segment = match stage {
            0 => syn(),
            1 => ack(b""),
            _ => ack(&payload),
        };
        options(&mut segment, &bytes);
        let left = world.forward(Side::Front, &segment);
        let wanted: &[_] = if stage > 0 && bytes.len() <= 32 { &[CLIENT] } else { &[] };
        prop_assert_eq!(left.toa(), wanted);

        let seen = kinds(left.tcp.options.as_slice());
        let ours = usize::from(!wanted.is_empty());
        prop_assert!(seen.iter().skip(ours).all(|kind| ![200, 253, 254].contains(kind)), "{:?}", seen);
        let honest: Vec<u8> = kinds(&bytes).into_iter().filter(|k| ![200, 253, 254].contains(k)).collect();
        if !(stage == 0 && honest.contains(&34)) {
            prop_assert_eq!(&seen[ours..], &honest[..], "honest options stay");
        }
        prop_assert_eq!(left.payload, segment.payload);
    }
}
