//! What the BPF maps hold: the contract between the XDP program and userspace, and what `bpftool map dump` shows.
//!
//! Rules for every record here: `repr(C)`, no padding (zerocopy's `IntoBytes` refuses it), no `bool`, `Option` or
//! enum (decode after lookup), addresses as four bytes in network order, ports and everything else in host order.
//! A change of any layout or meaning bumps [`ABI_VERSION`], which is part of the pin path.
//!
//! Concurrent records ([`Half`], [`Plane`], …) are reached through [`crate::shared::Shared`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::shared::shared_fields;

/// The version of every layout in this file; maps are pinned under `…/v<ABI_VERSION>/`.
pub const ABI_VERSION: u32 = 1;

/// Names of the maps; at most 15 characters, because the kernel cuts longer ones silently.
pub mod map {
    /// [`super::Config`], one record (array, mmapable).
    pub const CONFIG: &str = "ek_config";
    /// [`super::AddressBucket`]s: is this destination a VIP or a local address (array, mmapable)?
    pub const ADDRESS: &str = "ek_address";
    /// [`super::Service`] → listener index (hash).
    pub const SERVICE: &str = "ek_service";
    /// [`super::Listener`]s by index (array).
    pub const LISTENER: &str = "ek_listener";
    /// [`super::Pool`]s by index (array, mmapable).
    pub const POOL: &str = "ek_pool";
    /// One `u64` per pool: how many picks it has made (array).
    pub const CURSOR: &str = "ek_cursor";
    /// [`super::slot_of`]s, in one block per pool; what they mean is [`super::Pool::block`]'s to say (array of `u32`,
    /// mmapable).
    pub const SLOT: &str = "ek_slot";
    /// [`super::Backend`]s by index (array, mmapable).
    pub const BACKEND: &str = "ek_backend";
    /// Connections that each backend has now, by backend index: sessions that are not over (array of `u32`, mmapable).
    pub const LOAD: &str = "ek_load";
    /// `ACCESS_…` by [`super::AccessKey`]: whom a listener lets in (longest-prefix trie).
    pub const ACCESS: &str = "ek_access";
    /// [`super::Sticky`] by [`super::StickyKey`]: who stays with whom (LRU hash).
    pub const STICKY: &str = "ek_sticky";
    /// [`super::BackendStat`]s by backend index (per-CPU array).
    pub const BACKEND_STAT: &str = "ek_backend_stat";
    /// [`super::Half`]s, client → backend, in two-choice buckets by the hash of the client's 5-tuple (array, mmapable).
    pub const FORWARD: &str = "ek_forward";
    /// [`super::Half`]s, backend → client, addressed directly by local address, plane and port (array, mmapable).
    pub const REVERSE: &str = "ek_reverse";
    /// [`super::Plane`]s: one FIFO of free local ports each (array, mmapable).
    pub const PLANE: &str = "ek_plane";
    /// The rings of the planes: `u16` ports, `ring_mask + 1` per plane (array, mmapable).
    pub const PORT: &str = "ek_port";
    /// [`super::Interface`]s by slot (array).
    pub const INTERFACE: &str = "ek_interface";
    /// The redirect map, by the same slot (devmap).
    pub const DEVICE: &str = "ek_device";
    /// [`super::Counters`] (per-CPU array, one record).
    pub const COUNTER: &str = "ek_counter";

    /// Every map; all are pinned.
    pub const ALL: [&str; 19] = [
        ACCESS,
        CONFIG,
        ADDRESS,
        SERVICE,
        LISTENER,
        POOL,
        CURSOR,
        SLOT,
        LOAD,
        STICKY,
        BACKEND,
        BACKEND_STAT,
        FORWARD,
        REVERSE,
        PLANE,
        PORT,
        INTERFACE,
        DEVICE,
        COUNTER,
    ];
}

