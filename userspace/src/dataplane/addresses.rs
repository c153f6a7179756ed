//! `ek_address` and `ek_address6`: the VIPs and local addresses, four to a bucket. Readers look while userspace writes:
//! an entry's kind is written last and cleared first.

use std::net::IpAddr;

use aya::Pod;
use xdp_ebpf::{
    abi::{ADDRESS_LOCAL, ADDRESS_NONE, ADDRESS_VIP, AddressEntry, address_bucket},
    family::{Family, V4, V6},
    shared::Shared,
};

use super::memory::Mapping;
use crate::dataplane::error::{Result, unfit};

/// Entries per bucket.
pub const PER_BUCKET: u32 = 4;

/// The maps, entry by entry.
pub struct Addresses {
    /// `ek_address`.
    pub v4: Mapping<AddressEntry<V4>>,
    /// `ek_address6`.
    pub v6: Mapping<AddressEntry<V6>>,
}

impl Addresses {
    /// Adds local address number `index` of its family.
    ///
    /// # Errors
    /// The bucket is full.
    pub fn add_local(&self, address: IpAddr, index: u32) -> Result<()> {
        self.add(address, ADDRESS_LOCAL, index)
    }

    /// Adds a VIP, if it is not there.
    ///
    /// # Errors
    /// The bucket is full.
    pub fn add_vip(&self, address: IpAddr) -> Result<()> {
        self.add(address, ADDRESS_VIP, 0)
    }

    /// Removes an address, if it is there.
    pub fn remove(&self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => remove(&self.v4, address.octets()),
            IpAddr::V6(address) => remove(&self.v6, address.octets()),
        }
    }

    /// Every VIP.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = of_kind(&self.v4, ADDRESS_VIP).map(|entry| entry.address.into());
        v4.chain(of_kind(&self.v6, ADDRESS_VIP).map(|entry| entry.address.into()))
    }

    /// Every local address: IPv4's by their numbers, then IPv6's.
    pub fn local(&self) -> Vec<IpAddr> {
        let v4 = of_kind(&self.v4, ADDRESS_LOCAL).map(|entry| (4, entry.index, entry.address.into()));
        let v6 = of_kind(&self.v6, ADDRESS_LOCAL).map(|entry| (6, entry.index, entry.address.into()));
        let mut entries: Vec<(u8, u32, IpAddr)> = v4.chain(v6).collect();
        entries.sort();
        entries.into_iter().map(|(_, _, address)| address).collect()
    }

    fn add(&self, address: IpAddr, kind: u32, index: u32) -> Result<()> {
        let added = match address {
            IpAddr::V4(address) => add(&self.v4, address.octets(), kind, index),
            IpAddr::V6(address) => add(&self.v6, address.octets(), kind, index),
        };
        if !added {
            unfit!("no room for {address} in ek_address: four other addresses share its bucket");
        }
        Ok(())
    }
}

/// Whether the address is there now.
fn add<F: Family>(entries: &Mapping<AddressEntry<F>>, address: F::Address, kind: u32, index: u32) -> bool
where
    AddressEntry<F>: Pod,
{
    if bucket(entries, address).any(|entry| is(entry, address)) {
        return true;
    }
    let Some(entry) = bucket(entries, address).find(|entry| entry.kind().get() == ADDRESS_NONE) else {
        return false;
    };
    entry.write(AddressEntry { address, kind: ADDRESS_NONE, index, reserved: Default::default() });
    entry.kind().publish(kind);
    true
}

fn remove<F: Family>(entries: &Mapping<AddressEntry<F>>, address: F::Address)
where
    AddressEntry<F>: Pod,
{
    for entry in bucket(entries, address).filter(|entry| is(*entry, address)) {
        entry.kind().publish(ADDRESS_NONE);
    }
}

fn bucket<F: Family>(
    entries: &Mapping<AddressEntry<F>>,
    address: F::Address,
) -> impl Iterator<Item = Shared<'_, AddressEntry<F>>>
where
    AddressEntry<F>: Pod,
{
    let first = address_bucket(address) * PER_BUCKET;
    (first..first + PER_BUCKET).filter_map(|index| entries.get(index))
}

fn of_kind<F: Family>(entries: &Mapping<AddressEntry<F>>, kind: u32) -> impl Iterator<Item = AddressEntry<F>>
where
    AddressEntry<F>: Pod,
{
    entries.iter().map(|(_, entry)| entry.snapshot()).filter(move |entry| entry.kind == kind)
}

fn is<F: Family>(entry: Shared<'_, AddressEntry<F>>, address: F::Address) -> bool {
    let entry = entry.snapshot();
    entry.kind != ADDRESS_NONE && entry.address == address
}

#[cfg(test)]
pub(super) mod tests {
    use xdp_ebpf::abi::ADDRESS_BUCKETS;

    use super::*;

    /// Empty tables on plain memory.
    pub fn on_plain_memory() -> Addresses {
        let entries = ADDRESS_BUCKETS * PER_BUCKET;
        Addresses { v4: Mapping::of_zeros(entries), v6: Mapping::of_zeros(entries) }
    }

    #[test]
    fn a_full_bucket_refuses_and_a_removed_address_makes_room() {
        let v4 = |n: u32| n.to_be_bytes();
        let v6 = |n: u32| (0x2001_0DB8_u128 << 96 | u128::from(n)).to_be_bytes();
        let bucket = |n: &u32| address_bucket(v4(*n)) == address_bucket(v4(0xCB00_7101));
        refuses_and_makes_room((0..).filter(bucket).map(|n| v4(n).into()).take(5).collect());
        let bucket = |n: &u32| address_bucket(v6(*n)) == address_bucket(v6(1));
        refuses_and_makes_room((0..).filter(bucket).map(|n| v6(n).into()).take(5).collect());
    }

    fn refuses_and_makes_room(same: Vec<IpAddr>) {
        let addresses = on_plain_memory();
        let [a, b, c, d, e] = same[..] else { panic!() };
        for (index, address) in [a, b, c].into_iter().enumerate() {
            addresses.add_local(address, 2 - index as u32).unwrap();
        }
        addresses.add_vip(d).unwrap();
        addresses.add_vip(d).unwrap();
        assert!(addresses.add_vip(e).unwrap_err().to_string().contains(&e.to_string()));
        assert_eq!(addresses.local(), [c, b, a]);
        addresses.remove(d);
        addresses.add_vip(e).unwrap();
        assert_eq!(addresses.vips().collect::<Vec<_>>(), [e]);
    }
}
