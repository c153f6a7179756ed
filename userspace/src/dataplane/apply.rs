//! Makes the maps follow the model, one [`Change`] at a time, so that no packet sees half a change: records before
//! what points to them, a pool's new slots before the one store that switches to them. Next: `sweep`, whose passes
//! say when removed entries may be reused.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use aya::{maps::PerCpuValues, util::nr_cpus};
use model::{
    object::PoolId,
    plan::Change,
    served::{self, ListenerKey},
    value::Weight,
};
use xdp_ebpf::{
    abi::{
        Backend, BackendStat, ENTRY_ACTIVE, ENTRY_REMOVED, LISTENER_FORWARD, LISTENER_LAYER7, Listener,
        ListenerStat, ON_DOWN_KEEP, Pool, PoolIndex, map, name_bytes,
    },
    shared::Shared,
};
use zerocopy::FromZeros;

use super::{
    capacity::{no_room, no_slots, slots},
    census::Census,
    error::{Context, Error, Result},
    health,
    registry::{
        NO_POOL, Registry, algorithm_number, backend, on_down_number, service, slots_of, sticky_seconds,
        when_down_number,
    },
    tables::Tables,
};
use crate::engine::standings::{MemberHealth, Standings};

/// The maps and what they hold.
pub struct Applier {
    pub(super) tables: Tables,
    pub(super) registry: Registry,
}

impl Applier {
    /// Applies one step of a plan. The registry follows. Of members, what `standings` know is put with them.
    ///
    /// # Errors
    /// A table is full; the step has then changed nothing that a packet sees. Or one cannot be written.
    pub fn apply(&mut self, change: &Change, standings: &Standings) -> Result<()> {
        match change {
            Change::PutPool(id, pool) => self.put_pool(*id, pool, standings),
            Change::AddVip(vip) => {
                self.tables.addresses.add_vip(*vip)?;
                self.registry.served.vips.insert(*vip);
                Ok(())
            }
            Change::PutListener(key, listener) => self.put_listener(key, listener),
            Change::RemoveListener(key) => self.remove_listener(key),
            Change::RemoveVip(vip) => {
                self.tables.addresses.remove(*vip);
                self.registry.served.vips.remove(vip);
                Ok(())
            }
            Change::RemovePool(id) => self.remove_pool(*id),
        }
    }

    /// What the records say of the members' health: what an earlier process knew.
    pub fn remembered(&self) -> Vec<(PoolId, SocketAddr, MemberHealth)> {
        let ids: HashMap<PoolIndex, PoolId> =
            self.registry.pools.iter().map(|(id, index)| (index, *id)).collect();
        let members = self.registry.backends.iter().filter_map(|((pool, member), index)| {
            let record = self.tables.backend.get(index)?;
            (record.state().get() == ENTRY_ACTIVE).then_some((
                *ids.get(pool)?,
                *member,
                health::read(&record),
            ))
        });
        members.collect()
    }

