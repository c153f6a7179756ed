//! Whether a change finds room in the maps, looked at before any of it is made. A file fills half of them (`config/`), so
//! only what was removed before and still waits for its last session can be in the way.

use anyhow::{Context, Result, ensure};
use xdp_ebpf::abi::MAX_ACCESS;

use super::{
    access,
    apply::{Applier, no_slots},
};
use crate::{
    model::{Change, Model},
    plan::plan,
    schedule,
};

/// What to do about a change that finds none.
const LATER: &str = "what was removed earlier is there until its last session has ended: try again later";

impl Applier {
    /// Makes the maps follow `model`. Returns how many changes that took.
    ///
    /// # Errors
    /// There is no room; nothing has changed then. Or a table cannot be written; the changes up to there are made.
    pub fn follow(&mut self, model: &Model) -> Result<usize> {
        let changes = plan(&self.registry.model, model);
        self.look_for_room(&changes)?;
        for change in &changes {
            self.apply(change)?;
        }
        Ok(changes.len())
    }

    /// Looks whether [`Self::follow`] would find room.
    ///
    /// # Errors
    /// It would not.
    pub fn check(&self, model: &Model) -> Result<()> {
        self.look_for_room(&plan(&self.registry.model, model))
    }

    fn look_for_room(&self, changes: &[Change]) -> Result<()> {
        let registry = &self.registry;
        let mut slots = registry.slots.clone();
        let (mut pools, mut members, mut listeners, mut networks) = (0, 0, 0, registry.access.entries());
        for change in changes {
            match change {
                Change::PutPool(name, pool) => {
                    pools += usize::from(registry.pools.get(name).is_none());
                    members += self.new_members(name, pool);
                    let count = u32::try_from(schedule::slots(pool))?;
                    slots.take(count).with_context(|| no_slots(name, count))?;
                }
                Change::PutListener(key, listener) => {
                    listeners += usize::from(registry.listeners.get(key).is_none());
                    let old = registry.model.listeners.get(key);
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
