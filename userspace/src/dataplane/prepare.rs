//! Whether a change finds room in the maps, looked at before any of it is made. A file fills half of them (`config/`), so
//! only what was removed before and still waits for its last session can be in the way.

use model::{plan::Change, served::Pool};
use xdp_ebpf::abi::{MAX_ACCESS, map};

use super::{
    access,
    apply::{Applier, slots},
    error::{Error, Result},
};

/// What to do about a change that finds none.
const LATER: &str = "what was removed earlier is there until its last session has ended: try again later";

impl Applier {
    /// Looks whether these changes find room.
    ///
    /// # Errors
    /// They do not.
    pub fn prepare(&self, changes: &[Change]) -> Result<()> {
        let registry = &self.registry;
        let mut ranges = registry.slots.clone();
        let (mut pools, mut members, mut listeners, mut networks) = (0, 0, 0, registry.access.entries());
        for change in changes {
            match change {
                Change::PutPool(id, pool) => {
                    pools += usize::from(registry.pools.get(id).is_none());
                    members += self.new_members(*id, pool);
                    let count = slots(pool)?;
                    ranges.take(count).ok_or_else(|| no_slots(pool, count))?;
                }
                Change::PutListener(key, listener) => {
                    listeners += usize::from(registry.listeners.get(key).is_none());
                    let old = registry.served.listeners.get(key);
                    if old.is_none_or(|old| old.access != listener.access) {
                        networks += access::entries_of(&listener.access);
                    }
                }
                _ => {}
            }
        }
        let rooms = [
            (map::POOL, pools, "pools", registry.pools.has_room_for(pools)),
            (map::BACKEND, members, "members", registry.backends.has_room_for(members)),
            (map::LISTENER, listeners, "listeners", registry.listeners.has_room_for(listeners)),
            (map::ACCESS, networks, "networks", networks <= MAX_ACCESS as usize),
        ];
        match rooms.iter().find(|(.., has_room)| !has_room) {
            None => Ok(()),
            Some(&(map, wanted, what, _)) => Err(no_room(map, wanted, what)),
        }
    }
}

/// A map has no room for this many more.
pub(super) fn no_room(map: &'static str, wanted: usize, what: impl Into<String>) -> Error {
    Error::NoRoom { map, what: what.into(), wanted: wanted as u64, remedy: LATER }
}

/// `ek_slot` has no room for the block of a pool.
pub(super) fn no_slots(pool: &Pool, count: u32) -> Error {
    Error::NoRoom {
        map: map::SLOT,
        what: format!("slots, as many as the weights of pool {:?} take", pool.name.as_str()),
        wanted: count.into(),
        remedy: "others rest that were changed a moment ago: try again in some seconds",
    }
}
