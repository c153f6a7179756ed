//! Whether a change finds room in the maps, looked at before any of it is made. A file fills half of them (`config/`), so
//! only what was removed before and still waits for its last session can be in the way.

use anyhow::{Context, Result, ensure};
use model::plan::Change;
use xdp_ebpf::abi::MAX_ACCESS;

use super::{
    access,
    apply::{Applier, no_slots, slots},
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
                    ranges.take(count).with_context(|| no_slots(pool, count))?;
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
        ensure!(registry.pools.has_room_for(pools), "ek_pool has no room for {pools} more pools; {LATER}");
        ensure!(
            registry.backends.has_room_for(members),
            "ek_backend has no room for {members} more members; {LATER}"
        );
        ensure!(
            registry.listeners.has_room_for(listeners),
            "ek_listener has no room for {listeners} more listeners; {LATER}"
        );
        ensure!(networks <= MAX_ACCESS as usize, "ek_access has no room for {networks} networks; {LATER}");
        Ok(())
    }
}
