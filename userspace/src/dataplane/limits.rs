//! What limits a listener and its load balancer: their records in `ek_limit`, which has the listener's index, and in
//! `ek_bandwidth`, which all listeners of a load balancer share.

use std::collections::{HashMap, HashSet};

use model::{
    object::LoadBalancerId,
    served,
    value::{Megabits, Number},
};
use xdp_ebpf::{
    abi::{Bandwidth, Limit, Listener, ListenerIndex, MAX_LISTENERS, NO_BANDWIDTH},
    limit::{cost, depth},
};

use super::{indexes::Indexes, memory::Mapping};
use crate::dataplane::error::{Context, Result};

const BYTES_PER_MEGABIT: u64 = 125_000;
/// A bucket of bandwidth holds what comes in so many milliseconds: as long as a TCP rests that has lost too much (200 ms
/// in Linux). With half of that it gets half of the bandwidth, because it rests while the bucket overflows.
const BANDWIDTH_DEPTH: u64 = 250;
/// A bucket of new connections holds a second's.
const CONNECTIONS_DEPTH: u64 = 1000;

/// The maps.
#[derive(Clone, Copy)]
pub struct Maps<'a> {
    /// `ek_limit`.
    pub limit: &'a Mapping<Limit, ListenerIndex>,
    /// `ek_bandwidth`.
    pub bandwidth: &'a Mapping<Bandwidth>,
    /// Jiffies per second.
    pub hz: u32,
}

impl Maps<'_> {
    /// What a listener with this index and record is limited to.
    pub fn of(&self, index: ListenerIndex, record: &Listener) -> served::Limits {
        let limit = self.limit.get(index).map(|limit| limit.snapshot()).unwrap_or_default();
        let bandwidth = self.bandwidth.get(record.bandwidth);
        served::Limits {
            bandwidth: bandwidth.and_then(|record| Megabits::new(record.mbit().get()).ok()),
            connections: Number::new(limit.max_connections).ok(),
            connections_per_second: Number::new(limit.per_second).ok(),
        }
    }

    /// How many connections Layer 7 has closed at once because the listener with this index had too many.
    pub fn closed(&self, index: ListenerIndex) -> u64 {
        self.limit.get(index).map_or(0, |limit| limit.closed().get().into())
    }

    /// Forgets what a listener that had this index before has had.
    ///
    /// # Errors
    /// The map is too small.
    pub fn begin(&self, index: ListenerIndex) -> Result<()> {
        self.limit.get(index).context("ek_limit")?.write(Limit::default());
        Ok(())
    }

    /// Limits the connections of the listener with this index.
    ///
    /// # Errors
    /// The map is too small.
    pub fn put(&self, index: ListenerIndex, limits: &served::Limits) -> Result<()> {
        let record = self.limit.get(index).context("ek_limit")?;
        let per_second = limits.connections_per_second.map(|number| number.get());
        record.depth().set(depth(CONNECTIONS_DEPTH, self.hz));
        record.cost().set(per_second.map_or(0, |number| cost(number.into(), self.hz)));
        record.per_second().set(per_second.unwrap_or(0));
        record.max_connections().set(limits.connections.map_or(0, |number| number.get()));
        Ok(())
    }
}

/// Which load balancer has which index of `ek_bandwidth`.
pub struct Bandwidths {
    indexes: Indexes<LoadBalancerId, u32>,
    /// Who points there, by index in `ek_listener`; removed ones too, for their sessions are charged still.
    listeners: HashMap<ListenerIndex, u32>,
}

impl Default for Bandwidths {
    fn default() -> Self {
        Self { indexes: Indexes::new(MAX_LISTENERS), listeners: HashMap::new() }
    }
}

impl Bandwidths {
    /// Takes over what the record of the listener with this index says.
    pub fn adopt(&mut self, listener: ListenerIndex, record: &Listener) {
        if record.bandwidth < MAX_LISTENERS {
            let load_balancer = LoadBalancerId::from_bytes(record.load_balancer_id);
            self.indexes.adopt(load_balancer, record.bandwidth);
            self.listeners.insert(listener, record.bandwidth);
        }
    }

    /// The index to which the listener with this index is to point: [`Listener::bandwidth`]. The record there says
    /// what its load balancer may use.
    ///
    /// # Errors
    /// There is no room.
    pub fn put(&mut self, maps: Maps<'_>, listener: ListenerIndex, of: &served::Listener) -> Result<u32> {
        let Some(bandwidth) = of.limits.bandwidth else {
            self.listeners.remove(&listener);
            return Ok(NO_BANDWIDTH);
        };
        let (index, is_new) = self.indexes.put(of.load_balancer).context("ek_bandwidth is full")?;
        let record = maps.bandwidth.get(index).context("ek_bandwidth")?;
        if is_new {
            record.write(Bandwidth::default());
        }
        record.depth().set(depth(BANDWIDTH_DEPTH, maps.hz));
        record.cost().set(cost(u64::from(bandwidth.get()) * BYTES_PER_MEGABIT, maps.hz));
        record.mbit().set(bandwidth.get());
        self.listeners.insert(listener, index);
        Ok(index)
    }

