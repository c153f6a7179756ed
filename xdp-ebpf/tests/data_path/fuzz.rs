//! The table's frames in any order, changed in any way, through one world. `cargo xtask fuzz packets` looks for longer.

use std::{net::IpAddr, sync::LazyLock, time::Duration};

use bolero::{TypeGenerator, generator::produce};
use etherparse::{NetSlice, PacketHeaders, SlicedPacket, TransportSlice};
use testbed::{
    Datagram, Segment,
    cases::{Cast, Side, Step, cases},
};
use xdp_ebpf::{
    abi::{Common, DYING, FLAG_MIXED, Half, LIVE},
    family::Family,
    host::Records,
    verdict::{Action, Outcome},
};

use crate::world::World;

/// Room in front of a frame.
const HEADROOM: [usize; 4] = [0, 7, 19, 224];

/// Every frame of the table, in its order: a session's frames follow each other.
static STEPS: LazyLock<Vec<Step>> =
    LazyLock::new(|| Cast::ALL.into_iter().flat_map(cases).flat_map(|case| case.steps).collect());

/// One frame that comes in.
#[derive(Clone, Debug, TypeGenerator)]
struct Frame {
    /// Which of [`STEPS`]; without it, the one behind the one before.
    step: Option<u16>,
    /// Whether it comes in by the other interface.
    astray: bool,
    /// Offset and value.
    #[generator(produce::<Vec<(u16, u8)>>().with().len(0..3usize))]
    bytes: Vec<(u16, u8)>,
    /// Bytes that are left.
    cut: Option<u8>,
    headroom: u8,
    /// Jiffies since the one before.
    later: u8,
}

/// Each must hold after every frame of a sequence:
/// - what leaves is read by etherparse;
/// - what we make ourselves has right checksums, and so has what is forwarded, or an echo's answer, if they were right;
/// - it goes to a member, to a client, or back to its sender: never to a stranger;
/// - what is passed up is unchanged or a right packet;
///
/// and at the end the two halves of each live session agree.
#[test]
fn packets() {
    let sequences = produce::<Vec<Frame>>().with().len(0..24usize);
    bolero::check!(name = "packets")
        .with_generator(sequences)
        .with_test_time(Duration::from_secs(3))
        .for_each(|sequence| {
            let world = World::new();
            let mut next = 0;
            for frame in sequence {
                let at = frame.step.map_or(next, usize::from) % STEPS.len();
                next = at + 1;
                let (side, bytes) = frame.made_of(&STEPS[at]);
                world.tables.now.set(world.tables.now.get() + u32::from(frame.later));
                let headroom = HEADROOM[usize::from(frame.headroom) % HEADROOM.len()];
                let (outcome, left) = world.send_with(side, &bytes, headroom);
                assert_outcome(outcome, &bytes, &left);
            }
            assert_sessions(&world);
        });
}

impl Frame {
    fn made_of(&self, step: &Step) -> (Side, Vec<u8>) {
        let side = match (step.side, self.astray) {
            (Side::Front, false) | (Side::Back, true) => Side::Front,
            _ => Side::Back,
        };
        let mut bytes = step.frame.clone();
        for &(at, value) in &self.bytes {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(self.cut.map_or(usize::MAX, usize::from));
        (side, bytes)
    }
}

fn assert_outcome(outcome: Outcome, came: &[u8], left: &[u8]) {
    match outcome {
        Outcome::Stop(event) if event.action() == Action::Drop => return,
        Outcome::Stop(_) if left == came => return,
        _ => assert!(PacketHeaders::from_ethernet_slice(left).is_ok(), "{outcome:?}, {left:?}"),
    }
    let before = ends(came);
    let after = ends(left);
    let is_answer = after.is_some() && after == before.map(|(source, destination)| (destination, source));
    // An echo's answer is the question with another type: what was wrong with its checksum is wrong still.
    if is_answer && !is_echo_reply(left) || sums_are_right(came) == Some(true) {
        assert_ne!(sums_are_right(left), Some(false), "{outcome:?}: {came:?} became {left:?}");
    }
    if !matches!(outcome, Outcome::Stop(_)) && !is_answer {
        let known = |address| Cast::ALL.iter().any(|c| [c.client.ip(), c.backend.ip()].contains(&address));
        assert!(after.is_none_or(|(_, to)| known(to)), "{outcome:?}: {came:?} went to {after:?}");
    }
}

fn is_echo_reply(frame: &[u8]) -> bool {
    match SlicedPacket::from_ethernet(frame).map(|packet| packet.transport) {
        Ok(Some(TransportSlice::Icmpv4(icmp))) => icmp.type_u8() == 0,
        Ok(Some(TransportSlice::Icmpv6(icmp))) => icmp.type_u8() == 129,
        _ => false,
    }
}

/// Source and destination of an IP packet.
fn ends(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match SlicedPacket::from_ethernet(frame).ok()?.net? {
        NetSlice::Ipv4(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Ipv6(ip) => Some((ip.header().source_addr().into(), ip.header().destination_addr().into())),
        NetSlice::Arp(_) => None,
    }
}

/// Whether all checksums are right; `None` if it is no whole packet of TCP, UDP or ICMP.
fn sums_are_right(frame: &[u8]) -> Option<bool> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let net = packet.net.as_ref()?;
    if packet.is_ip_payload_fragmented() {
        return None;
    }
    if let NetSlice::Ipv4(ip) = net
        && ip.header().to_header().calc_header_checksum() != ip.header().header_checksum()
    {
        return Some(false);
    }
    match packet.transport? {
        TransportSlice::Tcp(_) => Some(Segment::parse(frame)?.checksum_is_right()),
        TransportSlice::Udp(_) => Datagram::parse(frame)?.checksum_is_right().ok(),
        TransportSlice::Icmpv4(icmp) => Some(sum(icmp.slice()) == u16::MAX),
        TransportSlice::Icmpv6(icmp) => {
            let NetSlice::Ipv6(ip) = net else { return None };
            Some(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()))
        }
        TransportSlice::Igmp(_) => None,
    }
}

/// The ones' complement sum (RFC 1071); of a right packet all bits are set.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

/// The forward half of a live session is live and its other half is too; both know each other and what they belong to.
fn assert_sessions(world: &World) {
    let tables = &world.tables;
    let forward = [commons(&tables.forward), commons(&tables.forward6)];
    let reverse = [commons(&tables.reverse), commons(&tables.reverse6)];
    for (family, halves) in forward.iter().enumerate() {
        for (index, half) in halves.iter().enumerate().filter(|(_, half)| half.state == LIVE) {
            let other = if half.flags & FLAG_MIXED == 0 { family } else { 1 - family };
            let peer: &Common = &reverse[other][half.peer as usize];
            assert!(peer.state == LIVE || peer.state == DYING, "{half:?} with {peer:?}");
            assert_eq!(peer.peer as usize, index, "{half:?} with {peer:?}");
            let of = |half: &Common| (half.backend, half.listener, half.protocol, half.flags & FLAG_MIXED);
            assert_eq!(of(half), of(peer));
            assert_eq!((half.new_dport, half.new_sport), (peer.sport, peer.dport));
            assert_eq!((half.sport, half.dport), (peer.new_dport, peer.new_sport));
        }
    }
}

fn commons<F: Family>(halves: &Records<Half<F>>) -> Vec<Common> {
    halves.iter().map(|half| half.common).collect()
}
