//! What the maps hold, by the model's keys: which pool, listener and backend has which index, which slots are taken,
//! and what they amount to. Rebuilt from the maps when a process takes over. Next: `apply`, which changes
//! both.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use model::{
    algorithm::Algorithm,
    maglev,
    object::{ListenerId, LoadBalancerId, PoolId},
    schedule::{Candidate, Health, smooth_wrr, taking_part},
    served::{self, ListenerKey, OnDown, Protocol, Served, WhenDown},
    value::{Name, Number, Port, Seconds, StickyMinutes, Weight},
};
use xdp_ebpf::abi::{
    ACCESS_OPEN, ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_ROUND_ROBIN, ALGORITHM_SOURCE_HASH, Backend,
    BackendIndex, ENTRY_ACTIVE, ENTRY_FREE, ENTRY_REMOVED, HEALTH_UNCHECKED, ListenerIndex, MAX_BACKENDS,
    MAX_LISTENERS, MAX_POOLS, MAX_SLOTS, NAME_LEN, ON_DOWN_KEEP, ON_DOWN_RESET, Pool, PoolIndex, Service,
    Slot, WHEN_DOWN_DROP, WHEN_DOWN_RESET, name_str,
};

use super::{
    access::AccessLists,
    expiry::IdleTimeouts,
    health::read,
    indexes::Indexes,
    limits::Bandwidths,
    mapped::{endpoint, mapped, unmapped},
    revocation::ChangedLists,
    slots::SlotRanges,
    tables::Tables,
};
use crate::dataplane::error::Result;
use crate::health::judge::Verdict;

/// Stands in `ek_listener` for the pool of an HTTP listener that has none.
pub const NO_POOL: PoolIndex = PoolIndex::new(u32::MAX);

/// Indexes by identity, and the model that the maps implement.
pub struct Registry {
    /// `ek_pool`, by id.
    pub pools: Indexes<PoolId, PoolIndex>,
    /// `ek_listener`, by what it listens on.
    pub listeners: Indexes<ListenerKey, ListenerIndex>,
    /// `ek_backend`, by pool index and address.
    pub backends: Indexes<(PoolIndex, SocketAddr), BackendIndex>,
    /// `ek_slot`.
    pub slots: SlotRanges,
    /// `ek_access`.
    pub access: AccessLists,
    /// Those of its lists that the sweeper has yet to hold sessions against.
    pub changed_lists: ChangedLists,
    /// `ek_bandwidth`.
    pub bandwidths: Bandwidths,
    /// Idle timeouts by listener index, removed listeners' included.
    pub idle: IdleTimeouts,
    /// What the maps have the XDP program serve.
    pub served: Served,
}

impl Registry {
    /// For empty maps.
    pub fn empty() -> Self {
        Self {
            pools: Indexes::new(MAX_POOLS),
            listeners: Indexes::new(MAX_LISTENERS),
            backends: Indexes::new(MAX_BACKENDS),
            slots: SlotRanges::new(MAX_SLOTS),
            access: AccessLists::default(),
            changed_lists: ChangedLists::default(),
            bandwidths: Bandwidths::default(),
            idle: IdleTimeouts::default(),
            served: Served::default(),
        }
    }

