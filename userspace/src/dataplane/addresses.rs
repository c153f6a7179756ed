//! `ek_address`: the VIPs and local addresses, four to a bucket. Readers look while userspace writes: an entry's kind
//! is written last and cleared first.

use std::net::IpAddr;

use anyhow::{Result, bail};
use xdp_ebpf::{
    abi::{ADDRESS_LOCAL, ADDRESS_NONE, ADDRESS_VIP, AddressEntry, address_bucket},
    shared::Shared,
};

use super::{memory::Mapping, sessions::octets};

/// Entries per bucket.
pub const PER_BUCKET: u32 = 4;

/// The map, entry by entry.
pub struct Addresses(pub Mapping<AddressEntry>);

impl Addresses {
    /// Adds local address number `index`.
    ///
    /// # Errors
    /// The bucket is full.
    pub fn add_local(&self, address: IpAddr, index: u32) -> Result<()> {
        self.add(AddressEntry { address: octets(address), kind: ADDRESS_LOCAL, index, reserved: 0 })
    }

    /// Adds a VIP, if it is not there.
    ///
    /// # Errors
    /// The bucket is full.
    pub fn add_vip(&self, address: IpAddr) -> Result<()> {
        self.add(AddressEntry { address: octets(address), kind: ADDRESS_VIP, index: 0, reserved: 0 })
    }

    /// Removes an address, if it is there.
    pub fn remove(&self, address: IpAddr) {
        for entry in self.bucket(octets(address)).filter(|entry| is(*entry, octets(address))) {
            entry.kind().publish(ADDRESS_NONE);
        }
    }

    /// Every VIP.
    pub fn vips(&self) -> impl Iterator<Item = IpAddr> {
        self.of_kind(ADDRESS_VIP).map(|entry| entry.address.into())
    }

    /// Every local address, by its number.
    pub fn local(&self) -> Vec<IpAddr> {
        let mut entries: Vec<_> = self.of_kind(ADDRESS_LOCAL).collect();
        entries.sort_by_key(|entry| entry.index);
        entries.into_iter().map(|entry| entry.address.into()).collect()
    }

    fn add(&self, new: AddressEntry) -> Result<()> {
        if self.bucket(new.address).any(|entry| is(entry, new.address)) {
            return Ok(());
        }
        let Some(entry) = self.bucket(new.address).find(|entry| entry.kind().get() == ADDRESS_NONE) else {
            bail!(
                "no room for {} in ek_address: four other addresses share its bucket",
                IpAddr::from(new.address)
            );
        };
        entry.write(AddressEntry { kind: ADDRESS_NONE, ..new });
        entry.kind().publish(new.kind);
        Ok(())
    }

    fn bucket(&self, address: [u8; 4]) -> impl Iterator<Item = Shared<'_, AddressEntry>> {
        let first = address_bucket(address) * PER_BUCKET;
        (first..first + PER_BUCKET).filter_map(|index| self.0.get(index))
    }

    fn of_kind(&self, kind: u32) -> impl Iterator<Item = AddressEntry> {
        self.0.iter().map(|(_, entry)| entry.snapshot()).filter(move |entry| entry.kind == kind)
    }
}

fn is(entry: Shared<'_, AddressEntry>, address: [u8; 4]) -> bool {
    let entry = entry.snapshot();
    entry.kind != ADDRESS_NONE && entry.address == address
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::abi::ADDRESS_BUCKETS;

    use super::*;

    #[test]
    fn a_full_bucket_refuses_and_a_removed_address_makes_room() {
        let addresses = Addresses(Mapping::of_zeros(ADDRESS_BUCKETS * PER_BUCKET));
        let bucket = address_bucket([203, 0, 113, 1]);
        let same: Vec<_> = (0u32..=u32::MAX)
            .map(|address| IpAddr::from(address.to_be_bytes()))
            .filter(|&address| address_bucket(octets(address)) == bucket)
            .take(5)
            .collect();
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
