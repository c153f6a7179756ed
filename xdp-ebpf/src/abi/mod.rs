//! What the BPF maps hold: the contract between the XDP program and userspace, and what `bpftool map dump` shows.
//!
//! Rules for every record here: `repr(C)`, no padding (zerocopy's `IntoBytes` refuses it), no `bool`, `Option` or
//! enum (decode after lookup), addresses in network order, ports and everything else in host order. Addresses that
//! every packet needs are of their family's width, in one table per family; all others are 16 bytes, IPv4 as
//! `::ffff:a.b.c.d`.
//! A change of any layout or meaning bumps [`ABI_VERSION`], which is part of the pin path.
//!
//! Concurrent records ([`Half`], [`Plane`], …) are reached through [`crate::shared::Shared`].
//!
//! `session` holds what every packet of a session needs, `address` whose an address is, `service` what a new session
//! is opened by: listeners, pools, backends; `limit` how much may come, and what is counted for a listener.

mod address;
mod frame;
mod limit;
mod next_hop;
#[cfg(feature = "user")]
mod pod;
mod service;
mod session;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use self::{address::*, frame::*, limit::*, next_hop::*, service::*, session::*};
pub use crate::verdict::Counters;
use crate::{
    family::{Family, V4, V6},
    shared::shared_fields,
};

/// The version of every layout in this file; maps are pinned under `…/v<ABI_VERSION>/`.
pub const ABI_VERSION: u32 = 6;

/// Names of the maps; at most 15 characters, because the kernel cuts longer ones silently.
pub mod map {
    /// [`super::Config`], one record (array, mmapable).
    pub const CONFIG: &str = "ek_config";
    /// [`super::AddressBucket`]s of IPv4: is this destination a VIP or a local address (array, mmapable)?
    pub const ADDRESS: &str = "ek_address";
    /// The same of IPv6.
    pub const ADDRESS6: &str = "ek_address6";
    /// [`super::Service`] → listener index (hash).
    pub const SERVICE: &str = "ek_service";
    /// Listener indexes by [`super::Service::hint_index`], as `ek_service` had them; they may no longer be right (array
    /// of `u32`).
    pub const SERVICE_HINT: &str = "ek_service_hint";
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
    /// [`super::ListenerStat`]s by listener index (per-CPU array).
    pub const LISTENER_STAT: &str = "ek_listen_stat";
    /// [`super::Limit`]s by listener index (array, mmapable).
    pub const LIMIT: &str = "ek_limit";
    /// [`super::Bandwidth`]s by [`super::Listener::bandwidth`] (array, mmapable).
    pub const BANDWIDTH: &str = "ek_bandwidth";
    /// [`super::Half`]s, client → backend, in two-choice buckets by the hash of the client's 5-tuple (array, mmapable).
    pub const FORWARD: &str = "ek_forward";
    /// The same of IPv6 clients.
    pub const FORWARD6: &str = "ek_forward6";
    /// [`super::Half`]s, backend → client, addressed directly by local address, plane and port (array, mmapable).
    pub const REVERSE: &str = "ek_reverse";
    /// The same of IPv6 backends.
    pub const REVERSE6: &str = "ek_reverse6";
    /// [`super::Plane`]s: one FIFO of free local ports each, those of IPv4's local addresses first (array, mmapable).
    pub const PLANE: &str = "ek_plane";
    /// The rings of the planes: `u16` ports, `ring_mask + 1` per plane (array, mmapable).
    pub const PORT: &str = "ek_port";
    /// [`super::Fragment`] by [`super::FragmentKey`]: the ports of datagrams in pieces (LRU hash).
    pub const FRAGMENT: &str = "ek_fragment";
    /// [`super::Taken`] (per-CPU array, one record).
    pub const TAKEN: &str = "ek_taken";
    /// [`super::NextHop`]s by a hash of both ends (per-CPU array).
    pub const NEXT_HOP: &str = "ek_next_hop";
    /// [`super::Interface`]s by slot (array).
    pub const INTERFACE: &str = "ek_interface";
    /// The redirect map, by the same slot (devmap).
    pub const DEVICE: &str = "ek_device";
    /// [`super::Counters`] (per-CPU array, one record).
    pub const COUNTER: &str = "ek_counter";
    /// The listening sockets of Layer-7 listeners by [`super::Service`] (sockhash).
    pub const SOCKET: &str = "ek_socket";

    /// Every map; all are pinned.
    pub const ALL: [&str; 30] = [
        ACCESS,
        CONFIG,
        ADDRESS,
        ADDRESS6,
        SERVICE,
        SERVICE_HINT,
        LISTENER,
        POOL,
        CURSOR,
        SLOT,
        LOAD,
        STICKY,
        BACKEND,
        BACKEND_STAT,
        LISTENER_STAT,
        LIMIT,
        BANDWIDTH,
        FORWARD,
        FORWARD6,
        REVERSE,
        REVERSE6,
        PLANE,
        PORT,
        FRAGMENT,
        TAKEN,
        NEXT_HOP,
        INTERFACE,
        DEVICE,
        COUNTER,
        SOCKET,
    ];
}

