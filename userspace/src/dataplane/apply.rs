//! Makes the maps follow the model, one [`Change`] at a time, so that no packet sees half a change: records before
//! what points to them, a pool's new slots before the one store that switches to them. Next: `sweep`, whose passes
//! say when removed entries may be reused.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use aya::{maps::PerCpuValues, util::nr_cpus};
use xdp_ebpf::{
    abi::{
        Backend, BackendStat, ENTRY_ACTIVE, ENTRY_REMOVED, LISTENER_FORWARD, LISTENER_LAYER7, Listener,
        ListenerIndex, ListenerStat, NAME_LEN, Pool, PoolIndex, SlotIndex, name_bytes,
    },
    shared::Shared,
};
use zerocopy::FromZeros;

use super::{
    health,
    registry::{
        NO_POOL, Registry, algorithm_number, backend, service, slots_of, sticky_seconds, when_down_number,
    },
    sweep::Census,
    tables::Tables,
};
use crate::{
    model::{self, Change, ListenerKey},
    schedule,
};

/// The maps and what they hold.
pub struct Applier {
    /// The maps.
    pub tables: Tables,
    /// Who has which index.
    pub registry: Registry,
}

impl Applier {
    /// Applies one step of a plan. The registry's model follows.
    ///
    /// # Errors
    /// A table is full; the step has then changed nothing that a packet sees. Or one cannot be written.
    pub fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::PutPool(name, pool) => self.put_pool(name, pool),
            Change::AddVip(vip) => {
                self.tables.addresses.add_vip(*vip)?;
                self.registry.model.vips.insert(*vip);
                Ok(())
            }
            Change::PutListener(key, listener) => self.put_listener(key, listener),
            Change::RemoveListener(key) => self.remove_listener(key),
            Change::RemoveVip(vip) => {
                self.tables.addresses.remove(*vip);
                self.registry.model.vips.remove(vip);
                Ok(())
            }
            Change::RemovePool(name) => self.remove_pool(name),
        }
    }

    /// A full sweep has gone by: blocks and indexes that nothing uses any more become free.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn settle(&mut self, census: &Census) -> Result<()> {
        let Self { tables, registry } = self;
        registry.slots.rest();
        registry.changed_lists.age();
        for index in registry.backends.settle(|index| census.backends.contains_key(&(index as u16))) {
            tables.backend.get(index).context("ek_backend")?.write(Backend::default());
        }
        let freed = registry.listeners.settle(|index| census.listeners.contains_key(&(index as u16)));
        registry.bandwidths.settle(&freed);
        for index in freed {
            let old = tables.listener.get(&index, 0)?;
            tables.listener.set(index, Listener::new_zeroed(), 0)?;
            registry.access.remove(&mut tables.access, (old.access, old.access_list))?;
            registry.idle.remove(&(index as u16));
        }
        let backends = &registry.backends;
        let has_backends = |pool| backends.iter().any(|((of, _), _)| *of == pool);
        for index in registry.pools.settle(has_backends) {
            tables.pool.get(index).context("ek_pool")?.write(Pool::new_zeroed());
        }
        Ok(())
    }

    fn put_pool(&mut self, name: &str, pool: &model::Pool) -> Result<()> {
        let fresh = self.new_members(name, pool);
        ensure!(self.registry.backends.has_room_for(fresh), "pool {name:?}: ek_backend is full");
        let slots = u32::try_from(schedule::slots(pool))?;
        ensure!(self.registry.slots.has_room_for(slots), no_slots(name, slots));
        let bytes = name_bytes(name).with_context(|| too_long("pool", name))?;
        let drain_timeout = seconds(pool.drain_timeout)?;
        let (index, is_new) = self.registry.pools.put(name.to_owned()).context("ek_pool is full")?;
        let record = self.tables.pool.get(index).context("ek_pool")?;
        if is_new {
            self.tables.cursor.set(index, 0, 0)?;
            record.write(Pool {
                block: 0,
                sticky: 0,
                drain_timeout: 0,
                state: ENTRY_ACTIVE,
                reserved: [0; 7],
                name: bytes,
            });
        }
        record.state().set(ENTRY_ACTIVE);
        record.drain_timeout().set(drain_timeout);
        let old = self.registry.model.pools.get(name).and_then(|pool| pool.health.clone());
        for (&member, &weight) in &pool.members {
            let (record, comes) = self.put_backend(index, member, weight)?;
            health::begin(&record, comes, old.as_ref(), pool.health.as_ref());
        }
        self.switch_block(index, name, pool)?;
        self.remove_backends(index, |member| !pool.members.contains_key(&member))?;
        self.registry.model.pools.insert(name.to_owned(), pool.clone());
        Ok(())
    }

    /// How many of the pool's members have no index yet.
    pub(super) fn new_members(&self, name: &str, pool: &model::Pool) -> usize {
        let index = self.registry.pools.get(&name.to_owned());
        let is_known = |&&member: &&SocketAddr| {
            index.and_then(|index| self.registry.backends.get(&(index, member))).is_some()
        };
        pool.members.len() - pool.members.keys().filter(is_known).count()
    }

    /// The member's record, and whether it was not a member just before.
    fn put_backend(
        &mut self,
        pool: u32,
        member: SocketAddr,
        weight: u16,
    ) -> Result<(Shared<'_, Backend>, bool)> {
        let (index, is_new) = self.registry.backends.put((pool, member)).context("ek_backend is full")?;
        let record = self.tables.backend.get(index).context("ek_backend")?;
        if is_new {
            let zeros = PerCpuValues::try_from(vec![BackendStat::default(); cpus()?])?;
            self.tables.backend_stat.set(index, zeros, 0)?;
            self.tables.load.get(index).context("ek_load")?.value().set(0);
            record.write(backend(pool, member, weight));
        }
        let comes = is_new || record.state().get() != ENTRY_ACTIVE;
        record.weight().set(weight);
        record.state().set(ENTRY_ACTIVE);
        Ok((record, comes))
    }

    /// Writes the pool's slots to a new place, then points the pool there.
    fn switch_block(&mut self, index: u32, name: &str, pool: &model::Pool) -> Result<()> {
        let Registry { backends, slots: ranges, .. } = &mut self.registry;
        let slots = slots_of(&self.tables, pool, |member| backends.get(&(index, member)))
            .context("a member has no index")?;
        let count = u32::try_from(slots.len())?;
        let first = ranges.take(count).with_context(|| no_slots(name, count))?;
        for (slot, backend) in (first..).zip(slots) {
            self.tables.slot.get(slot).context("ek_slot")?.write(backend);
        }
        let block = self.tables.pool.get(index).context("ek_pool")?;
        let old = block.block().get();
        // The slots above must be there before the word that leads to them.
        std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
        block.block().set(Pool::block_of(SlotIndex::new(first), count, algorithm_number(pool.algorithm)));
        block.sticky().set(sticky_seconds(pool.algorithm));
        let (old_first, old_count, _) = Pool::parts_of(old);
        ranges.give_back(old_first.into(), old_count);
        Ok(())
    }

    /// Gives a pool new slots, for its members' health has changed.
    ///
    /// # Errors
    /// There is no room; its slots stay what they were.
    pub fn refill(&mut self, index: u32, name: &str) -> Result<()> {
        let pool = self.registry.model.pools.get(name).context("a pool is gone")?.clone();
        self.switch_block(index, name, &pool)
    }

    fn remove_backends(&mut self, pool: u32, goes: impl Fn(SocketAddr) -> bool) -> Result<()> {
        let Self { tables, registry } = self;
        let gone: Vec<_> = registry
            .backends
            .iter()
            .map(|(key, _)| *key)
            .filter(|&(of, member)| of == pool && goes(member))
            .collect();
        for key in gone {
            let index = registry.backends.get(&key).context("ek_backend")?;
            let record = tables.backend.get(index).context("ek_backend")?;
            if record.state().get() == ENTRY_ACTIVE {
                registry.backends.remove(&key);
                record.weight().set(0);
                record.state().set(ENTRY_REMOVED);
            }
        }
        Ok(())
    }

    fn put_listener(&mut self, key: &ListenerKey, listener: &model::Listener) -> Result<()> {
        let pool = match &listener.pool {
            Some(pool) => self.registry.pools.get(pool).context("a listener's pool has no index")?,
            None => NO_POOL.into(),
        };
        let name = name_bytes(&listener.name).with_context(|| too_long("listener", &listener.name))?;
        let load_balancer = name_bytes(&listener.load_balancer)
            .with_context(|| too_long("load balancer", &listener.load_balancer))?;
        let idle_timeout = u32::try_from(listener.idle_timeout.as_secs())?;
        let Self { tables, registry } = self;
        let known = registry.listeners.get(key);
        ensure!(known.is_some() || registry.listeners.has_room_for(1), "ek_listener is full");
        let old = known.map(|index| tables.listener.get(&index, 0)).transpose()?;
        let old_list = old.map(|old| (old.access, old.access_list));
        let stays = old_list.filter(|list| registry.access.of(*list) == listener.access);
        let (access, access_list) = match stays {
            Some(list) => list,
            None => registry.access.put(&mut tables.access, &listener.access)?,
        };
        let (index, is_new) = registry.listeners.put(*key).context("ek_listener is full")?;
        if is_new {
            let zeros = PerCpuValues::try_from(vec![ListenerStat::default(); cpus()?])?;
            tables.listener_stat.set(index, zeros, 0)?;
            tables.limits().begin(index)?;
        }
        let bandwidth = registry.bandwidths.put(tables.limits(), index, listener)?;
        tables.limits().put(index, &listener.limits)?;
        let record = Listener {
            pool: PoolIndex::new(pool),
            idle_timeout,
            access,
            access_list,
            bandwidth,
            service: service(key),
            state: ENTRY_ACTIVE,
            kind: if listener.http.is_some() { LISTENER_LAYER7 } else { LISTENER_FORWARD },
            when_down: when_down_number(listener.when_down),
            reserved: [0; 1],
            name,
            load_balancer,
        };
        tables.listener.set(index, record, 0)?;
        tables.service.insert(record.service, ListenerIndex::new(index), 0).context("ek_service")?;
        if let (None, Some(old_list)) = (stays, old_list) {
            registry.changed_lists.note(index as u16, &listener.access);
            registry.access.remove(&mut tables.access, old_list)?;
        }
        registry.idle.insert(index as u16, listener.idle_timeout.max(Duration::from_secs(1)));
        registry.model.listeners.insert(*key, listener.clone());
        Ok(())
    }

    fn remove_listener(&mut self, key: &ListenerKey) -> Result<()> {
        self.tables.service.remove(&service(key)).context("ek_service")?;
        self.registry.model.listeners.remove(key);
        if let Some(index) = self.registry.listeners.remove(key) {
            let record = self.tables.listener.get(&index, 0)?;
            self.tables.listener.set(index, Listener { state: ENTRY_REMOVED, ..record }, 0)?;
        }
        Ok(())
    }

    fn remove_pool(&mut self, name: &str) -> Result<()> {
        self.registry.model.pools.remove(name);
        if let Some(index) = self.registry.pools.remove(&name.to_owned()) {
            let record = self.tables.pool.get(index).context("ek_pool")?;
            let (first, count, _) = Pool::parts_of(record.block().get());
            record.block().set(0);
            record.state().set(ENTRY_REMOVED);
            self.registry.slots.give_back(first.into(), count);
            self.remove_backends(index, |_| true)?;
        }
        Ok(())
    }
}

fn seconds(time: Option<Duration>) -> Result<u32> {
    Ok(time.map_or(0, |time| time.as_secs()).try_into()?)
}

fn cpus() -> Result<usize> {
    nr_cpus().map_err(|(what, error)| anyhow::anyhow!("{what}: {error}"))
}

pub(super) fn no_slots(pool: &str, count: u32) -> String {
    format!(
        "pool {pool:?}: ek_slot has no room for the {count} slots of its weights while others rest that were changed a moment ago: try again in some seconds"
    )
}

fn too_long(what: &str, name: &str) -> String {
    format!("the {what}'s name {name:?} is longer than {NAME_LEN} bytes")
}

#[cfg(test)]
mod tests;
