//! Sessions: their two halves, and the local ports that they take.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    capacity::MAX_PLANES,
    index::{BackendIndex16, ListenerIndex16},
};
use crate::{
    address::{Address, MIX, MappedAddress, mixed},
    family::Family,
    shared::{Shared, shared_beginning, shared_bytes, shared_fields},
};

/// [`Common::state`]: nobody's.
pub const FREE: u8 = 0;
/// [`Common::state`]: being written by one CPU; readers pass over it.
pub const CLAIMED: u8 = 1;
/// [`Common::state`]: in use.
pub const LIVE: u8 = 2;
/// [`Common::state`]: closed; readers pass over it; the sweeper frees it.
pub const DYING: u8 = 3;
/// [`Common::state`]: closed while an end may believe that it is open: whatever comes is answered with a reset
/// ([`crate::stray`]). The sweeper tells both ends, and some seconds later the session is [`DYING`].
pub const CUT: u8 = 4;
/// [`Common::tcp`] of a forward half that was taken out of [`LIVE`]: every bit is set, and nothing moves it any more.
pub const ENDED: u8 = u8::MAX;

/// [`Common::flags`]: client segments get a TOA option and lose forged ones (forward half), or the backend's
/// acknowledgements are watched for the end of that (reverse half).
pub const FLAG_TOA: u8 = 1;
/// [`Common::flags`]: a reset was seen and no other segment in this direction since.
pub const FLAG_RESET: u8 = 2;

/// [`Common::flags`]: the other half is of the other family, and in that family's table; what to write are its
/// addresses to match, turned round.
pub const FLAG_MIXED: u8 = 4;
/// [`Common::flags`]: its load balancer has a limited bandwidth.
pub const FLAG_LIMITED: u8 = 8;
/// [`Common::flags`], with [`FLAG_TOA`]: the client was told that its segments leave no room for the option (forward half).
pub const FLAG_TOLD: u8 = 16;
/// [`Common::flags`], with [`FLAG_RESET`]: it had the very number that its receiver expected, who so believes it.
pub const FLAG_HEARD: u8 = 32;

/// One direction of a session: all that this direction matches and rewrites, in one cache line (IPv4) or two (IPv6).
///
/// The forward half's `src`/`dst` are client and VIP and its `new_*` are local address and backend; the reverse
/// half's are backend and local address, and VIP and client. The forward half is in the table of the client's family,
/// the reverse half in that of the backend's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Half<F: Family> {
    /// All but the addresses.
    pub common: Common,
    /// Source address to match.
    pub src: F::Address,
    /// Destination address to match.
    pub dst: F::Address,
    /// Source address to write; zero with [`FLAG_MIXED`].
    pub new_src: F::Address,
    /// Destination address to write; zero with [`FLAG_MIXED`].
    pub new_dst: F::Address,
    /// Zero.
    pub reserved: F::HalfPadding,
}

shared_fields! { [F: Family] Half<F> {
    src: F::Address, dst: F::Address, new_src: F::Address, new_dst: F::Address,
} }
shared_beginning! { [F: Family] Half<F> { common: Common } }

/// A half but for its addresses: the same for both families. Every byte is in the table of `docs/architecture.md`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Common {
    /// [`FREE`], [`CLAIMED`], [`LIVE`], [`CUT`] or [`DYING`]; moves only by compare-and-swap. The rest of its word stays what it
    /// is for the life of a session, so that nothing else can make that fail.
    pub state: u8,
    /// IP protocol.
    pub protocol: u8,
    /// What the new addresses and the TTL's decrement add to the complement of the IPv4 checksum, as bytes lie in
    /// the packet (RFC 1624); unused where one of both sides is IPv6.
    pub ip_delta: u16,
    /// Low 16 bits of [`super::Config::generation`] when the next hop was resolved.
    pub generation: u16,
    /// [`crate::tcp_state::State`] as a number, or [`ENDED`]. The forward half's is the session's and moves atomically
    /// ([`crate::connection`]); the reverse half has a copy, which may be late. A UDP session is `None` until the
    /// backend has answered and `Established` from then on.
    pub tcp: u8,
    /// [`FLAG_TOA`], [`FLAG_RESET`], [`FLAG_MIXED`], [`FLAG_LIMITED`], [`FLAG_TOLD`], [`FLAG_HEARD`].
    pub flags: u8,
    /// As `ip_delta`, for the TCP or UDP checksum: addresses (pseudo-header) and ports.
    pub l4_delta: u16,
    /// Destination MAC to write.
    pub next_hop: [u8; 6],
    /// Source port to match.
    pub sport: u16,
    /// Destination port to match.
    pub dport: u16,
    /// Source port to write.
    pub new_sport: u16,
    /// Destination port to write.
    pub new_dport: u16,
    /// Low 32 bits of `jiffies_64` at the last packet.
    pub last_seen: u32,
    /// Acknowledgement number of the last packet in this direction: the sequence number that its sender expects
    /// next, and so that of a reset sent to it. It starts as the first sequence number of the other end + 1. What does
    /// not fit leaves it as it is.
    pub ack: u32,
    /// Packets in this direction; wraps.
    pub packets: u32,
    /// Index of the other half in its table.
    pub peer: u32,
    /// Its member.
    pub backend: BackendIndex16,
    /// Its listener.
    pub listener: ListenerIndex16,
    /// Slot in `ek_interface` through which the packet leaves.
    pub interface: u8,
    /// Zero: with what is between here and `ack`, the room for counts of packets and bytes in 64 bits each.
    pub reserved: u8,
    /// Where the session is counted while it is half-open: the index in `ek_half_open` of its listener and its client's
    /// network ([`crate::half_open`]).
    pub prefix: u16,
}