    /// Reads the maps. What a process that ended midway left half done appears as something that needs to be put again.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn from_maps(tables: &mut Tables) -> Result<Self> {
        let mut registry = Self::empty();
        let mut pools = registry.adopt_pools(tables);
        registry.adopt_backends(tables, &mut pools);
        registry.forget_unfinished_pools(tables, &mut pools);
        registry.served.pools = pools.into_iter().map(|(id, pool)| (id, Arc::new(pool))).collect();
        registry.served.vips = tables.addresses.vips().collect();
        registry.adopt_access_lists(tables)?;
        registry.adopt_listeners(tables)?;
        Ok(registry)
    }

    fn adopt_pools(&mut self, tables: &Tables) -> BTreeMap<PoolId, served::Pool> {
        let mut pools = BTreeMap::new();
        for (index, record) in tables.pool.iter() {
            let pool = record.snapshot();
            if pool.state == ENTRY_FREE {
                continue;
            }
            let id = PoolId::from_bytes(pool.id);
            self.pools.adopt(id, index);
            let (first, count, number) = Pool::parts_of(pool.block);
            if !self.slots.adopt(first, count) {
                record.block().set(0);
            }
            if pool.state == ENTRY_ACTIVE {
                let found = served::Pool {
                    name: name(&pool.name),
                    algorithm: algorithm(number, pool.sticky),
                    drain_timeout: seconds(pool.drain_timeout),
                    on_down: if pool.on_down == ON_DOWN_RESET { OnDown::Reset } else { OnDown::Keep },
                    ..served::Pool::default()
                };
                pools.insert(id, found);
            } else {
                self.pools.remove(&id);
            }
        }
        pools
    }

    fn adopt_backends(&mut self, tables: &Tables, pools: &mut BTreeMap<PoolId, served::Pool>) {
        let ids: HashMap<PoolIndex, PoolId> = self.pools.iter().map(|(id, index)| (index, *id)).collect();
        for (index, record) in tables.backend.iter() {
            let backend = record.snapshot();
            if backend.state == ENTRY_FREE {
                continue;
            }
            let address = endpoint(backend.address, backend.port);
            self.backends.adopt((backend.pool, address), index);
            let pool = ids.get(&backend.pool).and_then(|id| pools.get_mut(id));
            match (pool, Weight::new(backend.weight.into())) {
                (Some(pool), Ok(weight)) if backend.state == ENTRY_ACTIVE => {
                    // The maps do not say the rest; what is served beside that is put again.
                    let member = served::Member { weight, backup: false, checked_at: address };
                    pool.members.insert(address, member);
                }
                _ => {
                    record.state().set(ENTRY_REMOVED);
                    self.backends.remove(&(backend.pool, address));
                }
            }
        }
    }

    /// A pool whose slots are not what its members amount to counts as one without members, and so does one whose
    /// members were checked: the maps do not say how.
    fn forget_unfinished_pools(&self, tables: &Tables, pools: &mut BTreeMap<PoolId, served::Pool>) {
        for (id, pool) in pools {
            let Some(index) = self.pools.get(id) else { continue };
            let Some(record) = tables.pool.get(index) else { continue };
            let (first, count, _) = Pool::parts_of(record.block().get());
            let found: Vec<_> = (0..count)
                .map_while(|offset| tables.slot.get(first.plus(offset)))
                .map(|slot| slot.snapshot())
                .collect();
            let index_of = |member| self.backends.get(&(index, member));
            let is_checked = |member| {
                let record = index_of(member).and_then(|index| tables.backend.get(index));
                record.is_some_and(|record| record.health().get() != HEALTH_UNCHECKED)
            };
            let verdict_of =
                |member| tables.backend.get(index_of(member)?).and_then(|record| read(&record).taken_for());
            if slots_of(pool, index_of, verdict_of) != Some(found)
                || pool.members.keys().copied().any(is_checked)
            {
                pool.members.clear();
            }
        }
    }

    fn adopt_access_lists(&mut self, tables: &mut Tables) -> Result<()> {
        let mut used = BTreeMap::new();
        for record in tables.listener.iter() {
            let record = record?;
            if record.state != ENTRY_FREE && record.access != ACCESS_OPEN {
                used.insert(record.access_list, record.access);
            }
        }
        self.access = AccessLists::from_map(&mut tables.access, &used)?;
        Ok(())
    }

    fn adopt_listeners(&mut self, tables: &Tables) -> Result<()> {
        let mut in_service = HashMap::new();
        for entry in &tables.service {
            let (service, index) = entry?;
            in_service.insert(index, service);
        }
        for (index, record) in (0..).map(ListenerIndex::new).zip(tables.listener.iter()) {
            let record = record?;
            let Some(key) = listener_key(&record.service).filter(|_| record.state != ENTRY_FREE) else {
                continue;
            };
            self.listeners.adopt(key, index);
            self.idle.set(index, Duration::from_secs(record.idle_timeout.into()));
            self.bandwidths.adopt(index, &record);
            let pool = match record.pool {
                NO_POOL => Some(None),
                index => tables.pool.get(index).map(|pool| Some(PoolId::from_bytes(pool.snapshot().id))),
            };
            match (pool, seconds(record.idle_timeout)) {
                (Some(pool), Some(idle_timeout))
                    if record.state == ENTRY_ACTIVE && in_service.get(&index) == Some(&record.service) =>
                {
                    let listener = served::Listener {
                        id: ListenerId::from_bytes(record.id),
                        name: name(&record.name),
                        load_balancer: LoadBalancerId::from_bytes(record.load_balancer_id),
                        load_balancer_name: name(&record.load_balancer),
                        pool,
                        idle_timeout,
                        access: self.access.of((record.access, record.access_list)),
                        limits: tables.limits().of(index, &record),
                        when_down: when_down(record.when_down),
                        drains: false,
                        http: None,
                    };
                    self.served.listeners.insert(key, Arc::new(listener));
                }
                _ => {
                    self.listeners.remove(&key);
                }
            }
        }
        Ok(())
    }
}

