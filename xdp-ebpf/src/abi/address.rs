//! Whose an address is: the buckets of `ek_address`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::ADDRESS_BUCKETS;
use crate::shared::shared_fields;

/// [`AddressEntry::kind`]: nothing here.
pub const ADDRESS_NONE: u32 = 0;
/// [`AddressEntry::kind`]: a VIP.
pub const ADDRESS_VIP: u32 = 1;
/// [`AddressEntry::kind`]: a local address (LIP); `index` is its number.
pub const ADDRESS_LOCAL: u32 = 2;

/// One address the balancer owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AddressEntry {
    /// IPv4, network order.
    pub address: [u8; 4],
    /// [`ADDRESS_NONE`], [`ADDRESS_VIP`] or [`ADDRESS_LOCAL`].
    pub kind: u32,
    /// The number of a local address, from 0.
    pub index: u32,
    /// Zero.
    pub reserved: u32,
}

shared_fields! { AddressEntry { kind: u32, } }

/// Four addresses with the same [`address_bucket`]: one cache line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct AddressBucket {
    /// In no order.
    pub entries: [AddressEntry; 4],
}

/// The bucket of `ek_address` that an address belongs to. `address` is in network order.
#[inline(always)]
pub fn address_bucket(address: [u8; 4]) -> u32 {
    u32::from_ne_bytes(address).wrapping_mul(0x9E37_79B1) >> (32 - ADDRESS_BUCKETS.trailing_zeros())
}