/// Capacity of `ek_address` in buckets of four; a power of two.
pub const ADDRESS_BUCKETS: u32 = 8192;
/// Capacity of `ek_service` and `ek_listener`.
pub const MAX_LISTENERS: u32 = 16_384;
/// Capacity of `ek_pool` and `ek_cursor`.
pub const MAX_POOLS: u32 = 16_384;
/// Capacity of `ek_backend`; an index fits the `u16` in [`Half`].
pub const MAX_BACKENDS: u32 = 65_535;
/// Capacity of `ek_slot`.
pub const MAX_SLOTS: u32 = 1 << 21;
/// The longest smooth-WRR sequence of one pool: the sum of its weights over their greatest common divisor.
pub const MAX_POOL_SLOTS: u32 = 65_536;
/// The most members that least connections compares.
pub const MAX_LEAST_MEMBERS: u32 = 256;
/// Capacity of `ek_access`: prefixes of all listeners, each once for every VIP of its load balancer.
pub const MAX_ACCESS: u32 = 1 << 20;
/// Capacity of `ek_sticky`; the oldest entry goes first.
pub const MAX_STICKY: u32 = 262_144;
/// Capacity of `ek_interface` and `ek_device`.
pub const MAX_INTERFACES: u32 = 16;
/// Halves in one bucket of `ek_forward`. A tuple hashes to two buckets.
pub const BUCKET: u32 = 4;
/// The most planes per local address.
pub const MAX_PLANES: u32 = 16;
/// Bytes of a name in a record, padded with zeros; a longer name is refused by the configuration.
pub const NAME_LEN: usize = 64;

/// [`Half::state`]: nobody's.
pub const FREE: u32 = 0;
/// [`Half::state`]: being written by one CPU; readers pass over it.
pub const CLAIMED: u32 = 1;
/// [`Half::state`]: in use.
pub const LIVE: u32 = 2;
/// [`Half::state`]: closed; readers pass over it; the sweeper frees it.
pub const DYING: u32 = 3;

/// [`Half::flags`]: client segments get a TOA option and lose forged ones (forward half), or the backend's
/// acknowledgements are watched for the end of that (reverse half).
pub const FLAG_TOA: u8 = 1;
/// [`Half::flags`]: a reset was seen and no other segment in this direction since.
pub const FLAG_RESET: u8 = 2;

/// [`AddressEntry::kind`]: nothing here.
pub const ADDRESS_NONE: u32 = 0;
/// [`AddressEntry::kind`]: a VIP.
pub const ADDRESS_VIP: u32 = 1;
/// [`AddressEntry::kind`]: a local address (LIP); `index` is its number.
pub const ADDRESS_LOCAL: u32 = 2;

/// [`Listener::state`], [`Pool::state`], [`Backend::state`]: the index is nobody's.
pub const ENTRY_FREE: u8 = 0;
/// The entry is configured.
pub const ENTRY_ACTIVE: u8 = 1;
/// The entry was removed from the configuration and waits for its last session to end.
pub const ENTRY_REMOVED: u8 = 2;

/// [`Pool::block`]: the slots are a sequence to walk by a cursor.
pub const ALGORITHM_ROUND_ROBIN: u8 = 0;
/// The slots are a Maglev table, indexed by [`source_slot`].
pub const ALGORITHM_SOURCE_HASH: u8 = 1;
/// The slots are the members that may be picked, each once, with its weight.
pub const ALGORITHM_LEAST_CONNECTIONS: u8 = 2;

/// [`Listener::access`]: everybody gets in, and there is no list.
pub const ACCESS_OPEN: u32 = 0;
/// Whoever is on no prefix of the list gets in; also the value of a prefix that lets in.
pub const ACCESS_ALLOW: u32 = 1;
/// Whoever is on no prefix of the list stays out; also the value of a prefix that keeps out.
pub const ACCESS_DENY: u32 = 2;

/// [`Backend::health`]: nobody checks it, so it counts as healthy.
pub const HEALTH_UNCHECKED: u8 = 0;
/// Its last checks were good.
pub const HEALTH_UP: u8 = 1;
/// It failed its checks, or has not passed its first.
pub const HEALTH_DOWN: u8 = 2;