/// The pool's slots as its algorithm reads them, by `index_of` each member: of those that take part by their weights and
/// by what they are taken for. `None` if a member has no index.
pub fn slots_of(
    pool: &served::Pool,
    index_of: impl Fn(SocketAddr) -> Option<BackendIndex>,
    verdict_of: impl Fn(SocketAddr) -> Option<Verdict>,
) -> Option<Vec<Slot>> {
    let slot = |(&member, settings): (&SocketAddr, &served::Member)| {
        let backend = index_of(member)?.narrow();
        Some(Slot { backend, weight: settings.weight.get() })
    };
    let slots: Vec<Slot> = pool.members.iter().map(slot).collect::<Option<_>>()?;
    let candidates = (0usize..).zip(&pool.members).map(|(key, (&member, settings))| Candidate {
        key,
        weight: settings.weight,
        backup: settings.backup,
        health: match verdict_of(member) {
            Some(Verdict::Up) => Health::Up,
            Some(Verdict::Down) => Health::Down,
            None => Health::Unknown,
        },
    });
    let mut taking_part = taking_part(candidates).into_iter().peekable();
    let members = (0usize..).zip(&pool.members).map(|(number, (&member, settings))| {
        let takes_part = taking_part.next_if_eq(&number).is_some();
        (member, if takes_part { settings.weight.get() } else { 0 })
    });
    let members: Vec<(SocketAddr, u16)> = members.collect();
    let weights = members.iter().map(|(_, weight)| *weight);
    let order = match pool.algorithm {
        Algorithm::WeightedRoundRobin(_) => smooth_wrr(&weights.collect::<Vec<_>>()),
        Algorithm::SourceHash => maglev::table(&members, maglev::size(members.len())),
        Algorithm::WeightedLeastConnections => {
            (0..).zip(weights).filter(|(_, weight)| *weight > 0).map(|(number, _)| number).collect()
        }
    };
    order.into_iter().map(|member| slots.get(member as usize).copied()).collect()
}

/// The algorithm's number in [`Pool::block`].
pub fn algorithm_number<R>(algorithm: &Algorithm<R>) -> u8 {
    match algorithm {
        Algorithm::WeightedRoundRobin(_) => ALGORITHM_ROUND_ROBIN,
        Algorithm::WeightedLeastConnections => ALGORITHM_LEAST_CONNECTIONS,
        Algorithm::SourceHash => ALGORITHM_SOURCE_HASH,
    }
}

/// [`Pool::sticky`].
pub fn sticky_seconds(algorithm: &Algorithm<Option<StickyMinutes>>) -> u32 {
    match algorithm {
        Algorithm::WeightedRoundRobin(Some(time)) => u32::from(time.get()) * 60,
        _ => 0,
    }
}

/// [`xdp_ebpf::abi::Pool::on_down`].
pub fn on_down_number(on_down: OnDown) -> u8 {
    match on_down {
        OnDown::Keep => ON_DOWN_KEEP,
        OnDown::Reset => ON_DOWN_RESET,
    }
}

/// [`xdp_ebpf::abi::Listener::when_down`].
pub fn when_down_number(when_down: WhenDown) -> u8 {
    match when_down {
        WhenDown::Drop => WHEN_DOWN_DROP,
        WhenDown::Reset => WHEN_DOWN_RESET,
    }
}

fn when_down(number: u8) -> WhenDown {
    if number == WHEN_DOWN_RESET { WhenDown::Reset } else { WhenDown::Drop }
}

fn algorithm(number: u8, sticky: u32) -> Algorithm<Option<StickyMinutes>> {
    match number {
        ALGORITHM_LEAST_CONNECTIONS => Algorithm::WeightedLeastConnections,
        ALGORITHM_SOURCE_HASH => Algorithm::SourceHash,
        _ => Algorithm::WeightedRoundRobin(StickyMinutes::new(sticky / 60).ok()),
    }
}

/// A time in a record; 0 is none.
fn seconds(number: u32) -> Option<Seconds> {
    Seconds::new(Duration::from_secs(number.into())).ok()
}

/// The name in a record.
fn name(bytes: &[u8; NAME_LEN]) -> Name {
    Name::new(name_str(bytes)).unwrap_or_default()
}

/// The record's service as the model has it; `None` for a protocol that the model does not know.
pub fn listener_key(service: &Service) -> Option<ListenerKey> {
    let protocol = Protocol::from_number(service.protocol)?;
    Some(ListenerKey { vip: unmapped(service.vip), port: Port::new(service.port.into()).ok()?, protocol })
}

/// The model's key as `ek_service` has it.
pub fn service(key: &ListenerKey) -> Service {
    Service::new(mapped(key.vip), key.port.get(), key.protocol.number())
}

/// The record of a member.
pub fn backend(pool: PoolIndex, member: SocketAddr, weight: Weight) -> Backend {
    Backend {
        address: mapped(member.ip()),
        port: member.port(),
        weight: weight.get(),
        pool,
        state: ENTRY_ACTIVE,
        health: HEALTH_UNCHECKED,
        ..Backend::default()
    }
}

#[cfg(test)]
mod tests;
