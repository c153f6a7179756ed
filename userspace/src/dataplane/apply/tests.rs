//! Random models, applied one after the other to real hash and array maps: what the XDP program would read is what
//! the model says, and an index that a session refers to never changes hands. Skipped without the right to make maps.

use std::{collections::HashMap as Counts, net::IpAddr, sync::Arc};

use aya::{
    Pod,
    maps::{
        Array, HashMap, Map, MapData, MapError, PerCpuArray, SockHash,
        lpm_trie::{Key, LpmTrie},
        xdp::DevMap,
    },
};
use ipnet::IpNet;
use proptest::{collection, prelude::*, sample::Index};
use xdp_ebpf::{
    abi::{
        ACCESS_ALLOW, ACCESS_OPEN, ALGORITHM_LEAST_CONNECTIONS, AccessKey, Config, ENTRY_FREE, HEALTH_DOWN,
        HEALTH_UP, MAX_LISTENERS, MAX_SLOTS, PoolIndex, Service, Slot,
    },
    shared::Shared,
};

use super::*;
use crate::{
    dataplane::{
        addresses,
        halves::Halves,
        memory::Mapping,
        sessions::Sessions,
        wide::{endpoint, wide},
    },
    health::check::{Health, Probe},
    model::{Access, Algorithm, Limits, Model, Protocol, WhenDown},
};

const ENTRIES: u32 = 256;
/// `linux/bpf.h`; tries want it.
const BPF_F_NO_PREALLOC: u32 = 1;

/// Empty maps; `None` without the right to make them.
fn tables() -> Option<Tables> {
    let may = caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_BPF).unwrap();
    may.then(|| new_tables().unwrap())
}

fn new_tables() -> Result<Tables, MapError> {
    fn array<T: Pod>() -> Result<Array<MapData, T>, MapError> {
        Array::create(ENTRIES, 0)
    }
    const DEVMAP: u32 = 14;
    const SOCKHASH: u32 = 18;
    let key = size_of::<Service>() as u32;
    let socket =
        MapData::create(aya_obj::Map::new_from_params(SOCKHASH, key, 4, ENTRIES, 0), "socket", None)?;
    let device = MapData::create(aya_obj::Map::new_from_params(DEVMAP, 4, 8, ENTRIES, 0), "device", None)?;
    Ok(Tables {
        config: Mapping::of_zeros(1),
        addresses: addresses::tests::on_plain_memory(),
        service: HashMap::create(ENTRIES, 0)?,
        access: LpmTrie::create(ENTRIES, BPF_F_NO_PREALLOC)?,
        listener: array()?,
        pool: Mapping::of_zeros(ENTRIES),
        cursor: array()?,
        slot: Mapping::of_zeros(MAX_SLOTS),
        backend: Mapping::of_zeros(ENTRIES),
        load: Mapping::of_zeros(ENTRIES),
        backend_stat: PerCpuArray::create(ENTRIES, 0)?,
        listener_stat: PerCpuArray::create(ENTRIES, 0)?,
        limit: Arc::new(Mapping::of_zeros(ENTRIES)),
        bandwidth: Mapping::of_zeros(ENTRIES),
        sessions: Sessions {
            config: Config::default(),
            forward: Halves { v4: Mapping::of_zeros(1), v6: Mapping::of_zeros(1) },
            reverse: Halves { v4: Mapping::of_zeros(1), v6: Mapping::of_zeros(1) },
            plane: Mapping::of_zeros(1),
            port: Mapping::of_zeros(1),
        },
        interface: array()?,
        device: DevMap::try_from(Map::DevMap(device))?,
        counter: PerCpuArray::create(1, 0)?,
        socket: SockHash::try_from(Map::SockHash(socket))?,
    })
}

/// An address of either family that begins with the same three bits.
fn beginning_with(bits: u8, is_v6: bool, rest: u8) -> IpAddr {
    let bytes = |mut bytes: [u8; 16]| {
        (bytes[0], bytes[15]) = (bits << 5, rest);
        bytes.into()
    };
    if is_v6 { bytes([0; 16]) } else { [bits << 5, 0, 0, rest].into() }
}

