//! Headers as they lie in the packet.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Bytes of a TCP header without options.
pub const TCP_LEN: usize = 20;
/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;
/// Where the TCP or UDP header is in a frame without VLAN tag and IPv4 options.
pub const L4_OFFSET: usize = ETHERNET_LEN + IPV4_LEN;
/// Where the TCP options are in such a frame.
pub const OPTIONS_OFFSET: usize = L4_OFFSET + TCP_LEN;
/// The most bytes of options a TCP header can hold.
pub const MAX_OPTIONS: usize = 40;

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

impl Ipv4 {
    /// Whether this is a fragment: MF or an offset.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        self.fragment.get() & 0x3fff != 0
    }
}

/// TCP without options (RFC 9293).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// Source port.
    pub sport: U16,
    /// Destination port.
    pub dport: U16,
    /// Sequence number.
    pub seq: U32,
    /// Acknowledgement number.
    pub ack: U32,
    /// Header length in words in the high 4 bits.
    pub data_offset: u8,
    /// [`Flags`].
    pub flags: Flags,
    /// Window.
    pub window: U16,
    /// Checksum, as bytes.
    pub checksum: [u8; 2],
    /// Urgent pointer.
    pub urgent: U16,
}

impl Tcp {
    /// Bytes of the header with its options; below 20 in a malformed one.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.data_offset >> 4) * 4
    }
}

/// UDP (RFC 768).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Udp {
    /// Source port.
    pub sport: U16,
    /// Destination port.
    pub dport: U16,
    /// Bytes of header and data.
    pub len: U16,
    /// Checksum, as bytes; zero if the sender made none.
    pub checksum: [u8; 2],
}

/// TCP's flags.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Flags(pub u8);

impl Flags {
    /// The sender is done.
    pub const FIN: Flags = Flags(0x01);
    /// Opens a connection.
    pub const SYN: Flags = Flags(0x02);
    /// Tears it down.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Flags = Flags(0x10);

    /// Whether any of `these` is set.
    #[inline(always)]
    pub const fn any(self, these: Flags) -> bool {
        self.0 & these.0 != 0
    }

    /// These and those.
    #[inline(always)]
    pub const fn and(self, those: Flags) -> Flags {
        Flags(self.0 | those.0)
    }

    /// A SYN that asks for a new connection: no ACK, RST or FIN.
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Flags::SYN.0 | Flags::ACK.0 | Flags::RST.0 | Flags::FIN.0) == Flags::SYN.0
    }
}

/// The headers of a UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct UdpFrame {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IPv4.
    pub ip: Ipv4,
    /// UDP.
    pub udp: Udp,
}

/// The 54 bytes in front of the TCP options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Frame {
    /// Ethernet.
    pub ethernet: Ethernet,
    /// IPv4.
    pub ip: Ipv4,
    /// TCP.
    pub tcp: Tcp,
}
