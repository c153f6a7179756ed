//! Access lists in `ek_access`. A list is written whole under a new number before a listener points to it, and removed
//! when none does any more, so that no packet sees half of one.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr},
};

use aya::maps::{
    MapData,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use model::{access::Access, value::Network};
use xdp_ebpf::abi::{ACCESS_ALLOW, ACCESS_DENY, ACCESS_OPEN, AccessKey, MAX_ACCESS, MappedAddress, map};

use super::mapped::{mapped, unmapped};
use crate::dataplane::error::{Context, Result};

/// Bits of a list's number, in front of every prefix.
const LIST_BITS: u32 = 32;
/// Bits in front of an IPv4 address in 16 bytes.
const MAPPED_BITS: u32 = 96;
/// All of IPv4.
const ALL_OF_IPV4: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0));

/// What a listener's record says about its list: `ACCESS_…` for clients on no prefix, and the list's number.
pub type Pointer = (u32, u32);

/// The map.
pub type Trie = LpmTrie<MapData, AccessKey, u32>;

/// The lists in the map, by number.
#[derive(Default)]
pub struct AccessLists {
    lists: HashMap<u32, Access>,
    next: u32,
}

impl AccessLists {
    /// What the map holds of the lists in `used` (number → the record's `access`). Entries of others were left behind
    /// by a process that was killed, and are removed.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn from_map(trie: &mut Trie, used: &BTreeMap<u32, u32>) -> Result<Self> {
        let mut read = Self { lists: HashMap::new(), next: used.keys().max().map_or(0, |last| last + 1) };
        for (&number, &access) in used {
            let allow = (access == ACCESS_DENY).then(Default::default);
            read.lists.insert(number, Access { allow, ..Access::default() });
        }
        let mut orphans = Vec::new();
        for entry in trie.iter() {
            let (key, value) = entry.context(map::ACCESS)?;
            let AccessKey { list, address } = key.data();
            let network = network(address, key.prefix_len()).context("a prefix in ek_access")?;
            match read.lists.get_mut(&u32::from_be_bytes(list)) {
                Some(access) if value == ACCESS_DENY => {
                    access.deny.insert(network);
                }
                Some(access) => {
                    access.allow.get_or_insert_default().insert(network);
                }
                None => orphans.push(key),
            }
        }
        for key in orphans {
            trie.remove(&key).context(map::ACCESS)?;
        }
        for (number, access) in &mut read.lists {
            // Without an allow list only `entries` allows anything.
            match used.get(number) {
                Some(&ACCESS_ALLOW) => access.allow = None,
                _ if spares_ipv4(access) => access.deny.retain(|network| network.get() != ALL_OF_IPV4),
                _ => {}
            }
        }
        Ok(read)
    }

    /// How many entries of the map all lists take.
    pub fn entries(&self) -> usize {
        self.lists.values().map(entries_of).sum()
    }

    /// What a record's pointer means.
    pub fn of(&self, (access, number): Pointer) -> Access {
        match access {
            ACCESS_OPEN => Access::default(),
            _ => self.lists.get(&number).cloned().unwrap_or_default(),
        }
    }

    /// Writes a list under a new number; an open one needs none.
    ///
    /// # Errors
    /// The map is full or cannot be written; it is then as before.
    pub fn put(&mut self, trie: &mut Trie, access: &Access) -> Result<Pointer> {
        if access.is_open() {
            return Ok((ACCESS_OPEN, 0));
        }
        let number = self.next;
        for (key, value) in entries(number, access) {
            if let Err(error) = trie.insert(&key, value, 0) {
                remove(trie, number, access)?;
                let full =
                    format!("ek_access: the lists of all listeners have more than {MAX_ACCESS} networks");
                return Err(error).context(full);
            }
        }
        self.lists.insert(number, access.clone());
        self.next = self.next.wrapping_add(1);
        Ok((default_of(access), number))
    }

    /// Removes a list that no listener points to any more.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn remove(&mut self, trie: &mut Trie, (access, number): Pointer) -> Result<()> {
        if access == ACCESS_OPEN {
            return Ok(());
        }
        match self.lists.remove(&number) {
            Some(list) => remove(trie, number, &list),
            None => Ok(()),
        }
    }
}

/// How many entries of the map a list takes.
pub fn entries_of(access: &Access) -> usize {
    entries(0, access).count()
}

/// What becomes of clients that are on no prefix.
fn default_of(access: &Access) -> u32 {
    if access.allow.is_some() { ACCESS_DENY } else { ACCESS_ALLOW }
}

/// Whether the list has one of `::/80` and all shorter prefixes: in the map, they include IPv4, which they do not mean.
fn spares_ipv4(access: &Access) -> bool {
    let includes = |network: &Network| {
        let mapped = Ipv4Addr::UNSPECIFIED.to_ipv6_mapped();
        matches!(network.get(), IpNet::V6(network) if network.contains(&mapped))
    };
    access.allow.iter().flatten().chain(&access.deny).any(includes)
}

/// A list as the map has it; one that spares IPv4 has an entry for that.
fn entries(number: u32, access: &Access) -> impl Iterator<Item = (Key<AccessKey>, u32)> {
    let allow = access.allow.iter().flatten().map(|network| (network.get(), ACCESS_ALLOW));
    let listed = allow.chain(access.deny.iter().map(|network| (network.get(), ACCESS_DENY)));
    let is_said = listed.clone().any(|(network, _)| network == ALL_OF_IPV4);
    let of_ipv4 = (spares_ipv4(access) && !is_said).then(|| (ALL_OF_IPV4, default_of(access)));
    listed.chain(of_ipv4).map(move |(network, value)| (key(number, network), value))
}

fn key(number: u32, network: IpNet) -> Key<AccessKey> {
    let skipped = if matches!(network, IpNet::V4(_)) { MAPPED_BITS } else { 0 };
    let data = AccessKey { list: number.to_be_bytes(), address: mapped(network.network()) };
    Key::new(LIST_BITS + skipped + u32::from(network.prefix_len()), data)
}

/// The network of a key; `None` if its length cannot be.
fn network(address: MappedAddress, length: u32) -> Option<Network> {
    let length = length.checked_sub(LIST_BITS)?;
    let network = match (unmapped(address), length.checked_sub(MAPPED_BITS)) {
        (IpAddr::V4(address), Some(length)) => Ipv4Net::new(address, length.try_into().ok()?).ok()?.into(),
        _ => Ipv6Net::new(address.bytes.into(), length.try_into().ok()?).ok()?.into(),
    };
    Network::new(network).ok()
}

/// Removes what there is of a list.
fn remove(trie: &mut Trie, number: u32, access: &Access) -> Result<()> {
    for (key, _) in entries(number, access) {
        if trie.get(&key, 0).is_ok() {
            trie.remove(&key).context(map::ACCESS)?;
        }
    }
    Ok(())
}