    /// A full sweep has gone by, and the indexes of these listeners are free. So are those of load balancers to which
    /// no listener points.
    pub fn settle(&mut self, freed: &[ListenerIndex]) {
        for listener in freed {
            self.listeners.remove(listener);
        }
        let used: HashSet<u32> = self.listeners.values().copied().collect();
        let unused = self.indexes.iter().filter(|(_, index)| !used.contains(index));
        let unused: Vec<LoadBalancerId> = unused.map(|(load_balancer, _)| *load_balancer).collect();
        for load_balancer in unused {
            if !self.indexes.is_removed(&load_balancer) {
                self.indexes.remove(&load_balancer);
            }
        }
        self.indexes.settle(|index| used.contains(&index));
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use model::{
        access::Access,
        object::ListenerId,
        served::WhenDown,
        value::{Name, Seconds},
    };

    use super::*;

    const HZ: u32 = 250;

    fn listener(load_balancer: &str, bandwidth_mbit: Option<u32>) -> served::Listener {
        let bandwidth = bandwidth_mbit.map(Megabits::literal);
        served::Listener {
            id: ListenerId::of_names(&[load_balancer, "web"]),
            name: Name::new("web").unwrap(),
            load_balancer: LoadBalancerId::of_names(&[load_balancer]),
            load_balancer_name: Name::new(load_balancer).unwrap(),
            pool: None,
            idle_timeout: Seconds::literal(1),
            access: Access::default(),
            limits: served::Limits { bandwidth, ..served::Limits::default() },
            when_down: WhenDown::Drop,
            drains: false,
            http: None,
        }
    }

    #[test]
    fn a_load_balancers_listeners_share_and_an_index_goes_when_nobody_points_there() {
        let (limit, bandwidth) = (Mapping::of_zeros(8), Mapping::of_zeros(8));
        let maps = Maps { limit: &limit, bandwidth: &bandwidth, hz: HZ };
        let mut bandwidths = Bandwidths::default();
        let put = |bandwidths: &mut Bandwidths, index, load_balancer: &str, mbit| {
            bandwidths.put(maps, ListenerIndex::new(index), &listener(load_balancer, mbit))
        };
        let shop = put(&mut bandwidths, 0, "shop", Some(8)).unwrap();
        let store = put(&mut bandwidths, 1, "store", Some(9)).unwrap();
        assert_ne!(shop, store);
        bandwidth.get(shop).unwrap().spent().set(77);
        assert_eq!(put(&mut bandwidths, 2, "shop", Some(5)).unwrap(), shop);
        let record = bandwidth.get(shop).unwrap().snapshot();
        assert_eq!((record.mbit, record.spent), (5, 77), "what was spent stays spent");

        assert_eq!(put(&mut bandwidths, 0, "shop", None).unwrap(), NO_BANDWIDTH);
        for freed in [&[][..], &[], &[], &[ListenerIndex::new(2)], &[]] {
            assert_eq!(bandwidths.indexes.get(&LoadBalancerId::of_names(&["shop"])), Some(shop), "{freed:?}");
            bandwidths.settle(freed);
        }
        assert_eq!(put(&mut bandwidths, 3, "mart", Some(5)).unwrap(), shop, "it was free");
        assert_eq!(put(&mut bandwidths, 1, "store", Some(9)).unwrap(), store);
        assert_eq!(bandwidth.get(shop).unwrap().spent().get(), 0);
    }

    /// What the program does on several CPUs at the same moment: a bucket gives no more than it holds, but for a
    /// packet on each.
    #[test]
    fn cpus_together_take_no_more_than_there_is() {
        const THREADS: u64 = 4;
        const BYTES: u64 = 100;
        let record = Mapping::<Bandwidth>::of_zeros(1);
        let bucket = || record.get(0).unwrap();
        bucket().cost().set(cost(8 * BYTES_PER_MEGABIT, HZ));
        bucket().depth().set(depth(BANDWIDTH_DEPTH, HZ));
        let (start, brim) = (1 << 32, 8 * BYTES_PER_MEGABIT * BANDWIDTH_DEPTH / 1000);
        let barrier = Barrier::new(THREADS as usize);
        for round in 0..50 {
            // Long enough for the bucket to be full again.
            let now = start + round * 1000;
            let passed: u64 = thread::scope(|scope| {
                let take = || {
                    barrier.wait();
                    (0..5000).filter(|_| bucket().bucket().take(now, BYTES as u32)).count() as u64 * BYTES
                };
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(take)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert!((brim..=brim + THREADS * BYTES).contains(&passed), "{passed} of {brim}");
        }
    }
}
