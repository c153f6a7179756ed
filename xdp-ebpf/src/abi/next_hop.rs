//! What a CPU keeps of the routes that it has looked up: see [`crate::next_hop`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::shared::shared_fields;

/// Entries of `ek_next_hop` on each CPU; a power of two.
pub const NEXT_HOPS: u32 = 4096;

/// A next hop that the kernel's routing named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct NextHop {
    /// Source that it was asked for, in two words as 16 bytes lie in memory (network order, IPv4 mapped).
    pub src: [u64; 2],
    /// Destination, likewise.
    pub dst: [u64; 2],
    /// [`crate::tables::Hop::number`]; 0 in an empty entry.
    pub hop: u64,
    /// [`super::Config::generation`] when it was asked for.
    pub generation: u32,
    /// Low 32 bits of `jiffies_64` at that moment.
    pub looked_up: u32,
}

shared_fields! { NextHop {
    src: [u64; 2], dst: [u64; 2], hop: u64, generation: u32, looked_up: u32,
} }
