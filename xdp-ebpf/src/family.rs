//! The address family, IPv4 or IPv6, as a type parameter of the stages.
//!
//! What differs between the two is here, in [`crate::address`] and in [`crate::wire`]: widths, offsets, names. Everything
//! else is written once. Which map a half is in is [`crate::tables::Tables`]' to know.

use core::fmt::Debug;

use crate::{
    address::Address,
    wire::{ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, IcmpNames, IpHeader, Ipv4, Ipv6, TCP_LEN},
};

/// IPv4 or IPv6.
pub trait Family: Copy + Debug + Default + PartialEq + Eq + 'static {
    /// An address.
    type Address: Address;
    /// The header without options and extensions.
    type Ip: IpHeader<Address = Self::Address>;
    /// The other one.
    type Other: Family<Other = Self>;
    /// Fills a [`crate::abi::Half`] to whole cache lines.
    type HalfPadding: Copy + Debug + Default + PartialEq + Eq + 'static;
    /// Fills an entry of `ek_address` to a part of a cache line.
    type EntryPadding: Copy + Debug + Default + PartialEq + Eq + 'static;

    /// 4 or 6.
    const VERSION: u8;
    /// EtherType.
    const ETHERTYPE: u16;
    /// What its ICMP calls things.
    const ICMP: IcmpNames;
    /// Bytes of the header without options and extensions.
    const IP_LEN: usize = size_of::<Self::Ip>();
    /// Where TCP's, UDP's or ICMP's header is in a normalised frame: no VLAN tag, options or extensions.
    const L4_OFFSET: usize = ETHERNET_LEN + Self::IP_LEN;
    /// Where TCP's options are in a normalised frame.
    const OPTIONS_OFFSET: usize = Self::L4_OFFSET + TCP_LEN;
    /// Bytes of a TOA option with an address of this family.
    const TOA_LEN: usize = 4 + size_of::<Self::Address>();

    /// Of one value for each family, this one's; the other is not made.
    fn choose<E: Each>(v4: impl FnOnce() -> E::Of<V4>, v6: impl FnOnce() -> E::Of<V6>) -> E::Of<Self>;
}

/// Something of which there is one for each family: see [`Family::choose`].
pub trait Each {
    /// That of a family.
    type Of<F: Family>;
}

/// IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V4;

/// IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V6;

impl Family for V4 {
    type Address = [u8; 4];
    type Ip = Ipv4;
    type Other = V6;
    type HalfPadding = [u8; 0];
    type EntryPadding = [u8; 4];

    const VERSION: u8 = 4;
    const ETHERTYPE: u16 = ETHERTYPE_IPV4;
    const ICMP: IcmpNames = IcmpNames::V4;

    #[inline(always)]
    fn choose<E: Each>(v4: impl FnOnce() -> E::Of<V4>, _v6: impl FnOnce() -> E::Of<V6>) -> E::Of<Self> {
        v4()
    }
}

impl Family for V6 {
    type Address = [u8; 16];
    type Ip = Ipv6;
    type Other = V4;
    type HalfPadding = [u8; 16];
    type EntryPadding = [u8; 8];

    const VERSION: u8 = 6;
    const ETHERTYPE: u16 = ETHERTYPE_IPV6;
    const ICMP: IcmpNames = IcmpNames::V6;

    #[inline(always)]
    fn choose<E: Each>(_v4: impl FnOnce() -> E::Of<V4>, v6: impl FnOnce() -> E::Of<V6>) -> E::Of<Self> {
        v6()
    }
}
