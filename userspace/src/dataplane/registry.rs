//! What the maps hold, by the model's names: which pool, listener and backend has which index, which slots are taken,
//! and the model that they amount to. Rebuilt from the maps when a process takes over. Next: `apply`, which changes
//! both.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use anyhow::Result;
use xdp_ebpf::abi::{
    ACCESS_OPEN, ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_ROUND_ROBIN, ALGORITHM_SOURCE_HASH, Backend,
    BackendIndex, ENTRY_ACTIVE, ENTRY_FREE, ENTRY_REMOVED, HEALTH_UNCHECKED, MAX_BACKENDS, MAX_LISTENERS,
    MAX_POOLS, MAX_SLOTS, Pool, PoolIndex, Service, Slot, WHEN_DOWN_DROP, WHEN_DOWN_RESET, name_str,
};

use super::{
    access::AccessLists,
    guests::ChangedLists,
    health::taken_for,
    indexes::Indexes,
    limits::Bandwidths,
    slots::SlotRanges,
    tables::Tables,
    wide::{endpoint, narrow, wide},
};
use crate::{
    health::judge::Verdict,
    maglev,
    model::{self, Algorithm, ListenerKey, Model, Protocol, WhenDown},
    schedule::smooth_wrr,
};

/// Stands in `ek_listener` for the pool of an HTTP listener that has none.
pub const NO_POOL: PoolIndex = PoolIndex::new(u32::MAX);

/// Indexes by identity, and the model that the maps implement.
pub struct Registry {
    /// `ek_pool`, by name.
    pub pools: Indexes<String>,
    /// `ek_listener`, by what it listens on.
    pub listeners: Indexes<ListenerKey>,
    /// `ek_backend`, by pool index and address.
    pub backends: Indexes<(u32, SocketAddr)>,
    /// `ek_slot`.
    pub slots: SlotRanges,
    /// `ek_access`.
    pub access: AccessLists,
    /// Those of its lists that the sweeper has yet to hold sessions against.
    pub changed_lists: ChangedLists,
    /// `ek_bandwidth`.
    pub bandwidths: Bandwidths,
    /// Idle timeouts by listener index, removed listeners' included.
    pub idle: HashMap<u16, Duration>,
    /// What is configured.
    pub model: Model,
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
            idle: HashMap::new(),
            model: Model::default(),
        }
    }

    /// Reads the maps. What a process that ended midway left half done appears in the model as something that needs
    /// to be put again.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn from_maps(tables: &mut Tables) -> Result<Self> {
        let mut registry = Self::empty();
        registry.adopt_pools(tables);
        registry.adopt_backends(tables);
        registry.forget_unfinished_pools(tables);
        registry.model.vips = tables.addresses.vips().collect();
        registry.adopt_access_lists(tables)?;
        registry.adopt_listeners(tables)?;
        Ok(registry)
    }

    fn adopt_pools(&mut self, tables: &Tables) {
        for (index, record) in tables.pool.iter() {
            let pool = record.snapshot();
            if pool.state == ENTRY_FREE {
                continue;
            }
            let name = name_str(&pool.name).to_owned();
            self.pools.adopt(name.clone(), index);
            let (first, count, number) = Pool::parts_of(pool.block);
            if !self.slots.adopt(first.into(), count) {
                record.block().set(0);
            }
            if pool.state == ENTRY_ACTIVE {
                let algorithm = algorithm(number, pool.sticky);
                let drain_timeout = Some(pool.drain_timeout).filter(|&seconds| seconds > 0);
                let drain_timeout = drain_timeout.map(|seconds| Duration::from_secs(seconds.into()));
                self.model
                    .pools
                    .insert(name, model::Pool { algorithm, drain_timeout, ..model::Pool::default() });
            } else {
                self.pools.remove(&name);
            }
        }
    }

    fn adopt_backends(&mut self, tables: &Tables) {
        let names: HashMap<u32, String> =
            self.pools.iter().map(|(name, index)| (index, name.clone())).collect();
        for (index, record) in tables.backend.iter() {
            let backend = record.snapshot();
            if backend.state == ENTRY_FREE {
                continue;
            }
            let address = endpoint(backend.address, backend.port);
            self.backends.adopt((backend.pool.into(), address), index);
            let pool = names.get(&backend.pool.into()).and_then(|name| self.model.pools.get_mut(name));
            match pool {
                Some(pool) if backend.state == ENTRY_ACTIVE => {
                    pool.members.insert(address, backend.weight);
                }
                _ => {
                    record.state().set(ENTRY_REMOVED);
                    self.backends.remove(&(backend.pool.into(), address));
                }
            }
        }
    }

    /// A pool whose slots are not what its members amount to counts as one without members, and so does one whose
    /// members were checked: the maps do not say how.
    fn forget_unfinished_pools(&mut self, tables: &Tables) {
        for (name, pool) in &mut self.model.pools {
            let Some(index) = self.pools.get(name) else { continue };
            let Some(record) = tables.pool.get(index) else { continue };
            let (first, count, _) = Pool::parts_of(record.block().get());
            let found: Vec<_> = (first.index..first.index.saturating_add(count))
                .filter_map(|slot| tables.slot.get(slot))
                .map(|slot| slot.snapshot())
                .collect();
            let index_of = |member| self.backends.get(&(index, member));
            let is_checked = |member| {
                let record = index_of(member).and_then(|index| tables.backend.get(index));
                record.is_some_and(|record| record.health().get() != HEALTH_UNCHECKED)
            };
            if slots_of(tables, pool, index_of) != Some(found) || pool.members.keys().copied().any(is_checked)
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
        for entry in tables.service.iter() {
            let (service, index) = entry?;
            in_service.insert(u32::from(index), service);
        }
        for (index, record) in (0..).zip(tables.listener.iter()) {
            let record = record?;
            let Some(key) = listener_key(&record.service).filter(|_| record.state != ENTRY_FREE) else {
                continue;
            };
            self.listeners.adopt(key, index);
            self.idle.insert(index as u16, Duration::from_secs(record.idle_timeout.into()));
            self.bandwidths.adopt(index, &record);
            let pool = match record.pool {
                NO_POOL => Some(None),
                index => {
                    tables.pool.get(index.into()).map(|pool| Some(name_str(&pool.snapshot().name).to_owned()))
                }
            };
            match pool {
                Some(pool)
                    if record.state == ENTRY_ACTIVE && in_service.get(&index) == Some(&record.service) =>
                {
                    let listener = model::Listener {
                        name: name_str(&record.name).to_owned(),
                        load_balancer: name_str(&record.load_balancer).to_owned(),
                        pool,
                        idle_timeout: Duration::from_secs(record.idle_timeout.into()),
                        access: self.access.of((record.access, record.access_list)),
                        limits: tables.limits().of(index, &record),
                        when_down: when_down(record.when_down),
                        http: None,
                    };
                    self.model.listeners.insert(key, listener);
                }
                _ => {
                    self.listeners.remove(&key);
                }
            }
        }
        Ok(())
    }
}

