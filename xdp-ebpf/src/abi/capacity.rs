//! How much the maps hold whose size does not depend on the configuration, and what else is bounded.

/// Capacity of `ek_address` and of `ek_address6` in buckets of four; a power of two.
pub const ADDRESS_BUCKETS: u32 = 8192;
/// Capacity of `ek_service`, `ek_listener` and all that a listener may have one of.
pub const MAX_LISTENERS: u32 = 16_384;
/// Capacity of `ek_service_hint`; a power of two.
pub const SERVICE_HINTS: u32 = 16_384;
/// Capacity of `ek_pool` and `ek_cursor`.
pub const MAX_POOLS: u32 = 16_384;
/// Capacity of `ek_backend`.
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
/// Capacity of `ek_half_open`: half-open sessions are counted in so many places.
pub const HALF_OPEN_PLACES: u32 = 1 << 16;
/// Capacity of `ek_fragment`; the oldest entry goes first.
pub const MAX_FRAGMENTS: u32 = 16_384;
/// Capacity of `ek_interface` and `ek_device`.
pub const MAX_INTERFACES: u32 = 16;
/// MACs of virtual routers beside those of the interfaces.
pub const MAX_VIRTUAL_MACS: usize = 8;
/// Halves in one bucket of `ek_forward`. A tuple hashes to two buckets.
pub const BUCKET: u32 = 4;
/// The most planes per local address.
pub const MAX_PLANES: u32 = 16;