/// Capacity of `ek_address` and of `ek_address6` in buckets of four; a power of two.
pub const ADDRESS_BUCKETS: u32 = 8192;
/// Capacity of `ek_service`, `ek_listener` and all that a listener may have one of.
pub const MAX_LISTENERS: u32 = 16_384;
/// Capacity of `ek_service_hint`; a power of two.
pub const SERVICE_HINTS: u32 = 16_384;
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
/// Capacity of `ek_fragment`; the oldest entry goes first.
pub const MAX_FRAGMENTS: u32 = 16_384;
/// Capacity of `ek_interface` and `ek_device`.
pub const MAX_INTERFACES: u32 = 16;
/// Halves in one bucket of `ek_forward`. A tuple hashes to two buckets.
pub const BUCKET: u32 = 4;
/// The most planes per local address.
pub const MAX_PLANES: u32 = 16;
/// Bytes of a name in a record, padded with zeros; a longer name is refused by the configuration.
pub const NAME_LEN: usize = 64;

/// `IPPROTO_TCP`.
pub const PROTOCOL_TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const PROTOCOL_UDP: u8 = 17;

/// What every packet needs to know; written by userspace, read by the XDP program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Config {
    /// Seed of the flow hash, random per start of the tables.
    pub seed: u64,
    /// Bumped on a change of routes or neighbours and on every reload: halves with another number look for their next
    /// hop again, and whether their client may stay.
    pub generation: u32,
    /// Buckets in `ek_forward`, less one.
    pub forward_mask: u32,
    /// Buckets in `ek_forward6`, less one.
    pub forward6_mask: u32,
    /// How many IPv4 local addresses there are.
    pub local_addresses: u32,
    /// How many IPv6 local addresses there are.
    pub local_addresses6: u32,
    /// Planes per IPv4 local address, less one; planes are a power of two.
    pub plane_mask: u32,
    /// The same per IPv6 local address.
    pub plane_mask6: u32,
    /// First local port.
    pub port_base: u32,
    /// How many local ports there are per plane.
    pub port_count: u32,
    /// Entries of a port ring, less one.
    pub ring_mask: u32,
    /// Jiffies per second.
    pub jiffies_hz: u32,
    /// Zero.
    pub reserved: [u32; 3],
}

shared_fields! { Config { generation: u32, jiffies_hz: u32, } }

impl Config {
    /// Buckets in the family's forward table, less one.
    #[inline(always)]
    pub const fn forward_mask_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.forward_mask } else { self.forward6_mask }
    }

    /// How many local addresses of this family there are.
    #[inline(always)]
    pub const fn local_addresses_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.local_addresses } else { self.local_addresses6 }
    }

    /// Planes per local address of this family, less one.
    #[inline(always)]
    pub const fn plane_mask_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.plane_mask } else { self.plane_mask6 }
    }

    /// The index in `ek_plane` of plane `plane` of the family's local address `local`.
    #[inline(always)]
    pub const fn plane_index<F: Family>(&self, local: u32, plane: u32) -> u32 {
        let before = if F::VERSION == 4 { 0 } else { self.local_addresses * (self.plane_mask + 1) };
        before + local * (self.plane_mask_of::<F>() + 1) + plane
    }

    /// The index in the family's reverse table of `port` in plane `plane` of local address `local`, if it is one of
    /// the local ports.
    #[inline(always)]
    pub fn reverse_index<F: Family>(&self, local: u32, plane: u32, port: u16) -> Option<u32> {
        let offset = u32::from(port).wrapping_sub(self.port_base);
        let planes = self.plane_mask_of::<F>() + 1;
        (offset < self.port_count).then(|| (local * planes + plane) * self.port_count + offset)
    }
}

/// An interface that XDP is attached to, or a VLAN's on top of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Interface {
    /// Interface index, by which routes name it; 0 in unused slots.
    pub index: u32,
    /// Index of the interface whose wire it is; its own, but for a VLAN's.
    pub device: u32,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// VLAN tags that leave with its frames, the outer one first: EtherType (high 16 bits) and TCI; 0 for none.
    pub tags: [u32; 2],
    /// Its MAC.
    pub mac: [u8; 6],
    /// Zero.
    pub reserved: [u8; 2],
}

/// A name as the records hold it: as many of its characters as [`NAME_LEN`] bytes hold.
pub fn name_bytes(name: &str) -> [u8; NAME_LEN] {
    let mut bytes = [0; NAME_LEN];
    let length = name.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|&end| end <= NAME_LEN).last();
    for (byte, from) in bytes.iter_mut().zip(name.bytes().take(length.unwrap_or(0))) {
        *byte = from;
    }
    bytes
}

/// The name in a record, without its padding; empty if it is not UTF-8.
pub fn name_str(bytes: &[u8; NAME_LEN]) -> &str {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(NAME_LEN);
    bytes.get(..end).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
}

const _: () = {
    // Their fields, added up: no padding.
    assert!(size_of::<Common>() == 48);
    assert!(size_of::<Half<V4>>() == 48 + 4 * 4);
    assert!(size_of::<Half<V6>>() == 48 + 4 * 16 + 16);
    assert!(size_of::<AddressEntry<V4>>() == 4 + 4 + 4 + 4);
    assert!(size_of::<AddressEntry<V6>>() == 16 + 4 + 4 + 8);
    assert!(size_of::<AddressBucket<V4>>() == 64);
    assert!(size_of::<AddressBucket<V6>>() == 128);
    assert!(size_of::<Config>() == 64);
    assert!(size_of::<Plane>() == 128);
    assert!(
        ADDRESS_BUCKETS.is_power_of_two() && NEXT_HOPS.is_power_of_two() && SERVICE_HINTS.is_power_of_two()
    );
    assert!(MAX_PLANES.is_power_of_two() && BUCKET.is_power_of_two());
};
