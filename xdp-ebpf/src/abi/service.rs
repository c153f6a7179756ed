//! What a new session is opened by: listeners with their access lists, pools with their slots, backends.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{
    capacity::SERVICE_HINTS,
    index::{BackendIndex, BackendIndex16, PoolIndex, SlotIndex},
    name::NAME_LEN,
};
use crate::{
    address::{MIX, MappedAddress},
    shared::shared_fields,
};

/// `IPPROTO_TCP`.
pub const PROTOCOL_TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub const PROTOCOL_UDP: u8 = 17;

/// [`Listener::state`], [`Pool::state`], [`Backend::state`]: the index is nobody's.
pub const ENTRY_FREE: u8 = 0;
/// The entry is configured.
pub const ENTRY_ACTIVE: u8 = 1;
/// The entry was removed from the configuration and waits for its last session to end.
pub const ENTRY_REMOVED: u8 = 2;

/// [`Listener::kind`]: the XDP program forwards its packets.
pub const LISTENER_FORWARD: u8 = 0;
/// Its packets, if the client may in, go up to Layer 7; its pool means nothing here.
pub const LISTENER_LAYER7: u8 = 1;

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

/// [`Listener::when_down`]: a client whose connection no member takes hears nothing.
pub const WHEN_DOWN_DROP: u8 = 0;
/// It gets a TCP reset.
pub const WHEN_DOWN_RESET: u8 = 1;

/// [`Pool::on_down`]: the TCP sessions of a member that goes down stay.
pub const ON_DOWN_KEEP: u8 = 0;
/// Both ends get a reset.
pub const ON_DOWN_RESET: u8 = 1;

/// [`Backend::health`]: nobody checks it, so it counts as healthy.
pub const HEALTH_UNCHECKED: u8 = 0;
/// Its last checks were good.
pub const HEALTH_UP: u8 = 1;
/// It failed its checks, or has not passed its first.
pub const HEALTH_DOWN: u8 = 2;

/// The key of `ek_service`: what a listener listens on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Service {
    /// VIP.
    pub vip: MappedAddress,
    /// Port.
    pub port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Zero.
    pub reserved: u8,
    /// Zero.
    pub reserved_word: u32,
}

impl Service {
    /// The key for a VIP, a port and an IP protocol.
    #[inline(always)]
    pub const fn new(vip: MappedAddress, port: u16, protocol: u8) -> Self {
        Self { vip, port, protocol, reserved: 0, reserved_word: 0 }
    }

    /// Where `ek_service_hint` may know its listener.
    #[inline(always)]
    pub fn hint_index(&self) -> u32 {
        let ports = u64::from(self.port) << 8 | u64::from(self.protocol);
        let mixed = (self.vip.folded() ^ ports.wrapping_mul(MIX)).wrapping_mul(MIX);
        (mixed >> (u64::BITS - SERVICE_HINTS.trailing_zeros())) as u32
    }
}

/// The data of a key of `ek_access`. Its first 32 bits are the list's number, so the length of every prefix there is
/// 32 + that of the network, and for an IPv4 network 96 more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct AccessKey {
    /// [`Listener::access_list`], as bytes.
    pub list: [u8; 4],
    /// The network's or the client's address.
    pub address: MappedAddress,
}

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(8))]
pub struct Listener {
    /// Its pool; of a Layer-7 listener, it may be none's.
    pub pool: PoolIndex,
    /// Seconds after which an idle established session ends.
    pub idle_timeout: u32,
    /// `ACCESS_…`: for clients on no prefix of the access list.
    pub access: u32,
    /// The number of the access list. A changed list gets a new number, so that no packet sees half of it.
    pub access_list: u32,
    /// Key under which it stands in `ek_service`.
    pub service: Service,
    /// Index in `ek_bandwidth`, which all listeners of its load balancer share, or [`super::NO_BANDWIDTH`].
    pub bandwidth: u32,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// [`LISTENER_FORWARD`] or [`LISTENER_LAYER7`].
    pub kind: u8,
    /// [`WHEN_DOWN_DROP`] or [`WHEN_DOWN_RESET`].
    pub when_down: u8,
    /// Zero.
    pub reserved: [u8; 1],
    /// The listener's id: a UUID, most significant byte first.
    pub id: [u8; 16],
    /// Its load balancer's id.
    pub load_balancer_id: [u8; 16],
    /// The listener's name, for people: its first [`NAME_LEN`] bytes.
    pub name: [u8; NAME_LEN],
    /// Its load balancer's name, the same.
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
    /// Seconds for which sessions may stay with a member that takes no more; 0: until they end.
    pub drain_timeout: u32,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// [`ON_DOWN_KEEP`] or [`ON_DOWN_RESET`].
    pub on_down: u8,
    /// Zero.
    pub reserved: [u8; 6],
    /// The pool's id: a UUID, most significant byte first.
    pub id: [u8; 16],
    /// The pool's name, for people: its first [`NAME_LEN`] bytes.
    pub name: [u8; NAME_LEN],
}