/// `IPPROTO_TCP`.
pub const PROTOCOL_TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const PROTOCOL_UDP: u8 = 17;

/// One direction of a session: all that this direction matches and rewrites, in one cache line.
///
/// The forward half's `src`/`dst` are client and VIP and its `new_*` are local address and backend; the reverse
/// half's are backend and local address, and VIP and client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Half {
    /// [`FREE`], [`CLAIMED`], [`LIVE`] or [`DYING`]; moves only by compare-and-swap.
    pub state: u32,
    /// Source address to match.
    pub src: [u8; 4],
    /// Destination address to match.
    pub dst: [u8; 4],
    /// Source port to match.
    pub sport: u16,
    /// Destination port to match.
    pub dport: u16,
    /// Source address to write.
    pub new_src: [u8; 4],
    /// Destination address to write.
    pub new_dst: [u8; 4],
    /// Source port to write.
    pub new_sport: u16,
    /// Destination port to write.
    pub new_dport: u16,
    /// What the new addresses and the TTL's decrement add to the complement of the IPv4 checksum, as bytes lie in
    /// the packet (RFC 1624).
    pub ip_delta: u16,
    /// The same for the TCP or UDP checksum: addresses (pseudo-header) and ports.
    pub l4_delta: u16,
    /// Destination MAC to write.
    pub next_hop: [u8; 6],
    /// Slot in `ek_interface` through which the packet leaves.
    pub interface: u8,
    /// [`FLAG_TOA`], [`FLAG_RESET`].
    pub flags: u8,
    /// Index of the other half in its table.
    pub peer: u32,
    /// Low 32 bits of `jiffies_64` at the last packet.
    pub last_seen: u32,
    /// Acknowledgement number of the last packet in this direction: the sequence number that its sender expects
    /// next, and so that of a reset sent to it. In the reverse half it starts as the client's first sequence
    /// number + 1.
    pub ack: u32,
    /// Low 16 bits of [`Config::generation`] when the next hop was resolved.
    pub generation: u16,
    /// Index in `ek_backend`.
    pub backend: u16,
    /// Index in `ek_listener`.
    pub listener: u16,
    /// [`crate::tcp_state::State`] as a number; the same in both halves. A UDP session is `None` until the backend
    /// has answered and `Established` from then on.
    pub tcp: u8,
    /// IP protocol.
    pub protocol: u8,
    /// Packets in this direction; wraps.
    pub packets: u32,
}

shared_fields! { Half {
    state: u32, src: [u8; 4], dst: [u8; 4], sport: u16, dport: u16, new_src: [u8; 4], new_dst: [u8; 4],
    new_sport: u16, new_dport: u16, ip_delta: u16, l4_delta: u16, next_hop: [u8; 6], interface: u8, flags: u8,
    peer: u32, last_seen: u32, ack: u32, generation: u16, backend: u16, listener: u16, tcp: u8, protocol: u8,
    packets: u32,
} }

/// A FIFO of free local ports: the XDP program takes at `head`, the sweeper gives back at `tail`.
///
/// Both count up and wrap; `tail - head` ports are free. Entry `n` is at `n & ring_mask` of the plane's ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Plane {
    /// Ports taken so far; moves by compare-and-swap in the XDP program.
    pub head: u32,
    /// The local address whose ports these are, network order; written by userspace once.
    pub address: [u8; 4],
    /// Keeps `head` and `tail`, written by different CPUs, apart.
    pub reserved_head: [u32; 14],
    /// Ports given back so far, the first filling included; written by userspace only.
    pub tail: u32,
    /// See `reserved_head`.
    pub reserved_tail: [u32; 15],
}

shared_fields! { Plane { head: u32, address: [u8; 4], tail: u32, } }

