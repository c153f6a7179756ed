//! How much the maps have room for, as the model counts it; what a pool takes of it; and in words, what there is no room for.
//! `prepare` looks for it, `apply` takes it.

use std::net::IpAddr;

use model::{capacity::Capacity, schedule, served::Pool};
use xdp_ebpf::{
    abi::{
        AddressBucket, AddressEntry, MAX_ACCESS, MAX_BACKENDS, MAX_INTERFACES, MAX_LEAST_MEMBERS,
        MAX_LISTENERS, MAX_POOL_SLOTS, MAX_POOLS, MAX_SLOTS, address_bucket, map,
    },
    family::V4,
};

use super::error::{Error, Result};

/// What to do about a change that finds none.
const LATER: &str = "what was removed earlier is there until its last session has ended: try again later";

/// What objects may take of the maps.
pub fn capacity() -> Capacity {
    let half = |entries: u32| u64::from(entries / 2);
    Capacity {
        listeners: half(MAX_LISTENERS),
        networks: half(MAX_ACCESS),
        pools: half(MAX_POOLS),
        members: half(MAX_BACKENDS),
        slots: half(MAX_SLOTS),
        pool_slots: MAX_POOL_SLOTS.into(),
        least_members: MAX_LEAST_MEMBERS as usize,
        interfaces: MAX_INTERFACES as usize,
        place,
        addresses_per_place: size_of::<AddressBucket<V4>>() / size_of::<AddressEntry<V4>>(),
    }
}

/// The bucket of `ek_address` that an address is in.
fn place(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address_bucket(address.octets()),
        IpAddr::V6(address) => address_bucket(address.octets()),
    }
}

/// A map has no room for this many more.
pub fn no_room(map: &'static str, wanted: usize, what: impl Into<String>) -> Error {
    Error::NoRoom { map, what: what.into(), wanted: wanted as u64, remedy: LATER }
}

/// `ek_slot` has no room for the block of a pool.
pub fn no_slots(pool: &Pool, count: u32) -> Error {
    Error::NoRoom {
        map: map::SLOT,
        what: format!("slots, as many as the weights of pool {:?} take", pool.name.as_str()),
        wanted: count.into(),
        remedy: "others rest that were changed a moment ago: try again in some seconds",
    }
}

/// The length of a pool's block while all its members are up.
///
/// # Errors
/// It is more than a number of 32 bits; the model lets no such pool through.
pub fn slots(pool: &Pool) -> Result<u32> {
    let weights: Vec<u16> = pool.members.values().map(|member| member.weight.get()).collect();
    Ok(u32::try_from(schedule::slots(&pool.algorithm, &weights))?)
}
