//! What the benchmark's programs and their harness agree on: the packet that is put back before each run, and what the
//! floor knows of a flow. `main.rs` beside this file are the programs; the harness is `tests/bench/`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{address::MIX, shared::shared_fields};

/// Name of the map with one [`Template`] (array).
pub const TEMPLATE: &str = "ek_template";
/// Name of the map with the program under test (program array, one entry).
pub const SUBJECT: &str = "ek_subject";
/// Name of the map with the flows of `ek_floor` (array of [`FLOOR_ENTRIES`] [`Floor`]).
pub const FLOOR: &str = "ek_floor_flow";
/// Twice the most flows.
pub const FLOOR_ENTRIES: u32 = 1 << 21;
/// How many entries a flow of the floor may be away from its [`Floor::place`].
pub const FLOOR_PROBES: u32 = 16;
/// Words of a template behind its Ethernet header: IPv4, TCP and all options, or IPv6, TCP and half of them.
pub const WORDS: usize = 20;
/// Shortest frame that a template describes, in bytes.
pub const MIN_FRAME: usize = 14 + 4 * WORDS;
/// Flows per address: flow `n` adds `n / 2^15` to the address and `n % 2^15` to the port.
pub const PORT_BITS: u32 = 15;

/// [`Template::vary`]: flows differ in source address and port.
pub const VARY_SOURCE: u32 = 0;
/// [`Template::vary`]: flows differ in destination address and port.
pub const VARY_DESTINATION: u32 = 1;
/// [`VARY_SOURCE`] over IPv6.
pub const VARY_SOURCE6: u32 = 2;
/// [`VARY_DESTINATION`] over IPv6.
pub const VARY_DESTINATION6: u32 = 3;

/// A frame's first bytes, and how flows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Template {
    /// Packets so far; wraps. Each one's flow follows from it.
    pub packets: u32,
    /// Flows, less one; flows are a power of two.
    pub flow_mask: u32,
    /// Length of the frame in bytes.
    pub length: u32,
    /// `VARY_…`.
    pub vary: u32,
    /// Flow `n` is flow `n × 2^spread` of a larger number.
    pub spread: u32,
    /// In which order flows come: each number from 1 to 31 is another one.
    pub order: u32,
    /// Ethernet header, and two bytes that do not count.
    pub ethernet: [u16; 8],
    /// What follows, as it lies in the packet.
    pub words: [u32; WORDS],
}

shared_fields! { Template { packets: u32, } }

impl Template {
    /// The flow of the next packet: a permutation of all flows, in an order that no prefetcher guesses.
    #[inline(always)]
    pub const fn next_flow(&self) -> u32 {
        let flow = self.packets.wrapping_mul(0x9E37_79B1) & self.flow_mask;
        let flow = (flow ^ flow >> 7).wrapping_mul(0x85EB_CA6B) & self.flow_mask;
        let flow = (flow ^ flow >> (self.order & 31)).wrapping_mul(0xC2B2_AE35) & self.flow_mask;
        flow << self.spread
    }
}

/// What `ek_floor` knows of a flow of IPv4 and TCP: its one cache line. The floor is the least that a FullNAT with our
/// duties can do: find the flow by its addresses and ports, see that it is in use and that the packet fits, rewrite it,
/// note the time, and count it in two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Floor {
    /// Source address, as in the packet.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Both ports.
    pub ports: u32,
    /// Not 0: in use.
    pub state: u32,
    /// Source address to write, as in the packet.
    pub new_source: u32,
    /// Destination address to write.
    pub new_destination: u32,
    /// Both ports to write.
    pub new_ports: u32,
    /// What the complement of the IPv4 checksum grows by.
    pub ip_delta: u16,
    /// The same of TCP's.
    pub l4_delta: u16,
    /// Both MACs to write.
    pub macs: [u16; 6],
    /// The longest frame.
    pub longest: u16,
    /// In which place of the counters it is counted.
    pub counted_at: u16,
    /// Low 32 bits of `jiffies_64` at the last packet.
    pub last_seen: u32,
    /// Packets.
    pub packets: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

shared_fields! { Floor {
    source: u32, destination: u32, ports: u32, state: u32, new_source: u32, new_destination: u32, new_ports: u32,
    ip_delta: u16, l4_delta: u16, macs: [u16; 6], longest: u16, counted_at: u16, last_seen: u32, packets: u32,
} }

impl Floor {
    /// Where a flow's entry is, or shortly behind.
    #[inline(always)]
    pub const fn place(source: u32, destination: u32, ports: u32) -> u32 {
        let mixed = ((source as u64) << 32 | ports as u64).wrapping_mul(MIX) ^ destination as u64;
        let mixed = (mixed ^ mixed >> 32).wrapping_mul(MIX);
        (mixed >> (u64::BITS - FLOOR_ENTRIES.trailing_zeros())) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn every_flow_comes_once_in_a_round() {
        for (flow_mask, order) in
            [(0, 1), (1, 9), ((1 << 14) - 1, 5), ((1 << 20) - 1, 1), ((1 << 20) - 1, 31)]
        {
            let mut seen = vec![false; flow_mask as usize + 1];
            for packets in 100..100 + seen.len() as u32 {
                let template = Template { packets, flow_mask, order, ..Template::default() };
                assert!(!core::mem::replace(&mut seen[template.next_flow() as usize], true));
            }
        }
    }
}
