//! Whether a change finds room in the maps, looked at before any of it is made. A file fills half of them (`config/`), so
//! only what was removed before and still waits for its last session can be in the way.

use model::plan::Change;
use xdp_ebpf::abi::{MAX_ACCESS, map};

use super::{
    access,
    apply::Applier,
    capacity::{no_room, no_slots, slots},
    error::Result,
};

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
