//! Schedulers and stickiness, against plain models.

use std::{collections::HashMap, net::IpAddr};

use proptest::prelude::*;
use xdp_ebpf::{
    abi::{
        ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_ROUND_ROBIN, ALGORITHM_SOURCE_HASH, Backend, BackendIndex16,
        ENTRY_ACTIVE, ENTRY_REMOVED, HEALTH_DOWN, HEALTH_UP, Pool, PoolIndex, Slot, SlotIndex, source_slot,
    },
    address::MappedAddress,
    host::HostTables,
    schedule::pick,
    verdict::Event,
};

use crate::world::mapped;

/// One pool of backends with these weights.
fn pool(algorithm: u8, weights: &[u16]) -> HostTables {
    let mut tables = HostTables::new(&[[100, 64, 0, 1].into()], 20_000, 64, 16);
    for (index, &weight) in weights.iter().enumerate() {
        tables.slots.push(Slot { backend: BackendIndex16::new(index as u16), weight });
        let address = mapped([192, 0, 2, index as u8].into());
        let (pool, state, health) = (PoolIndex::new(0), ENTRY_ACTIVE, HEALTH_UP);
        tables.backends.push(Backend {
            address,
            port: 80,
            weight,
            pool,
            state,
            health,
            ..Backend::default()
        });
    }
    let pool = tables.pools.shared(0).unwrap();
    pool.block().set(Pool::block_of(SlotIndex::new(0), weights.len() as u32, algorithm));
    tables
}

fn picked(tables: &HostTables, source: impl Into<IpAddr>) -> usize {
    pick(tables, PoolIndex::new(0), mapped(source.into()), |_| true).unwrap().index as usize
}

proptest! {
    /// Connections come and go; every pick has the lowest load for its weight, in exact arithmetic.
    #[test]
    fn least_connections_is_exact(
        weights in prop::collection::vec(1..=256u16, 1..16),
        loads in prop::collection::vec(prop_oneof![0..50u32, any::<u32>()], 16),
        closings in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let tables = pool(ALGORITHM_LEAST_CONNECTIONS, &weights);
        let mut model: Vec<u128> = loads[..weights.len()].iter().map(|&load| load.into()).collect();
        for (backend, &load) in loads[..weights.len()].iter().enumerate() {
            tables.loads.shared(backend as u32).unwrap().value().set(load);
        }
        for closing in closings {
            let chosen = picked(&tables, [1, 2, 3, 4]);
            for (other, &load) in model.iter().enumerate() {
                prop_assert!(model[chosen] * u128::from(weights[other]) <= load * u128::from(weights[chosen]));
            }
            if model[chosen] < u128::from(u32::MAX) {
                tables.loads.shared(chosen as u32).unwrap().value().add(1);
                model[chosen] += 1;
            }
            let closes = closing.index(weights.len());
            if model[closes] > 0 {
                tables.loads.shared(closes as u32).unwrap().value().add(u32::MAX);
                model[closes] -= 1;
            }
        }
    }

    #[test]
    fn the_same_source_meets_the_same_slot_whatever_else_happens(sources in prop::collection::vec(any::<IpAddr>(), 1..50)) {
        let tables = pool(ALGORITHM_SOURCE_HASH, &[1; 7]);
        for &source in sources.iter().chain(&sources) {
            prop_assert_eq!(picked(&tables, source), source_slot(mapped(source), 7) as usize);
        }
    }

    /// Clients come at any time; members go up and down, away and back.
    #[test]
    fn a_client_stays_with_its_member_as_the_model_says(
        steps in prop::collection::vec((0..4u8, 0..30_000u32, 0..3usize, 0..6u8), 1..80),
    ) {
        const SECONDS: u32 = 60;
        let mut tables = pool(ALGORITHM_ROUND_ROBIN, &[1; 3]);
        tables.pools.shared(0).unwrap().sticky().set(SECONDS);
        let limit = SECONDS * tables.config.jiffies_hz;
        let mut kept: HashMap<u8, (usize, u32)> = HashMap::new();
        let mut turns = 0;
        for (client, passes, member, change) in steps {
            tables.now.set(tables.now.get().wrapping_add(passes));
            let backend = &mut tables.backends[member];
            match change {
                0 => backend.health = HEALTH_DOWN,
                1 => backend.weight = 0,
                2 => backend.state = ENTRY_REMOVED,
                _ => (backend.health, backend.weight, backend.state) = (HEALTH_UP, 1, ENTRY_ACTIVE),
            }
            let now = tables.now.get();
            let stays = kept.get(&client).copied().filter(|&(member, opened)| {
                let backend = &tables.backends[member];
                let takes = backend.health == HEALTH_UP && backend.weight > 0 && backend.state == ENTRY_ACTIVE;
                takes && now.wrapping_sub(opened) < limit
            });
            let expected = stays.map_or_else(|| { turns += 1; (turns - 1) % 3 }, |(member, _)| member);
            prop_assert_eq!(picked(&tables, [198, 51, 100, client]), expected);
            kept.insert(client, (expected, now));
        }
    }
}

#[test]
fn members_that_are_level_take_turns() {
    let tables = pool(ALGORITHM_LEAST_CONNECTIONS, &[1; 4]);
    let picks: Vec<usize> = (0..8).map(|_| picked(&tables, [1, 2, 3, 4])).collect();
    assert_eq!(picks, [0, 1, 2, 3, 0, 1, 2, 3]);
}

#[test]
fn an_empty_pool_is_refused_by_name() {
    for algorithm in [ALGORITHM_ROUND_ROBIN, ALGORITHM_SOURCE_HASH, ALGORITHM_LEAST_CONNECTIONS] {
        let tables = pool(algorithm, &[]);
        assert_eq!(
            pick(&tables, PoolIndex::new(0), MappedAddress::v6([1; 16]), |_| true),
            Err(Event::DropNoMember)
        );
    }
}
