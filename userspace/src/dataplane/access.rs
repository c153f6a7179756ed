//! Access lists in `ek_access`. A list is written whole under a new number before a listener points to it, and removed
//! when none does any more, so that no packet sees half of one.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use aya::maps::{
    MapData,
    lpm_trie::{Key, LpmTrie},
};
use ipnet::{IpNet, Ipv4Net};
use xdp_ebpf::abi::{ACCESS_ALLOW, ACCESS_DENY, ACCESS_OPEN, AccessKey, MAX_ACCESS, map};

use super::sessions::octets;
use crate::model::Access;

/// Bits of a list's number, in front of every prefix.
const LIST_BITS: u32 = 32;

/// What a listener's record says about its list: `ACCESS_…` for whom is on no prefix, and the list's number.
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
            let length = u8::try_from(key.prefix_len().saturating_sub(LIST_BITS)).unwrap_or(u8::MAX);
            let network = IpNet::V4(Ipv4Net::new(address.into(), length).context("a prefix in ek_access")?);
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
        Ok(read)
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
        let default = match (&access.allow, access.deny.is_empty()) {
            (Some(_), _) => ACCESS_DENY,
            (None, false) => ACCESS_ALLOW,
            (None, true) => return Ok((ACCESS_OPEN, 0)),
        };
        let number = self.next;
        for (key, value) in entries(number, access) {
            if let Err(error) = trie.insert(&key, value, 0) {
                remove(trie, number, access)?;
                let full =
                    format!("ek_access: the lists of all listeners have more than {MAX_ACCESS} networks");
                return Err(anyhow::Error::from(error).context(full));
            }
        }
        self.lists.insert(number, access.clone());
        self.next = self.next.wrapping_add(1);
        Ok((default, number))
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

fn entries(number: u32, access: &Access) -> impl Iterator<Item = (Key<AccessKey>, u32)> {
    let key = move |network: &IpNet| {
        let data = AccessKey { list: number.to_be_bytes(), address: octets(network.network()) };
        Key::new(LIST_BITS + u32::from(network.prefix_len()), data)
    };
    let allow = access.allow.iter().flatten().map(move |network| (key(network), ACCESS_ALLOW));
    allow.chain(access.deny.iter().map(move |network| (key(network), ACCESS_DENY)))
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
