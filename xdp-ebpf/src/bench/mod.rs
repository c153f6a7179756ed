//! What the benchmark's program and its harness agree on: the packet that is put back before each run. `main.rs`
//! beside this file is the program; the harness is `tests/bench/`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::shared::shared_fields;

/// Name of the map with one [`Template`] (array).
pub const TEMPLATE: &str = "ek_template";
/// Name of the map with the program under test (program array, one entry).
pub const SUBJECT: &str = "ek_subject";
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
        (flow ^ flow >> 7).wrapping_mul(0x85EB_CA6B) & self.flow_mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn every_flow_comes_once_in_a_round() {
        for flow_mask in [0, 1, (1 << 14) - 1, (1 << 20) - 1] {
            let mut seen = vec![false; flow_mask as usize + 1];
            for packets in 100..100 + seen.len() as u32 {
                let template = Template { packets, flow_mask, ..Template::default() };
                assert!(!core::mem::replace(&mut seen[template.next_flow() as usize], true));
            }
        }
    }
}