/// What every packet needs to know; written by userspace, read by the XDP program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Config {
    /// Seed of the flow hash, random per start of the tables.
    pub seed: u64,
    /// Bumped on a change of routes or neighbours: halves with another number look for their next hop again.
    pub generation: u32,
    /// Buckets in `ek_forward`, less one.
    pub forward_mask: u32,
    /// How many local addresses there are.
    pub local_addresses: u32,
    /// Planes per local address, less one; planes are a power of two.
    pub plane_mask: u32,
    /// First local port.
    pub port_base: u32,
    /// How many local ports there are per plane.
    pub port_count: u32,
    /// Entries of a port ring, less one.
    pub ring_mask: u32,
    /// Jiffies per second.
    pub jiffies_hz: u32,
    /// Zero.
    pub reserved: [u32; 6],
}

shared_fields! { Config { generation: u32, jiffies_hz: u32, } }

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

/// The plane of a backend: its connections take their local ports there. `plane_mask` as in [`Config`].
#[inline(always)]
pub fn plane_of(address: [u8; 4], port: u16, plane_mask: u32) -> u32 {
    let mixed = u32::from_ne_bytes(address) ^ (u32::from(port) << 16 | u32::from(port));
    (mixed.wrapping_mul(0x9E37_79B1) >> 16) & plane_mask
}

impl Config {
    /// The index in `ek_plane` of plane `plane` of local address `local`.
    #[inline(always)]
    pub fn plane_index(&self, local: u32, plane: u32) -> u32 {
        local * (self.plane_mask + 1) + plane
    }

    /// The index in `ek_reverse` of `port` in the plane with this index, if it is one of the local ports.
    #[inline(always)]
    pub fn reverse_index(&self, plane_index: u32, port: u16) -> Option<u32> {
        let offset = u32::from(port).wrapping_sub(self.port_base);
        (offset < self.port_count).then(|| plane_index * self.port_count + offset)
    }
}

/// The key of `ek_service`: what a listener listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Service {
    /// VIP, network order.
    pub vip: [u8; 4],
    /// Port.
    pub port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
}

/// The data of a key of `ek_access`. Its first 32 bits are the list's number, so the length of every prefix there is
/// 32 + that of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AccessKey {
    /// [`Listener::access_list`], as bytes.
    pub list: [u8; 4],
    /// The network's or the client's address, network order.
    pub address: [u8; 4],
}

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Listener {
    /// Index in `ek_pool`.
    pub pool: u32,
    /// Seconds after which an idle established session ends.
    pub idle_timeout: u32,
    /// `ACCESS_…`: for whom is on no prefix of the access list.
    pub access: u32,
    /// The number of the access list. A changed list gets a new number, so that no packet sees half of it.
    pub access_list: u32,
    /// Key under which it stands in `ek_service`.
    pub service: Service,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// Zero.
    pub reserved: [u8; 7],
    /// The listener's name.
    pub name: [u8; NAME_LEN],
    /// Its load balancer's name.
    pub load_balancer: [u8; NAME_LEN],
}

/// A pool: where its block of slots lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Pool {
    /// Low 32 bits: first index in `ek_slot`; next 24 bits: how many; high 8 bits: `ALGORITHM_…`, which says what the
    /// slots mean. One word, so that a switch to a new block is one store. A count of 0 means that no member can take
    /// connections.
    pub block: u64,
    /// Seconds for which a client stays with its member after its last new connection; 0: it does not.
    pub sticky: u32,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// Zero.
    pub reserved: [u8; 3],
    /// The pool's name.
    pub name: [u8; NAME_LEN],
}

impl Pool {
    /// The word for a block of `count` slots from `base` on that `algorithm` reads.
    pub const fn block_of(base: u32, count: u32, algorithm: u8) -> u64 {
        base as u64 | ((count & 0xff_ffff) as u64) << 32 | (algorithm as u64) << 56
    }

    /// First slot, number of slots and algorithm of such a word.
    #[inline(always)]
    pub const fn parts_of(block: u64) -> (u32, u32, u8) {
        (block as u32, (block >> 32) as u32 & 0xff_ffff, (block >> 56) as u8)
    }
}

/// A slot for a backend: its index in the low 16 bits, its weight in the high 16.
pub const fn slot_of(backend: u16, weight: u16) -> u32 {
    backend as u32 | (weight as u32) << 16
}