/// Short prefixes of few networks, so that they nest.
fn accesses() -> impl Strategy<Value = Access> {
    let network = |(bits, is_v6), length| IpNet::new(beginning_with(bits, is_v6, 0), length).unwrap().trunc();
    let networks = collection::btree_map((0..8u8, any::<bool>()), (0..=3u8, any::<bool>()), 0..5);
    (networks, any::<bool>()).prop_map(move |(networks, closed)| {
        let mut access = Access { allow: closed.then(Default::default), ..Access::default() };
        for (bits, (length, allowed)) in networks {
            let network = network(bits, length);
            let known =
                access.deny.contains(&network) || access.allow.iter().flatten().any(|n| *n == network);
            match allowed {
                _ if known => {}
                true => drop(access.allow.get_or_insert_default().insert(network)),
                false => drop(access.deny.insert(network)),
            }
        }
        // That says what goes without saying; whoever reads the map may take it for that.
        if access.allow.is_some() {
            access.deny.remove(&"0.0.0.0/0".parse().unwrap());
        }
        access
    })
}

/// Whether a client gets in, by the lists alone.
fn may(access: &Access, client: IpAddr) -> bool {
    let allowed = access.allow.iter().flatten().map(|network| (network, true));
    let all = allowed.chain(access.deny.iter().map(|network| (network, false)));
    let longest =
        all.filter(|(network, _)| network.contains(&client)).max_by_key(|(network, _)| network.prefix_len());
    longest.map_or(access.allow.is_none(), |(_, may)| may)
}

/// A listener's name with its limits, so that those with the same name share them, and what it does when it is down.
fn limits() -> impl Strategy<Value = (u8, Limits, WhenDown)> {
    (0..3u8, prop::sample::select(&WhenDown::ALL[..])).prop_map(|(name, when_down)| {
        let some = |bit: u8, number| (name & bit != 0).then_some(number);
        let (connections, connections_per_second) = (some(1, 7), some(2, 9));
        (name, Limits { bandwidth_mbit: Some(10), connections, connections_per_second }, when_down)
    })
}

fn models() -> impl Strategy<Value = Model> {
    let algorithm = prop_oneof![
        Just(Algorithm::WeightedRoundRobin { sticky: None }),
        Just(Algorithm::WeightedRoundRobin { sticky: Some(Duration::from_secs(60)) }),
        Just(Algorithm::WeightedLeastConnections),
        Just(Algorithm::SourceHash),
    ];
    let members = collection::btree_map(0..5u8, 0..=4u16, 0..5);
    let pools = collection::btree_map(0..4u8, (members, algorithm), 1..4);
    let listeners = collection::vec((0..3u8, 80..83u16, any::<Index>(), 1..3u64, accesses(), limits()), 0..6);
    (pools, listeners).prop_map(|(pools, listeners)| {
        let mut model = Model::default();
        for (name, (members, algorithm)) in pools {
            let member = |(host, weight): (u8, u16)| {
                let v6 = [0x2001, 0xDB8, 2, 0, 0, 0, 0, host.into()].into();
                let address = if host % 2 == 0 { IpAddr::from([192, 0, 2, host]) } else { v6 };
                (SocketAddr::new(address, 80), weight)
            };
            let members = members.into_iter().map(member).collect();
            let drain_timeout = (name % 2 == 1).then_some(Duration::from_secs(9));
            let pool = model::Pool { members, algorithm, health: None, drain_timeout, http: None };
            model.pools.insert(format!("pool{name}"), pool);
        }
        let names: Vec<_> = model.pools.keys().cloned().collect();
        for (vip, port, pool, seconds, access, (name, limits, when_down)) in listeners {
            let v6 = [0x2001, 0xDB8, 0xA, 0, 0, 0, 0, vip.into()].into();
            let vip = if vip % 2 == 0 { IpAddr::from([203, 0, 113, vip]) } else { v6 };
            model.vips.insert(vip);
            let listener = model::Listener {
                access,
                limits,
                when_down,
                name: format!("web{name}"),
                load_balancer: "shop".into(),
                pool: Some(pool.get(&names).clone()),
                idle_timeout: Duration::from_secs(seconds),
                http: None,
            };
            model.listeners.insert(ListenerKey { vip, port, protocol: Protocol::Tcp }, listener);
        }
        model
    })
}