    /// A full sweep has gone by: blocks and indexes that nothing uses any more become free.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn settle(&mut self, census: &Census) -> Result<()> {
        let Self { tables, registry } = self;
        registry.slots.rest();
        registry.changed_lists.age();
        for index in registry.backends.settle(|index| census.backends.contains(index)) {
            tables.backend.get(index).context("ek_backend")?.write(Backend::default());
        }
        let freed = registry.listeners.settle(|index| census.listeners.contains(index));
        registry.bandwidths.settle(&freed);
        for index in freed {
            let old = tables.listener.get(&index.index, 0)?;
            tables.listener.set(index.index, Listener::new_zeroed(), 0)?;
            registry.access.remove(&mut tables.access, (old.access, old.access_list))?;
            registry.idle.forget(index);
        }
        let backends = &registry.backends;
        let has_backends = |pool| backends.iter().any(|((of, _), _)| *of == pool);
        for index in registry.pools.settle(has_backends) {
            tables.pool.get(index).context("ek_pool")?.write(Pool::new_zeroed());
        }
        Ok(())
    }

    fn put_pool(&mut self, id: PoolId, pool: &Arc<served::Pool>, standings: &Standings) -> Result<()> {
        let fresh = self.new_members(id, pool);
        if !self.registry.backends.has_room_for(fresh) {
            return Err(no_room(map::BACKEND, fresh, "members"));
        }
        let slots = slots(pool)?;
        if !self.registry.slots.has_room_for(slots) {
            return Err(no_slots(pool, slots));
        }
        let drain_timeout = pool.drain_timeout.map_or(0, |time| time.get());
        let (index, is_new) = self.registry.pools.put(id).ok_or_else(|| no_room(map::POOL, 1, "pools"))?;
        let record = self.tables.pool.get(index).context("ek_pool")?;
        if is_new {
            self.tables.cursor.set(index.index, 0, 0)?;
            record.write(Pool {
                block: 0,
                sticky: 0,
                drain_timeout: 0,
                state: ENTRY_ACTIVE,
                on_down: ON_DOWN_KEEP,
                reserved: [0; 6],
                id: id.into_bytes(),
                name: name_bytes(pool.name.as_str()),
            });
        }
        record.name().set(name_bytes(pool.name.as_str()));
        record.state().set(ENTRY_ACTIVE);
        record.drain_timeout().set(drain_timeout);
        record.on_down().set(on_down_number(pool.on_down));
        for (&member, settings) in &pool.members {
            let record = self.put_backend(index, member, settings.weight)?;
            health::write(&record, standings.of(id, member), health::now());
        }
        self.switch_block(index, id, pool, standings)?;
        self.remove_backends(index, |member| !pool.members.contains_key(&member))?;
        self.registry.served.pools.insert(id, pool.clone());
        Ok(())
    }

    /// How many of the pool's members have no index yet.
    pub(super) fn new_members(&self, id: PoolId, pool: &served::Pool) -> usize {
        let index = self.registry.pools.get(&id);
        let is_known = |&&member: &&SocketAddr| {
            index.and_then(|index| self.registry.backends.get(&(index, member))).is_some()
        };
        pool.members.len() - pool.members.keys().filter(is_known).count()
    }

    /// The member's record.
    fn put_backend(
        &mut self,
        pool: PoolIndex,
        member: SocketAddr,
        weight: Weight,
    ) -> Result<Shared<'_, Backend>> {
        let (index, is_new) = {
            let index = self.registry.backends.put((pool, member));
            index.ok_or_else(|| no_room(map::BACKEND, 1, "members"))?
        };
        let record = self.tables.backend.get(index).context("ek_backend")?;
        if is_new {
            let zeros = PerCpuValues::try_from(vec![BackendStat::default(); cpus()?])?;
            self.tables.backend_stat.set(index.index, zeros, 0)?;
            self.tables.load.get(index).context("ek_load")?.value().set(0);
            record.write(backend(pool, member, weight));
        }
        record.weight().set(weight.get());
        record.state().set(ENTRY_ACTIVE);
        Ok(record)
    }

    /// Writes the pool's slots to a new place, then points the pool there.
    fn switch_block(
        &mut self,
        index: PoolIndex,
        id: PoolId,
        pool: &served::Pool,
        standings: &Standings,
    ) -> Result<()> {
        let Registry { backends, slots: ranges, .. } = &mut self.registry;
        let index_of = |member| backends.get(&(index, member));
        let verdict_of = |member| standings.of(id, member).taken_for();
        let slots = slots_of(pool, index_of, verdict_of).context("a member has no index")?;
        let count = u32::try_from(slots.len())?;
        let first = ranges.take(count).ok_or_else(|| no_slots(pool, count))?;
        for (offset, backend) in (0..).zip(slots) {
            self.tables.slot.get(first.plus(offset)).context("ek_slot")?.write(backend);
        }
        let block = self.tables.pool.get(index).context("ek_pool")?;
        let old = block.block().get();
        // The slots above must be there before the word that leads to them.
        std::sync::atomic::fence(std::sync::atomic::Ordering::Release);
        block.block().set(Pool::block_of(first, count, algorithm_number(&pool.algorithm)));
        block.sticky().set(sticky_seconds(&pool.algorithm));
        let (old_first, old_count, _) = Pool::parts_of(old);
        ranges.give_back(old_first, old_count);
        Ok(())
    }

    /// Writes down what is known of a member now. Whether its pool needs new slots because of that.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn note(&mut self, id: PoolId, member: SocketAddr, standings: &Standings) -> Result<bool> {
        let index = self.registry.pools.get(&id).and_then(|pool| self.registry.backends.get(&(pool, member)));
        // It was removed meanwhile.
        let Some(index) = index else { return Ok(false) };
        let record = self.tables.backend.get(index).context("ek_backend")?;
        let (old, new) = (health::read(&record), standings.of(id, member));
        health::write(&record, new, health::now());
        Ok(old.taken_for() != new.taken_for())
    }

    /// Gives a pool new slots, for its members' health has changed.
    ///
    /// # Errors
    /// There is no room; its slots stay what they were.
    pub fn refill(&mut self, id: PoolId, standings: &Standings) -> Result<()> {
        let Some(pool) = self.registry.served.pools.get(&id).cloned() else { return Ok(()) };
        let index = self.registry.pools.get(&id).context("a pool has no index")?;
        self.switch_block(index, id, &pool, standings)
    }

    fn remove_backends(&mut self, pool: PoolIndex, goes: impl Fn(SocketAddr) -> bool) -> Result<()> {
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

    fn put_listener(&mut self, key: &ListenerKey, listener: &Arc<served::Listener>) -> Result<()> {
        let pool = match &listener.pool {
            Some(pool) => self.registry.pools.get(pool).context("a listener's pool has no index")?,
            None => NO_POOL,
        };
        let Self { tables, registry } = self;
        let known = registry.listeners.get(key);
        if known.is_none() && !registry.listeners.has_room_for(1) {
            return Err(no_room(map::LISTENER, 1, "listeners"));
        }
        let old = known.map(|index| tables.listener.get(&index.index, 0)).transpose()?;
        let old_list = old.map(|old| (old.access, old.access_list));
        let stays = old_list.filter(|list| registry.access.of(*list) == listener.access);
        let (access, access_list) = match stays {
            Some(list) => list,
            None => registry.access.put(&mut tables.access, &listener.access)?,
        };
        let (index, is_new) =
            registry.listeners.put(*key).ok_or_else(|| no_room(map::LISTENER, 1, "listeners"))?;
        if is_new {
            let zeros = PerCpuValues::try_from(vec![ListenerStat::default(); cpus()?])?;
            tables.listener_stat.set(index.index, zeros, 0)?;
            tables.limits().begin(index)?;
        }
        let bandwidth = registry.bandwidths.put(tables.limits(), index, listener)?;
        tables.limits().put(index, &listener.limits)?;
        let record = Listener {
            pool,
            idle_timeout: listener.idle_timeout.get(),
            access,
            access_list,
            bandwidth,
            service: service(key),
            state: ENTRY_ACTIVE,
            kind: if listener.http.is_some() { LISTENER_LAYER7 } else { LISTENER_FORWARD },
            when_down: when_down_number(listener.when_down),
            reserved: [0; 1],
            id: listener.id.into_bytes(),
            load_balancer_id: listener.load_balancer.into_bytes(),
            name: name_bytes(listener.name.as_str()),
            load_balancer: name_bytes(listener.load_balancer_name.as_str()),
        };
        tables.listener.set(index.index, record, 0)?;
        tables.service.insert(record.service, index, 0).context("ek_service")?;
        if let (None, Some(old_list)) = (stays, old_list) {
            registry.changed_lists.note(index, &listener.access);
            registry.access.remove(&mut tables.access, old_list)?;
        }
        registry.idle.set(index, listener.idle_timeout.duration());
        registry.served.listeners.insert(*key, listener.clone());
        Ok(())
    }

    fn remove_listener(&mut self, key: &ListenerKey) -> Result<()> {
        self.tables.service.remove(&service(key)).context("ek_service")?;
        self.registry.served.listeners.remove(key);
        if let Some(index) = self.registry.listeners.remove(key) {
            let record = self.tables.listener.get(&index.index, 0)?;
            self.tables.listener.set(index.index, Listener { state: ENTRY_REMOVED, ..record }, 0)?;
        }
        Ok(())
    }

    fn remove_pool(&mut self, id: PoolId) -> Result<()> {
        self.registry.served.pools.remove(&id);
        if let Some(index) = self.registry.pools.remove(&id) {
            let record = self.tables.pool.get(index).context("ek_pool")?;
            let (first, count, _) = Pool::parts_of(record.block().get());
            record.block().set(0);
            record.state().set(ENTRY_REMOVED);
            self.registry.slots.give_back(first, count);
            self.remove_backends(index, |_| true)?;
        }
        Ok(())
    }
}

fn cpus() -> Result<usize> {
    nr_cpus().map_err(|(what, error)| Error::Unfit(format!("{what}: {error}")))
}

#[cfg(test)]
mod tests;