shared_fields! { Common {
    state: u8, protocol: u8, ip_delta: u16, generation: u16, tcp: u8, flags: u8, l4_delta: u16, next_hop: [u8; 6],
    sport: u16, dport: u16, new_sport: u16, new_dport: u16, last_seen: u32, ack: u32, packets: u32, peer: u32,
    backend: BackendIndex16, listener: ListenerIndex16, interface: u8, prefix: u16,
} }
shared_bytes! { Common { state_byte: state, flags_byte: flags, tcp_byte: tcp } }

impl Shared<'_, Common> {
    /// Compare and swap of [`Common::state`]. Whether it was `old` and is `new` now.
    #[inline(always)]
    pub fn swap_state_if(&self, old: u8, new: u8) -> bool {
        self.state_byte().swap_if(old, new)
    }

    /// Writes [`Common::state`] after all earlier writes (a release store). Only for whoever has this half to itself.
    #[inline(always)]
    pub fn publish_state(&self, state: u8) {
        self.state_byte().publish(state);
    }

    /// Sets these [`Common::flags`], atomically; returns those that were set before.
    #[inline(always)]
    pub fn set_flags(&self, flags: u8) -> u8 {
        self.flags_byte().set_bits(flags)
    }

    /// Clears these [`Common::flags`], atomically.
    #[inline(always)]
    pub fn clear_flags(&self, flags: u8) {
        self.flags_byte().clear_bits(flags);
    }

    /// Compare and swap of [`Common::tcp`]. Whether it was `old` and is `new` now.
    #[inline(always)]
    pub fn swap_tcp_if(&self, old: u8, new: u8) -> bool {
        self.tcp_byte().swap_if(old, new)
    }

    /// Sets [`Common::tcp`] to [`ENDED`] and returns what it was, atomically.
    #[inline(always)]
    pub fn end_tcp(&self) -> u8 {
        self.tcp_byte().set_bits(ENDED)
    }
}

/// A FIFO of free local ports: the XDP program takes at `head`, the sweeper gives back at `tail`.
///
/// Both count up and wrap; `tail - head` ports are free. Entry `n` is at `n & ring_mask` of the plane's ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Plane {
    /// Ports taken so far; moves by compare-and-swap in the XDP program.
    pub head: u32,
    /// The local address whose ports these are; written by userspace once.
    pub address: MappedAddress,
    /// Keeps `head` and `tail`, written by different CPUs, apart.
    pub reserved_head: [u32; 11],
    /// Ports given back so far, the first filling included; written by userspace only.
    pub tail: u32,
    /// See `reserved_head`.
    pub reserved_tail: [u32; 15],
}

shared_fields! { Plane { head: u32, address: MappedAddress, tail: u32, } }

/// The plane of a backend: its connections take their local ports there. `plane_mask` as [`super::Config::plane_mask_of`].
#[inline(always)]
pub fn plane_of<A: Address>(address: A, port: u16, plane_mask: u32) -> u32 {
    let hash = mixed(address.folded() ^ u64::from(port).wrapping_mul(MIX));
    (hash >> (u64::BITS - MAX_PLANES.trailing_zeros())) as u32 & plane_mask
}