/// Where the XDP program would send new connections of a pool, and how often in one round; for least connections,
/// once for every unit of weight.
fn picks(tables: &Tables, pool: PoolIndex) -> Counts<SocketAddr, usize> {
    let (base, count, algorithm) = Pool::parts_of(tables.pool.get(pool.into()).unwrap().block().get());
    let mut picks = Counts::new();
    for slot in base.index..base.index + count {
        let Slot { backend, weight } = tables.slot.get(slot).unwrap().snapshot();
        let backend = tables.backend.get(backend.into()).unwrap().snapshot();
        assert_eq!((backend.state, backend.pool), (ENTRY_ACTIVE, pool));
        assert_eq!(backend.weight, weight);
        let times = if algorithm == ALGORITHM_LEAST_CONNECTIONS { weight.into() } else { 1 };
        *picks.entry(endpoint(backend.address, backend.port)).or_default() += times;
    }
    picks
}

fn check(applier: &mut Applier, model: &Model) {
    let tables = &mut applier.tables;
    assert_eq!(&applier.registry.model, model);
    let services: Vec<_> = tables.service.iter().map(Result::unwrap).collect();
    assert_eq!(services.len(), model.listeners.len());
    for (key, listener) in &model.listeners {
        let index = tables.service.get(&service(key), 0).unwrap().into();
        let record = tables.listener.get(&index, 0).unwrap();
        assert_eq!(u64::from(record.idle_timeout), listener.idle_timeout.as_secs());
        let clients = (0..8).flat_map(|bits| [false, true].map(|is_v6| beginning_with(bits, is_v6, 1)));
        for client in clients {
            let data = AccessKey { list: record.access_list.to_be_bytes(), address: wide(client) };
            let value = tables.access.get(&Key::new(160, data), 0).unwrap_or(record.access);
            let gets_in = record.access == ACCESS_OPEN || value == ACCESS_ALLOW;
            assert_eq!(gets_in, may(&listener.access, client), "{client} of {:?}", listener.access);
        }
        let pool = &model.pools[listener.pool.as_ref().unwrap()];
        let members = &pool.members;
        let picks = picks(tables, record.pool);
        let sum: usize = picks.values().sum();
        let weights: usize = members.values().map(|&weight| usize::from(weight)).sum();
        assert_eq!(sum == 0, weights == 0);
        for (member, &weight) in members {
            let share = picks.get(member).copied().unwrap_or(0);
            // Exact but for the hash table, whose size is a prime.
            let off = (share * weights).abs_diff(usize::from(weight) * sum);
            let exact = pool.algorithm != Algorithm::SourceHash;
            assert!(off <= if exact { 0 } else { 2 * weights }, "{member} of {picks:?}");
        }
    }
    assert_eq!(tables.addresses.vips().collect::<std::collections::BTreeSet<_>>(), model.vips);
    assert_eq!(&Registry::from_maps(tables).unwrap().model, model, "what another process would find");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_maps_follow_the_model(steps in collection::vec((models(), any::<Index>(), 0..4u8), 1..8)) {
        let Some(tables) = tables() else { return Ok(()) };
        let mut applier = Applier { tables, registry: Registry::empty() };
        let mut session = None;
        for (model, pick, passes) in steps {
            applier.follow(&model).unwrap();
            check(&mut applier, &model);
            let snapshot = |(index, record): (u32, Shared<'_, Backend>)| (index, record.snapshot());
            let there: Vec<_> =
                applier.tables.backend.iter().map(snapshot).filter(|(_, b)| b.state != ENTRY_FREE).collect();
            if session.is_none() && !there.is_empty() {
                session = Some(*pick.get(&there));
            }
            for _ in 0..passes {
                let backends = session.iter().map(|&(index, _)| (index as u16, 1)).collect();
                applier.settle(&Census { backends, ..Census::default() }).unwrap();
            }
            if let Some((index, backend)) = session {
                let now = applier.tables.backend.get(index).unwrap().snapshot();
                prop_assert_eq!((now.address, now.port, now.pool), (backend.address, backend.port, backend.pool));
            }
            check(&mut applier, &model);
        }
        applier.follow(&Model::default()).unwrap();
        for _ in 0..6 {
            applier.settle(&Census::default()).unwrap();
        }
        prop_assert!(applier.tables.backend.iter().all(|(_, b)| b.snapshot() == Backend::default()));
        prop_assert!(applier.tables.pool.iter().all(|(_, p)| p.snapshot().state == ENTRY_FREE));
        prop_assert_eq!(applier.registry.slots.take(1 << 16), Some(0), "every slot is free again");
    }
}

/// `count` members with these weights.
fn pool(weights: &[u16]) -> model::Pool {
    let member = |(host, &weight): (u8, &u16)| (SocketAddr::from(([192, 0, 2, host], 80)), weight);
    model::Pool { members: (1..).zip(weights).map(member).collect(), ..model::Pool::default() }
}

fn listener(port: u16) -> (ListenerKey, model::Listener) {
    let listener = model::Listener {
        access: Access::default(),
        limits: Limits::default(),
        when_down: WhenDown::default(),
        name: "web".into(),
        load_balancer: "shop".into(),
        pool: Some("web".into()),
        idle_timeout: Duration::from_secs(1),
        http: None,
    };
    (ListenerKey { vip: [203, 0, 113, 1].into(), port, protocol: Protocol::Tcp }, listener)
}

#[test]
fn a_pool_that_finds_no_slots_stays_as_it_was() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    applier.apply(&Change::PutPool("web".into(), pool(&[1, 2]))).unwrap();
    applier.registry.slots.take(MAX_SLOTS - 3 - 4).unwrap();
    let records = |applier: &Applier| {
        let backends: Vec<_> = applier.tables.backend.iter().map(|(_, record)| record.snapshot()).collect();
        (backends, applier.tables.pool.get(0).unwrap().snapshot().block, applier.registry.model.clone())
    };
    let before = records(&applier);
    for weights in [&[2, 3][..], &[1, 1, 3]] {
        let refused = applier.apply(&Change::PutPool("web".into(), pool(weights)));
        assert!(refused.unwrap_err().to_string().contains("ek_slot has no room for the 5 slots"));
        assert!(records(&applier) == before, "{weights:?}");
    }
    let other = applier.apply(&Change::PutPool("other".into(), pool(&[2, 3])));
    assert!(other.is_err() && applier.registry.pools.get(&"other".into()).is_none());
    applier.apply(&Change::PutPool("web".into(), pool(&[3, 1]))).unwrap();
}

