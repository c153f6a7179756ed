//! IP, of both versions.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

use crate::{address::Address, checksum::Sum, packet::Header};

/// Time to live of what we send ourselves: the default that IANA recommends, and most hosts' own.
pub const DEFAULT_TTL: u8 = 64;

/// IPv4 without options (RFC 791).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    /// Version (high 4 bits) and header length in words.
    pub version_ihl: u8,
    /// Type of service.
    pub tos: u8,
    /// Bytes of header and payload.
    pub total_len: U16,
    /// Identification.
    pub id: U16,
    /// Flags (reserved, DF, MF) and fragment offset.
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Header checksum, as bytes.
    pub checksum: [u8; 2],
    /// Source.
    pub src: [u8; 4],
    /// Destination.
    pub dst: [u8; 4],
}

/// IPv6 (RFC 8200).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6 {
    /// Version (high 4 bits), traffic class and flow label.
    pub version_class_flow: U32,
    /// Bytes behind this header.
    pub payload_len: U16,
    /// What follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source.
    pub src: [u8; 16],
    /// Destination.
    pub dst: [u8; 16],
}

/// What the stages ask of an IP header of either family, without options and extensions.
pub trait IpHeader: Header + Copy {
    /// An address of the family.
    type Address: Address;

    /// Source.
    fn src(&self) -> Self::Address;
    /// Destination.
    fn dst(&self) -> Self::Address;
    /// Protocol of the payload; in IPv6 perhaps an extension header's.
    fn protocol(&self) -> u8;
    /// Time to live, or hop limit.
    fn ttl(&self) -> u8;
    /// Bytes from this header on.
    fn total_len(&self) -> u32;
    /// Type of service, or traffic class.
    fn tos(&self) -> u8;
    /// Whether version and header length are those of a header without options.
    fn is_normalised(&self) -> bool;

    /// Writes the addresses and takes one from the TTL; `delta` is what both do to IPv4's checksum.
    fn turn(&mut self, src: Self::Address, dst: Self::Address, delta: u16);
    /// Swaps the addresses and sets the TTL.
    fn turn_round(&mut self, ttl: u8);
    /// Adds to the length what the payload has grown by, and returns what that does to a pseudo-header's sum.
    fn lengthen(&mut self, by: u16) -> Sum;
    /// Writes the addresses, and returns what that adds to a sum over this header; `sum` is what it adds to a
    /// pseudo-header's.
    fn readdress(&mut self, src: Self::Address, dst: Self::Address, sum: Sum) -> Sum;
    /// Whether this is a fragment: MF or an offset.
    fn is_fragment(&self) -> bool;
    /// Whether this is a fragment and not the first.
    fn is_later_fragment(&self) -> bool;
    /// Whether a router on the way may fragment the packet: IPv4 without DF.
    fn may_be_fragmented(&self) -> bool;
    /// Adds the header to a checksum.
    fn add_to(&self, sum: Sum) -> Sum;
    /// A new header for a payload of this many bytes.
    fn new(src: Self::Address, dst: Self::Address, protocol: u8, ttl: u8, tos: u8, payload_len: u16) -> Self;
}

impl IpHeader for Ipv4 {
    type Address = [u8; 4];

