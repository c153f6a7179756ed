//! The interfaces that packets leave by.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An interface that XDP is attached to, or a VLAN's on top of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Interface index, by which routes name it; 0 in unused slots.
    pub index: u32,
    /// Index of the interface whose wire it is; its own, but for a VLAN's.
    pub device: u32,
    /// Largest IP packet in bytes: as the daemon has seen it last, or the program when it looked for a next hop.
    pub mtu: u32,
    /// VLAN tags that leave with its frames, the outer one first: EtherType (high 16 bits) and TCI; 0 for none.
    pub tags: [u32; 2],
    /// Its MAC.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}