/// So a new pool serves at once, and nobody waits for the first checks of a new one among others.
#[test]
fn those_of_whom_nothing_is_known_take_connections_while_nobody_is_known_to_be_well() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    let second = Duration::from_secs(1);
    let health = Health { probe: Probe::Tcp, port: None, interval: second, timeout: second, retries: 3 };
    let checked = model::Pool { health: Some(health), ..pool(&[1, 1, 0]) };
    applier.apply(&Change::PutPool("web".into(), checked)).unwrap();
    let hosts = |applier: &Applier| {
        let mut hosts: Vec<_> =
            picks(&applier.tables, PoolIndex::new(0)).into_keys().map(|member| member.ip()).collect();
        hosts.sort();
        hosts.into_iter().map(|host| host.to_string()).collect::<Vec<_>>().join(" ")
    };
    let abandoned = |applier: &Applier| health::Health::abandoned(&applier.tables, 0..3).collect::<Vec<_>>();
    assert_eq!(hosts(&applier), "192.0.2.1 192.0.2.2");
    for (member, health, serve, left) in [
        (0, HEALTH_DOWN, "192.0.2.2", &[0][..]),
        // It has no weight.
        (2, HEALTH_UP, "192.0.2.2", &[0]),
        (0, HEALTH_UP, "192.0.2.1", &[]),
        (0, HEALTH_DOWN, "192.0.2.2", &[0]),
        (1, HEALTH_DOWN, "", &[]),
        (1, HEALTH_UP, "192.0.2.2", &[0]),
    ] {
        let record = applier.tables.backend.get(member).unwrap();
        record.health().set(health);
        record.reason().set(1);
        applier.refill(0, "web").unwrap();
        assert_eq!((&*hosts(&applier), &*abandoned(&applier)), (serve, left), "{member} {health}");
    }
}

