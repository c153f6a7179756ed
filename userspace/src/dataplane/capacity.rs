//! How much the maps have room for, as the model counts it.

use std::net::IpAddr;

use model::capacity::Capacity;
use xdp_ebpf::{
    abi::{
        AddressBucket, AddressEntry, MAX_ACCESS, MAX_BACKENDS, MAX_INTERFACES, MAX_LEAST_MEMBERS,
        MAX_LISTENERS, MAX_POOL_SLOTS, MAX_POOLS, MAX_SLOTS, address_bucket,
    },
    family::V4,
};

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