/// Backend index and weight of a slot.
#[inline(always)]
pub const fn slot_parts(slot: u32) -> (u32, u32) {
    (slot & 0xffff, slot >> 16)
}

/// The slot of a Maglev table of `count` entries (not 0) for a client's address. The same on every host and after
/// every restart, so without a seed.
#[inline(always)]
pub fn source_slot(source: [u8; 4], count: u32) -> u32 {
    let mut hash = u32::from_be_bytes(source);
    hash = (hash ^ hash >> 16).wrapping_mul(0x85EB_CA6B);
    hash = (hash ^ hash >> 13).wrapping_mul(0xC2B2_AE35);
    (hash ^ hash >> 16) % count
}

/// The key of `ek_sticky`.
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
)]
#[repr(C)]
pub struct StickyKey {
    /// Index in `ek_pool`.
    pub pool: u32,
    /// The client's address, network order.
    pub source: [u8; 4],
}

/// With whom a client stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sticky {
    /// Index in `ek_backend`.
    pub backend: u32,
    /// Low 32 bits of `jiffies_64` at its last new connection.
    pub last_opened: u32,
}

shared_fields! { Pool { block: u64, sticky: u32, state: u8, } }

/// A backend: one member of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Backend {
    /// Network order.
    pub address: [u8; 4],
    /// Port.
    pub port: u16,
    /// 0–256; 0 takes no new connections.
    pub weight: u16,
    /// Index in `ek_pool`.
    pub pool: u32,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// What the health checker thinks of it: [`HEALTH_UNCHECKED`], [`HEALTH_UP`] or [`HEALTH_DOWN`]. The XDP program
    /// looks only for a client that sticks to this member: one that is down is in no slot.
    pub health: u8,
    /// The number of the checker's last failure, also of one that it has recovered from; 0 for none.
    pub reason: u8,
    /// More about the reason: the last two digits of a wrong HTTP code.
    pub detail: u8,
}

shared_fields! { Backend { weight: u16, state: u8, health: u8, reason: u8, detail: u8, } }

/// What one CPU forwarded for one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct BackendStat {
    /// Sessions opened.
    pub sessions: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes of those, from the IP header on, as they came in.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
}

/// An interface that XDP is attached to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Interface index; 0 in unused slots.
    pub index: u32,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Its MAC.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}

pub use crate::verdict::Counters;

/// A name as the records hold it. `None` if it is longer than [`NAME_LEN`].
pub fn name_bytes(name: &str) -> Option<[u8; NAME_LEN]> {
    let mut bytes = [0; NAME_LEN];
    bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    Some(bytes)
}

/// The name in a record, without its padding; empty if it is not UTF-8.
pub fn name_str(bytes: &[u8; NAME_LEN]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(NAME_LEN);
    bytes.get(..end).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
}

#[cfg(feature = "user")]
mod pod {
    //! Lets aya copy the records to and from maps.
    #![allow(
        unsafe_code,
        reason = "aya::Pod is an unsafe trait; the macro demands zerocopy's proof for each impl"
    )]
    use super::*;

    macro_rules! pod {
        ($($record:ty),+ $(,)?) => {$(
            const _: () = { const fn plain<T: FromBytes + IntoBytes + Immutable + Copy + 'static>() {} plain::<$record>() };
            // SAFETY: zerocopy proves that every bit pattern is valid and that no byte is padding.
            unsafe impl aya::Pod for $record {}
        )+};
    }
    pod!(
        Half,
        Plane,
        AccessKey,
        StickyKey,
        Sticky,
        Config,
        AddressEntry,
        AddressBucket,
        Service,
        Listener,
        Pool,
        Backend,
        BackendStat,
        Interface,
        Counters
    );
}

const _: () = {
    assert!(size_of::<Half>() == 64);
    assert!(size_of::<AddressBucket>() == 64);
    assert!(size_of::<Config>() == 64);
    assert!(size_of::<Plane>() == 128);
    assert!(ADDRESS_BUCKETS.is_power_of_two() && MAX_PLANES.is_power_of_two() && BUCKET.is_power_of_two());
};
