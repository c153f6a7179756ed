//! How much of everything there may be: a value that the data path gives, since the sizes are its maps'.

use std::net::IpAddr;

/// How much of everything a host has room for.
///
/// What a change brings is in the maps beside what it takes the place of, which goes when no packet and no session can
/// refer to it any more. So objects may fill half of the maps, and these are those halves.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Listeners, one for each VIP.
    pub listeners: u64,
    /// Networks in access lists, counted for each VIP.
    pub networks: u64,
    /// Pools.
    pub pools: u64,
    /// Members of all pools.
    pub members: u64,
    /// Slots of all pools: [`crate::schedule::slots`].
    pub slots: u64,
    /// Slots of one pool. Not a half.
    pub pool_slots: u64,
    /// Members of a pool with least connections. Not a half.
    pub least_members: usize,
    /// Interfaces that the data path can be on. Not a half.
    pub interfaces: usize,
    /// The place of an address in the data path's table of VIPs and local addresses.
    pub place: fn(IpAddr) -> u32,
    /// How many addresses of one family there is room for at one place. Not a half.
    pub addresses_per_place: usize,
}