/// The pool's slots as its algorithm reads them, by `index_of` each member, without members that have no weight and
/// those that are not known to be well, unless nobody is: then those of which nothing is known. `None` if a member has
/// no index.
pub fn slots_of(
    tables: &Tables,
    pool: &model::Pool,
    index_of: impl Fn(SocketAddr) -> Option<u32>,
) -> Option<Vec<Slot>> {
    let (mut verdicts, mut slots) = (Vec::new(), Vec::new());
    for (&member, &weight) in &pool.members {
        let index = index_of(member)?;
        verdicts.push(taken_for(&tables.backend.get(index)?));
        slots.push(Slot { backend: BackendIndex::new(index).narrow(), weight });
    }
    let members = pool.members.iter().zip(verdicts);
    let is_up = |((_, weight), verdict): ((_, &u16), _)| *weight > 0 && verdict == Some(Verdict::Up);
    let wanted = members.clone().any(is_up).then_some(Verdict::Up);
    let weight = |weight, verdict| if verdict == wanted { weight } else { 0 };
    let members: Vec<_> = members.map(|((member, &of), verdict)| (*member, weight(of, verdict))).collect();
    let weights = members.iter().map(|(_, weight)| *weight);
    let order = match pool.algorithm {
        Algorithm::WeightedRoundRobin { .. } => smooth_wrr(&weights.collect::<Vec<_>>()),
        Algorithm::SourceHash => maglev::table(&members, maglev::size(members.len())),
        Algorithm::WeightedLeastConnections => {
            (0..).zip(weights).filter(|(_, weight)| *weight > 0).map(|(number, _)| number).collect()
        }
    };
    order.into_iter().map(|member| slots.get(member as usize).copied()).collect()
}

/// The algorithm's number in [`Pool::block`].
pub fn algorithm_number(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::WeightedRoundRobin { .. } => ALGORITHM_ROUND_ROBIN,
        Algorithm::WeightedLeastConnections => ALGORITHM_LEAST_CONNECTIONS,
        Algorithm::SourceHash => ALGORITHM_SOURCE_HASH,
    }
}

/// [`Pool::sticky`].
pub fn sticky_seconds(algorithm: Algorithm) -> u32 {
    match algorithm {
        Algorithm::WeightedRoundRobin { sticky: Some(time) } => time.as_secs().try_into().unwrap_or(u32::MAX),
        _ => 0,
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

fn algorithm(number: u8, sticky: u32) -> Algorithm {
    match number {
        ALGORITHM_LEAST_CONNECTIONS => Algorithm::WeightedLeastConnections,
        ALGORITHM_SOURCE_HASH => Algorithm::SourceHash,
        _ => {
            let sticky = (sticky > 0).then(|| Duration::from_secs(sticky.into()));
            Algorithm::WeightedRoundRobin { sticky }
        }
    }
}

/// The record's service as the model has it; `None` for a protocol that the model does not know.
pub fn listener_key(service: &Service) -> Option<ListenerKey> {
    let protocol = Protocol::from_number(service.protocol)?;
    Some(ListenerKey { vip: narrow(service.vip), port: service.port, protocol })
}

/// The model's key as `ek_service` has it.
pub fn service(key: &ListenerKey) -> Service {
    Service::new(wide(key.vip), key.port, key.protocol.number())
}

/// The record of a member.
pub fn backend(pool: u32, member: SocketAddr, weight: u16) -> Backend {
    Backend {
        address: wide(member.ip()),
        port: member.port(),
        weight,
        pool: PoolIndex::new(pool),
        state: ENTRY_ACTIVE,
        health: HEALTH_UNCHECKED,
        ..Backend::default()
    }
}