#[test]
fn a_listener_whose_access_list_finds_no_room_stays_as_it_was() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    applier.apply(&Change::PutPool("web".into(), pool(&[1]))).unwrap();
    let (key, old) = listener(80);
    applier.apply(&Change::PutListener(key, old.clone())).unwrap();
    let network = |n: u32| IpNet::new(std::net::Ipv4Addr::from(n).into(), 32).unwrap();
    let access = Access { allow: None, deny: (0..=ENTRIES).map(network).collect() };
    let limits = Limits { bandwidth_mbit: Some(1), connections: Some(1), connections_per_second: Some(1) };
    let new = model::Listener { access, limits, ..old.clone() };
    assert!(applier.apply(&Change::PutListener(key, new.clone())).is_err());
    let record = applier.tables.listener.get(&0, 0).unwrap();
    assert_eq!(applier.tables.limits().of(0, &record), Limits::default());
    assert_eq!(applier.registry.model.listeners[&key], old);
    let (other, _) = listener(81);
    assert!(applier.apply(&Change::PutListener(other, new)).is_err());
    assert!(applier.registry.listeners.get(&other).is_none(), "no index for what is not there");
}

/// A place in the address table takes four, and `config/` sees to it that those of one file find room.
#[test]
fn vips_that_go_make_room_for_those_that_come() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    let same = |address: &u32| xdp_ebpf::abi::address_bucket(address.to_be_bytes()) == 7;
    let mut vips = (0..).filter(same).map(|address| IpAddr::from(address.to_be_bytes()));
    let mut model = |port| {
        let (key, listener) = listener(port);
        let vips: std::collections::BTreeSet<_> = vips.by_ref().take(4).collect();
        let listeners = vips.iter().map(|&vip| (ListenerKey { vip, ..key }, listener.clone())).collect();
        Model { vips, listeners, pools: [("web".to_owned(), pool(&[1]))].into() }
    };
    for port in [80, 81] {
        let model = model(port);
        applier.follow(&model).unwrap();
        check(&mut applier, &model);
    }
}

#[test]
fn what_finds_no_room_as_a_whole_changes_nothing() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    let pools = |weights: &[&[u16]]| {
        let pools = (0..).zip(weights).map(|(number, weights)| (format!("pool{number}"), pool(weights)));
        Model { pools: pools.collect(), ..Model::default() }
    };
    let old = pools(&[&[1, 2], &[1, 2]]);
    applier.follow(&old).unwrap();
    applier.registry.slots.take(MAX_SLOTS - 6 - 8).unwrap();
    let refused = applier.follow(&pools(&[&[2, 3], &[2, 3]])).unwrap_err().to_string();
    assert!(refused.contains("\"pool1\": ek_slot has no room for the 5 slots"), "{refused}");
    check(&mut applier, &old);

    for port in 1..=u16::try_from(MAX_LISTENERS).unwrap() {
        applier.registry.listeners.put(listener(port).0).unwrap();
    }
    let mut new = pools(&[&[2, 3], &[1, 2]]);
    let (key, listener) = listener(u16::MAX);
    new.vips.insert(key.vip);
    new.listeners.insert(key, model::Listener { pool: Some("pool0".into()), ..listener });
    let refused = applier.check(&new).unwrap_err().to_string();
    assert!(refused.starts_with("ek_listener has no room for 1 more listeners"), "{refused}");
    assert!(applier.follow(&new).is_err());
    check(&mut applier, &old);
}
