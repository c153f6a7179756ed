//! Addresses of either family: how they widen, fold to a number for a hash, and count in a checksum.

use core::{
    fmt::Debug,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, transmute};

use crate::{checksum::Sum, packet::Header};

/// An address of either family, as the records hold it that are of no one family: `ek_service`'s keys, `ek_backend`, …
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
    Unaligned,
)]
#[repr(transparent)]
pub struct MappedAddress {
    /// Network order; IPv4 as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
    pub bytes: [u8; 16],
}

impl MappedAddress {
    /// Of neither family: all zeros.
    pub const UNSPECIFIED: Self = Self { bytes: [0; 16] };

    /// An IPv4 address in network order.
    #[inline(always)]
    pub const fn v4([a, b, c, d]: [u8; 4]) -> Self {
        Self { bytes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d] }
    }

    /// An IPv6 address in network order; a mapped one is the IPv4 address.
    #[inline(always)]
    pub const fn v6(bytes: [u8; 16]) -> Self {
        Self { bytes }
    }

    /// As [`Address::folded`], whatever the family.
    #[inline(always)]
    pub fn folded(self) -> u64 {
        self.bytes.folded()
    }
}

impl From<IpAddr> for MappedAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address.octets()),
            IpAddr::V6(address) => Self::v6(address.octets()),
        }
    }
}

impl From<MappedAddress> for IpAddr {
    fn from(address: MappedAddress) -> Self {
        Ipv6Addr::from(address.bytes).to_canonical()
    }
}

/// An address in network order; the default is the unspecified one.
pub trait Address: Header + Copy + Default + Eq + Ord + Hash + Debug + 'static {
    /// As records of either family hold it.
    fn mapped(self) -> MappedAddress;

    /// The address in such a record, if it is of this family.
    fn from_mapped(mapped: MappedAddress) -> Option<Self>;

    /// Adds the address to a checksum.
    fn add_to(self, sum: Sum) -> Sum;

    /// Takes the address away from a checksum.
    fn take_from(self, sum: Sum) -> Sum;

    /// The address as one number; of an IPv4 address, all of it. Whoever has many IPv6 addresses finds some with the
    /// same number.
    fn folded(self) -> u64;

    /// The same with a secret: what has the same number is not to be found. Of an IPv4 address, it is in the high
    /// half.
    fn keyed(self, secret: u64) -> u64;

    /// The network that its clients are counted in together: the first 24 bits of an IPv4 address, the first 64 of an IPv6
    /// one.
    fn network(self) -> u64;
}

impl Address for [u8; 4] {
    #[inline(always)]
    fn mapped(self) -> MappedAddress {
        let second = u64::from(u32::from_le_bytes(self)) << 32 | MAPPED;
        transmute!([0, second.to_le()])
    }

    #[inline(always)]
    fn from_mapped(mapped: MappedAddress) -> Option<Self> {
        let [first, second]: [u64; 2] = transmute!(mapped);
        let second = u64::from_le(second);
        let address = ((second >> 32) as u32).to_le_bytes();
        (first == 0 && second & 0xffff_ffff == MAPPED).then_some(address)
    }

    #[inline(always)]
    fn add_to(self, sum: Sum) -> Sum {
        sum.add4(self)
    }

    #[inline(always)]
    fn take_from(self, sum: Sum) -> Sum {
        sum.sub4(self)
    }

    #[inline(always)]
    fn folded(self) -> u64 {
        u64::from(u32::from_ne_bytes(self))
    }

    #[inline(always)]
    fn network(self) -> u64 {
        u64::from(u32::from_be_bytes(self) >> 8)
    }

    #[inline(always)]
    fn keyed(self, secret: u64) -> u64 {
        self.folded() << 32 ^ secret
    }
}

/// Bytes 8 to 11 of an IPv4 address in 16, the first one lowest.
const MAPPED: u64 = 0xffff_0000;

/// 2^64 over the golden ratio: what every hash of 64 bits multiplies by.
pub(crate) const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A hash of which every bit of the number reaches the highest bits: those are to be taken. A single product leaves out
/// what lies too high to reach a middle bit, and is uneven over numbers in a row that begin at some other bit than the
/// lowest.
#[inline(always)]
pub(crate) const fn mixed(number: u64) -> u64 {
    let product = number.wrapping_mul(MIX);
    (product ^ product >> 32).wrapping_mul(MIX)
}

/// In two words everywhere: the compiler keeps those in registers, and bytes on the stack.
impl Address for [u8; 16] {
    #[inline(always)]
    fn mapped(self) -> MappedAddress {
        MappedAddress { bytes: self }
    }

    #[inline(always)]
    fn from_mapped(mapped: MappedAddress) -> Option<Self> {
        <[u8; 4]>::from_mapped(mapped).is_none().then_some(mapped.bytes)
    }

    #[inline(always)]
    fn add_to(self, sum: Sum) -> Sum {
        let [network, interface]: [u64; 2] = transmute!(self);
        sum.add8(network).add8(interface)
    }

    #[inline(always)]
    fn take_from(self, sum: Sum) -> Sum {
        let [network, interface]: [u64; 2] = transmute!(self);
        sum.add8(!network).add8(!interface)
    }

    #[inline(always)]
    fn folded(self) -> u64 {
        let [network, interface]: [u64; 2] = transmute!(self);
        // A plain XOR of the halves would make one number of every address whose halves are alike.
        network.wrapping_mul(MIX) ^ interface
    }

    #[inline(always)]
    fn network(self) -> u64 {
        let [network, _]: [u64; 2] = transmute!(self);
        network
    }

    #[inline(always)]
    fn keyed(self, secret: u64) -> u64 {
        let [network, interface]: [u64; 2] = transmute!(self);
        let mut hash = (network ^ secret).wrapping_mul(MIX);
        hash ^= hash >> 32;
        hash = hash.wrapping_add(interface).wrapping_mul(MIX);
        hash ^ hash >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_address_is_of_one_family() {
        let mapped = [192, 0, 2, 1].mapped();
        assert_eq!(
            (IpAddr::from(mapped), mapped),
            (IpAddr::from([192, 0, 2, 1]), MappedAddress::v4([192, 0, 2, 1]))
        );
        assert_eq!(
            (<[u8; 4]>::from_mapped(mapped), <[u8; 16]>::from_mapped(mapped)),
            (Some([192, 0, 2, 1]), None)
        );
        let six = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let mapped = six.octets().mapped();
        assert_eq!((IpAddr::from(mapped), mapped), (six.into(), MappedAddress::from(IpAddr::from(six))));
        assert_eq!(
            (<[u8; 4]>::from_mapped(mapped), <[u8; 16]>::from_mapped(mapped)),
            (None, Some(six.octets()))
        );
    }
}