    #[inline(always)]
    fn src(&self) -> [u8; 4] {
        self.src
    }
    #[inline(always)]
    fn dst(&self) -> [u8; 4] {
        self.dst
    }
    #[inline(always)]
    fn protocol(&self) -> u8 {
        self.protocol
    }
    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.ttl
    }
    #[inline(always)]
    fn total_len(&self) -> u32 {
        self.total_len.get().into()
    }
    #[inline(always)]
    fn tos(&self) -> u8 {
        self.tos
    }
    #[inline(always)]
    fn is_normalised(&self) -> bool {
        self.version_ihl == 0x45
    }

    #[inline(always)]
    fn turn(&mut self, src: [u8; 4], dst: [u8; 4], delta: u16) {
        self.ttl = self.ttl.wrapping_sub(1);
        (self.src, self.dst) = (src, dst);
        self.checksum = Sum::from_delta(delta).update(self.checksum);
    }

    #[inline(always)]
    fn turn_round(&mut self, ttl: u8) {
        (self.src, self.dst) = (self.dst, self.src);
        self.checksum = Sum::ZERO.replace1(0, self.ttl, ttl).update(self.checksum);
        self.ttl = ttl;
    }

    #[inline(always)]
    fn lengthen(&mut self, by: u16) -> Sum {
        let old = self.total_len.get();
        let new = old.wrapping_add(by);
        let longer = Sum::ZERO.sub2(old.to_be_bytes()).add2(new.to_be_bytes());
        self.total_len.set(new);
        self.checksum = longer.update(self.checksum);
        longer
    }

    #[inline(always)]
    fn readdress(&mut self, src: [u8; 4], dst: [u8; 4], sum: Sum) -> Sum {
        let checksum = sum.update(self.checksum);
        let changed = sum.sub2(self.checksum).add2(checksum);
        (self.src, self.dst, self.checksum) = (src, dst, checksum);
        changed
    }
    #[inline(always)]
    fn is_fragment(&self) -> bool {
        self.fragment.get() & 0x3fff != 0
    }
    #[inline(always)]
    fn is_later_fragment(&self) -> bool {
        self.fragment.get() & 0x1fff != 0
    }
    #[inline(always)]
    fn may_be_fragmented(&self) -> bool {
        self.fragment.get() & 0x4000 == 0
    }

    /// Nothing: its own checksum makes its sum zero.
    #[inline(always)]
    fn add_to(&self, sum: Sum) -> Sum {
        sum
    }

    /// With DF and without an identification (RFC 6864, 4.1).
    #[inline(always)]
    fn new(src: [u8; 4], dst: [u8; 4], protocol: u8, ttl: u8, tos: u8, payload_len: u16) -> Self {
        let total_len = payload_len.wrapping_add(size_of::<Self>() as u16);
        let sum = Sum::ZERO
            .add2([0x45, tos])
            .add2(total_len.to_be_bytes())
            .add2([0x40, 0])
            .add2([ttl, protocol])
            .add4(src)
            .add4(dst);
        Self {
            version_ihl: 0x45,
            tos,
            total_len: total_len.into(),
            id: U16::ZERO,
            fragment: U16::new(0x4000),
            ttl,
            protocol,
            checksum: sum.update([0xff; 2]),
            src,
            dst,
        }
    }
}

impl IpHeader for Ipv6 {
    type Address = [u8; 16];

    #[inline(always)]
    fn src(&self) -> [u8; 16] {
        self.src
    }
    #[inline(always)]
    fn dst(&self) -> [u8; 16] {
        self.dst
    }
    #[inline(always)]
    fn protocol(&self) -> u8 {
        self.next_header
    }
    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.hop_limit
    }
    #[inline(always)]
    fn total_len(&self) -> u32 {
        u32::from(self.payload_len.get()) + size_of::<Self>() as u32
    }
    #[inline(always)]
    fn tos(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }
    #[inline(always)]
    fn is_normalised(&self) -> bool {
        self.version_class_flow.get() >> 28 == 6
    }

    #[inline(always)]
    fn turn(&mut self, src: [u8; 16], dst: [u8; 16], _delta: u16) {
        self.hop_limit = self.hop_limit.wrapping_sub(1);
        (self.src, self.dst) = (src, dst);
    }

    #[inline(always)]
    fn turn_round(&mut self, ttl: u8) {
        (self.src, self.dst) = (self.dst, self.src);
        self.hop_limit = ttl;
    }

    #[inline(always)]
    fn lengthen(&mut self, by: u16) -> Sum {
        let old = self.payload_len.get();
        let new = old.wrapping_add(by);
        self.payload_len.set(new);
        Sum::ZERO.sub2(old.to_be_bytes()).add2(new.to_be_bytes())
    }

    #[inline(always)]
    fn readdress(&mut self, src: [u8; 16], dst: [u8; 16], sum: Sum) -> Sum {
        (self.src, self.dst) = (src, dst);
        sum
    }
    /// That is an extension header's to say.
    #[inline(always)]
    fn is_fragment(&self) -> bool {
        false
    }
    #[inline(always)]
    fn is_later_fragment(&self) -> bool {
        false
    }
    #[inline(always)]
    fn may_be_fragmented(&self) -> bool {
        false
    }

    #[inline(always)]
    fn add_to(&self, sum: Sum) -> Sum {
        let sum = self.dst.add_to(self.src.add_to(sum));
        sum.add4(self.version_class_flow.get().to_be_bytes())
            .add2(self.payload_len.get().to_be_bytes())
            .add2([self.next_header, self.hop_limit])
    }

    #[inline(always)]
    fn new(src: [u8; 16], dst: [u8; 16], protocol: u8, ttl: u8, tos: u8, payload_len: u16) -> Self {
        Self {
            version_class_flow: (6 << 28 | u32::from(tos) << 20).into(),
            payload_len: payload_len.into(),
            next_header: protocol,
            hop_limit: ttl,
            src,
            dst,
        }
    }
}
