//! Whose an address is: the buckets of `ek_address`.

use super::capacity::ADDRESS_BUCKETS;
use crate::{address::Address, family::Family, shared::shared_fields};

/// [`AddressEntry::kind`]: nothing here.
pub const ADDRESS_NONE: u32 = 0;
/// [`AddressEntry::kind`]: a VIP.
pub const ADDRESS_VIP: u32 = 1;
/// [`AddressEntry::kind`]: a local address (LIP); `index` is its number.
pub const ADDRESS_LOCAL: u32 = 2;

/// One address the balancer owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AddressEntry<F: Family> {
    /// Network order.
    pub address: F::Address,
    /// [`ADDRESS_NONE`], [`ADDRESS_VIP`] or [`ADDRESS_LOCAL`].
    pub kind: u32,
    /// The number of a local address among those of its family, from 0.
    pub index: u32,
    /// Zero.
    pub reserved: F::EntryPadding,
}

shared_fields! { [F: Family] AddressEntry<F> { kind: u32, } }

/// Four addresses with the same [`address_bucket`]: one cache line of IPv4's, two of IPv6's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct AddressBucket<F: Family> {
    /// In no order.
    pub entries: [AddressEntry<F>; 4],
}

/// The bucket that an address belongs to.
#[inline(always)]
pub fn address_bucket<A: Address>(address: A) -> u32 {
    let folded = address.folded();
    ((folded ^ folded >> 32) as u32).wrapping_mul(0x9E37_79B1) >> (32 - ADDRESS_BUCKETS.trailing_zeros())
}
