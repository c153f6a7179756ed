//! What frames that need normalising take: see [`crate::frame`] and [`crate::fragment`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{address::MappedAddress, shared::shared_fields};

/// What was taken off the frame that a CPU has under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Scratch {
    /// VLAN tags, the outer one first: EtherType (high 16 bits) and TCI; 0 for none.
    pub tags: [u32; 2],
    /// Identification, and offset word with the reserved byte above it, of an IPv6 fragment header; both 0 for none.
    pub fragment: [u32; 2],
}

shared_fields! { Scratch { tags: [u32; 2], fragment: [u32; 2], } }

/// The key of `ek_fragment`: a datagram in pieces.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
#[repr(C, align(8))]
pub struct FragmentKey {
    /// Source.
    pub src: MappedAddress,
    /// Destination.
    pub dst: MappedAddress,
    /// Identification.
    pub id: u32,
    /// IP protocol.
    pub protocol: u32,
}

/// What its first fragment said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct Fragment {
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Its bytes behind the IP header.
    pub first_len: u32,
    /// Low 32 bits of `jiffies_64` when it came.
    pub last_seen: u32,
}
