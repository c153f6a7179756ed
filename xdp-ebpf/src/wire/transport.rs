//! TCP and UDP.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

/// Bytes of a TCP header without options.
pub const TCP_LEN: usize = 20;
/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;
/// The most bytes of options a TCP header can hold.
pub const MAX_OPTIONS: usize = 40;
/// TCP option kind 0: behind it comes none (RFC 9293, 3.2).
pub const OPTION_END: u8 = 0;
/// TCP option kind 1: one byte that says nothing.
pub const OPTION_NOP: u8 = 1;

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