impl Pool {
    /// The word for a block of `count` slots from `base` on that `algorithm` reads.
    pub const fn block_of(base: SlotIndex, count: u32, algorithm: u8) -> u64 {
        base.index as u64 | ((count & 0xff_ffff) as u64) << 32 | (algorithm as u64) << 56
    }

    /// First slot, number of slots and algorithm of such a word.
    #[inline(always)]
    pub const fn parts_of(block: u64) -> (SlotIndex, u32, u8) {
        (SlotIndex::new(block as u32), (block >> 32) as u32 & 0xff_ffff, (block >> 56) as u8)
    }
}

/// A slot of `ek_slot`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct Slot {
    /// Whose it is.
    pub backend: BackendIndex16,
    /// Its weight.
    pub weight: u16,
}

/// The slot of a Maglev table of `count` entries (not 0) for a client's address. The same on every host and after
/// every restart, so without a seed.
#[inline(always)]
pub fn source_slot(source: MappedAddress, count: u32) -> u32 {
    let folded = source.folded();
    let mut hash = u32::from_be((folded ^ folded >> 32) as u32);
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
#[repr(C, align(8))]
pub struct StickyKey {
    /// The pool.
    pub pool: PoolIndex,
    /// Zero.
    pub reserved: u32,
    /// The client's address.
    pub source: MappedAddress,
}

/// The member that a client stays with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Sticky {
    /// Its member.
    pub backend: BackendIndex,
    /// Low 32 bits of `jiffies_64` at its last new connection.
    pub last_opened: u32,
}

shared_fields! { Pool { block: u64, sticky: u32, drain_timeout: u32, state: u8, on_down: u8, name: [u8; NAME_LEN], } }

/// A backend: one member of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Backend {
    /// Its address.
    pub address: MappedAddress,
    /// Port.
    pub port: u16,
    /// 0–256; 0 takes no new connections.
    pub weight: u16,
    /// Its pool.
    pub pool: PoolIndex,
    /// [`ENTRY_FREE`], [`ENTRY_ACTIVE`] or [`ENTRY_REMOVED`].
    pub state: u8,
    /// What the health checker thinks of it: [`HEALTH_UNCHECKED`], [`HEALTH_UP`] or [`HEALTH_DOWN`]. The XDP program
    /// looks only for a client that sticks to this member; for all others the slots say who takes connections.
    pub health: u8,
    /// The number of the checker's last failure, also of one that it has recovered from; 0 for none.
    pub reason: u8,
    /// More about the reason: the last two digits of a wrong HTTP code.
    pub detail: u8,
    /// Low 32 bits of `jiffies_64` when it was seen first to take no more connections, because it was removed or has
    /// no weight; 0: it takes some.
    pub drained_since: u32,
    /// Seconds since the host's start, suspended time included (`CLOCK_BOOTTIME`), at which its health changed last or a
    /// check failed otherwise than the one before; 0 if neither has happened.
    pub health_since: u32,
}

shared_fields! { Backend {
    weight: u16, pool: PoolIndex, state: u8, health: u8, reason: u8, detail: u8, drained_since: u32,
    health_since: u32,
} }

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
