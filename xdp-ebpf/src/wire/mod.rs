//! Headers as they lie in the packet.

mod icmp;
mod ip;
mod transport;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

pub use self::{icmp::*, ip::*, transport::*};

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Ethernet II.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ethernet {
    /// Destination MAC.
    pub dst: [u8; 6],
    /// Source MAC.
    pub src: [u8; 6],
    /// EtherType.
    pub ethertype: U16,
}

impl Ethernet {
    /// Swaps the MACs. Through registers: see [`Mac`].
    #[inline(always)]
    pub fn turn_round(&mut self) {
        let (to, from) = (Mac::from(self.src), Mac::from(self.dst));
        (self.dst, self.src) = (to.into(), from.into());
    }
}

/// A MAC in one register (first byte lowest): as an array it would travel over the stack, which a BPF program cannot
/// access unaligned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mac(u64);

impl Mac {
    /// From three words as they lie in memory.
    #[inline(always)]
    pub const fn from_words([first, second, third]: [u16; 3]) -> Self {
        Mac(first.to_le() as u64 | (second.to_le() as u64) << 16 | (third.to_le() as u64) << 32)
    }

    /// As a number below 2^48, and back.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// From the low 48 bits: see [`Mac::number`].
    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        Mac(number & 0xffff_ffff_ffff)
    }
}

impl From<[u8; 6]> for Mac {
    #[inline(always)]
    fn from([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Mac(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }
}

impl From<Mac> for [u8; 6] {
    #[inline(always)]
    fn from(mac: Mac) -> Self {
        let [a, b, c, d, e, f, _, _] = mac.0.to_le_bytes();
        [a, b, c, d, e, f]
    }
}

/// The headers of a normalised packet: Ethernet, IP without options, and what `L4` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Frame<Ip, L4> {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IP.
    pub ip: Ip,
    /// TCP, UDP or ICMP.
    pub l4: L4,
}
