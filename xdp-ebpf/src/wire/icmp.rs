//! ICMP, of both versions.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an ICMP header.
pub const ICMP_LEN: usize = size_of::<Icmp>();

/// The header (RFC 792, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Checksum, as bytes.
    pub checksum: [u8; 2],
    /// Of ICMPv6's "too big" and parameter problem the high half of [`Icmp::word`], of pings their identifier; unused in all
    /// else that is handled here.
    pub high: [u8; 2],
    /// Of "too big" an MTU, of a parameter problem a pointer.
    pub word: [u8; 2],
}

impl Icmp {
    /// The MTU that "too big" of this IP version tells of; [`u16::MAX`] if it is larger.
    #[inline(always)]
    pub const fn mtu(&self, version: u8) -> u16 {
        match self.high {
            [0, 0] => u16::from_be_bytes(self.word),
            _ if version == 6 => u16::MAX,
            _ => u16::from_be_bytes(self.word),
        }
    }
}

/// What an error quotes behind the IP header, as far as it must (RFC 792).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Quoted {
    /// Source port.
    pub sport: [u8; 2],
    /// Destination port.
    pub dport: [u8; 2],
    /// UDP's length, or half of TCP's sequence number.
    pub word: [u8; 2],
    /// UDP's checksum, or the other half.
    pub udp_checksum: [u8; 2],
}

impl Quoted {
    /// TCP's sequence number.
    #[inline(always)]
    pub const fn seq(&self) -> u32 {
        let ([a, b], [c, d]) = (self.word, self.udp_checksum);
        u32::from_be_bytes([a, b, c, d])
    }
}

/// What the two ICMPs call the same things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpNames {
    /// The IP protocol.
    pub protocol: u8,
    /// The types of errors about a packet that they quote: two ranges, each from the first to the last.
    errors: [[u8; 2]; 2],
    /// Type and code of "too big", which has the next hop's MTU in its last two bytes (IPv6: four).
    pub too_big: [u8; 2],
    /// The least MTU that a link may have.
    pub least_mtu: u16,
    /// Types of ping and its answer.
    pub echo_request: u8,
    /// See `echo_request`.
    pub echo_answer: u8,
}

impl IcmpNames {
    /// RFC 792 and RFC 791. Types 4 and 5 are errors too, which nobody should send or believe any more (RFC 6633,
    /// RFC 1812): they are not ours to forward.
    pub const V4: Self = Self {
        protocol: 1,
        errors: [[3, 3], [11, 12]],
        too_big: [3, 4],
        least_mtu: 68,
        echo_request: 8,
        echo_answer: 0,
    };
    /// RFC 4443 and RFC 8200.
    pub const V6: Self = Self {
        protocol: 58,
        errors: [[1, 4]; 2],
        too_big: [2, 0],
        least_mtu: 1280,
        echo_request: 128,
        echo_answer: 129,
    };

    /// Whether this type is an error about a packet that it quotes.
    #[inline(always)]
    pub const fn is_error(&self, kind: u8) -> bool {
        let [[first, last], [other_first, other_last]] = self.errors;
        (first <= kind && kind <= last) || (other_first <= kind && kind <= other_last)
    }
}
