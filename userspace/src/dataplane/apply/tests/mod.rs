//! What shall be served at random, applied one after the other to real hash and array maps: what the XDP program would
//! read is what it says, and an index that a session refers to never changes hands. Skipped without the right to make
//! maps.

mod capacity;

use std::{
    collections::{BTreeSet, HashMap as Counts},
    net::IpAddr,
    slice,
};

use aya::{
    Pod,
    maps::{
        Array, HashMap, Map, MapData, MapError, PerCpuArray, SockHash,
        lpm_trie::{Key, LpmTrie},
        xdp::DevMap,
    },
};
use ipnet::IpNet;
use model::{
    access::Access,
    algorithm::Algorithm,
    health::{Check, Pace, Probe},
    object::{ListenerId, LoadBalancerId},
    plan::plan,
    served::{Limits, Member, OnDown, Protocol, Served, WhenDown},
    value::{ConnectionRate, MaxConnections, Megabits, Name, Network, Port, Seconds, StickyMinutes},
};
use proptest::{collection, prelude::*, sample::Index};
use xdp_ebpf::{
    abi::{
        ACCESS_ALLOW, ACCESS_OPEN, ALGORITHM_LEAST_CONNECTIONS, AccessKey, BackendIndex, Config, ENTRY_FREE,
        ListenerIndex, MAX_LISTENERS, MAX_SLOTS, PoolIndex, Service, Slot, SlotIndex,
    },
    shared::Shared,
};

use super::*;
use crate::{
    dataplane::{
        addresses,
        halves::Halves,
        mapped::{endpoint, mapped},
        memory::Mapping,
        sessions::Sessions,
    },
    health::{
        checker::Target,
        failure::Failure,
        judge::{Standing, Verdict},
    },
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
        reset_rate: Mapping::of_zeros(1),
        half_open: Mapping::of_zeros(1),
        sessions: Sessions {
            config: Config::default(),
            forward: Halves { v4: Mapping::of_zeros(1), v6: Mapping::of_zeros(1) },
            reverse: Halves { v4: Mapping::of_zeros(1), v6: Mapping::of_zeros(1) },
            plane: Mapping::of_zeros(1),
            port: Mapping::of_zeros(1),
        },
        interface: array()?,
        device: DevMap::try_from(Map::DevMap(device))?,
        not_sent: PerCpuArray::create(ENTRIES, 0)?,
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
    let network = |(bits, is_v6), length| {
        let network = IpNet::new(beginning_with(bits, is_v6, 0), length).unwrap();
        Network::new(network.trunc()).unwrap()
    };
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
        // That says what goes without saying; readers of the map may take it for that.
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
    let all = all.map(|(network, may)| (network.get(), may));
    let longest =
        all.filter(|(network, _)| network.contains(&client)).max_by_key(|(network, _)| network.prefix_len());
    longest.map_or(access.allow.is_none(), |(_, may)| may)
}

/// A listener's name with its limits, so that those with the same name share them, and what it does when it is down.
fn limits() -> impl Strategy<Value = (u8, Limits, WhenDown)> {
    (0..3u8, prop::sample::select(&WhenDown::ALL[..])).prop_map(|(name, when_down)| {
        let limits = Limits {
            bandwidth: Some(Megabits::literal(10)),
            connections: (name & 1 != 0).then_some(MaxConnections::literal(7)),
            connections_per_second: (name & 2 != 0).then_some(ConnectionRate::literal(9)),
        };
        (name, limits, when_down)
    })
}

/// Few ids, and names that say nothing of them.
fn all_served() -> impl Strategy<Value = Served> {
    let algorithm = prop_oneof![
        Just(Algorithm::WeightedRoundRobin(None)),
        Just(Algorithm::WeightedRoundRobin(Some(StickyMinutes::literal(1)))),
        Just(Algorithm::WeightedLeastConnections),
        Just(Algorithm::SourceHash),
    ];
    let members = collection::btree_map(0..5u8, 0..=4u16, 0..5);
    let pools = collection::btree_map(0..4u8, (0..2u8, members, algorithm), 1..4);
    let listeners = collection::vec((0..3u8, 80..83u16, any::<Index>(), 1..3u32, accesses(), limits()), 0..6);
    (pools, listeners).prop_map(|(pools, listeners)| {
        let mut served = Served::default();
        for (number, (name, members, algorithm)) in pools {
            let member = |(host, weight): (u8, u16)| {
                let v6 = [0x2001, 0xDB8, 2, 0, 0, 0, 0, host.into()].into();
                let address = if host % 2 == 0 { IpAddr::from([192, 0, 2, host]) } else { v6 };
                member(SocketAddr::new(address, 80), weight)
            };
            let pool = served::Pool {
                name: Name::new(&format!("pool{name}")).unwrap(),
                members: members.into_iter().map(member).collect(),
                algorithm,
                drain_timeout: (number % 2 == 1).then_some(Seconds::literal(9)),
                on_down: if number % 3 == 1 { OnDown::Reset } else { OnDown::Keep },
                ..served::Pool::default()
            };
            served.pools.insert(id(&format!("pool{number}")), Arc::new(pool));
        }
        let ids: Vec<_> = served.pools.keys().copied().collect();
        for (vip, port, pool, seconds, access, (name, limits, when_down)) in listeners {
            let v6 = [0x2001, 0xDB8, 0xA, 0, 0, 0, 0, vip.into()].into();
            let vip = if vip % 2 == 0 { IpAddr::from([203, 0, 113, vip]) } else { v6 };
            served.vips.insert(vip);
            let name = format!("web{name}");
            let listener = served::Listener {
                access,
                limits,
                when_down,
                id: ListenerId::of_names(&["shop", &name]),
                name: Name::new(&name).unwrap(),
                pool: Some(*pool.get(&ids)),
                idle_timeout: Seconds::literal(seconds),
                ..listener(port).1
            };
            let key = ListenerKey { vip, port: Port::literal(port), protocol: Protocol::Tcp };
            served.listeners.insert(key, Arc::new(listener));
        }
        served
    })
}

fn id(pool: &str) -> PoolId {
    PoolId::of_names(&[pool])
}

fn member(address: SocketAddr, weight: u16) -> (SocketAddr, Member) {
    (address, Member { weight: Weight::literal(weight), backup: false, checked_at: address })
}

/// Brings the maps to this, as the engine does.
fn bring_to(applier: &mut Applier, served: &Served) -> Result<()> {
    let changes = plan(&applier.registry.served, served);
    applier.prepare(&changes)?;
    changes.into_iter().try_for_each(|change| apply(applier, change))
}

/// One step. Nobody asks members how they are.
fn apply(applier: &mut Applier, change: Change) -> Result<()> {
    let mut standings = Standings::default();
    standings.apply(slice::from_ref(&change));
    applier.apply(&change, &standings)
}

fn put_pool(pool: served::Pool) -> Change {
    Change::PutPool(id(pool.name.as_str()), Arc::new(pool))
}

fn put_listener(key: ListenerKey, listener: &served::Listener) -> Change {
    Change::PutListener(key, Arc::new(listener.clone()))
}

/// Where the XDP program would send new connections of a pool, and how often in one round; for least connections,
/// once for every unit of weight.
fn picks(tables: &Tables, pool: PoolIndex) -> Counts<SocketAddr, usize> {
    let (base, count, algorithm) = Pool::parts_of(tables.pool.get(pool).unwrap().block().get());
    let mut picks = Counts::new();
    for slot in (0..count).map(|offset| base.plus(offset)) {
        let Slot { backend, weight } = tables.slot.get(slot).unwrap().snapshot();
        let backend = tables.backend.get(backend.into()).unwrap().snapshot();
        assert_eq!((backend.state, backend.pool), (ENTRY_ACTIVE, pool));
        assert_eq!(backend.weight, weight);
        let times = if algorithm == ALGORITHM_LEAST_CONNECTIONS { weight.into() } else { 1 };
        *picks.entry(endpoint(backend.address, backend.port)).or_default() += times;
    }
    picks
}

fn check(applier: &mut Applier, served: &Served) {
    let tables = &mut applier.tables;
    assert_eq!(&applier.registry.served, served);
    let services: Vec<_> = tables.service.iter().map(Result::unwrap).collect();
    assert_eq!(services.len(), served.listeners.len());
    for (key, listener) in &served.listeners {
        let index = tables.service.get(&service(key), 0).unwrap().into();
        let record = tables.listener.get(&index, 0).unwrap();
        assert_eq!(record.idle_timeout, listener.idle_timeout.get());
        let clients = (0..8).flat_map(|bits| [false, true].map(|is_v6| beginning_with(bits, is_v6, 1)));
        for client in clients {
            let data = AccessKey { list: record.access_list.to_be_bytes(), address: mapped(client) };
            let value = tables.access.get(&Key::new(160, data), 0).unwrap_or(record.access);
            let gets_in = record.access == ACCESS_OPEN || value == ACCESS_ALLOW;
            assert_eq!(gets_in, may(&listener.access, client), "{client} of {:?}", listener.access);
        }
        let pool = &served.pools[listener.pool.as_ref().unwrap()];
        let members = &pool.members;
        let picks = picks(tables, record.pool);
        let sum: usize = picks.values().sum();
        let weight = |member: &Member| usize::from(member.weight.get());
        let weights: usize = members.values().map(weight).sum();
        assert_eq!(sum == 0, weights == 0);
        for (member, settings) in members {
            let weight = weight(settings);
            let share = picks.get(member).copied().unwrap_or(0);
            // Exact but for the hash table, whose size is a prime.
            let off = (share * weights).abs_diff(weight * sum);
            let exact = pool.algorithm != Algorithm::SourceHash;
            assert!(off <= if exact { 0 } else { 2 * weights }, "{member} of {picks:?}");
        }
    }
    assert_eq!(tables.addresses.vips().collect::<BTreeSet<_>>(), served.vips);
    assert_eq!(&Registry::from_maps(tables).unwrap().served, served, "what another process would find");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_maps_follow_what_is_served(steps in collection::vec((all_served(), any::<Index>(), 0..4u8), 1..8)) {
        let Some(tables) = tables() else { return Ok(()) };
        let mut applier = Applier { tables, registry: Registry::empty() };
        let mut session = None;
        for (served, pick, passes) in steps {
            bring_to(&mut applier, &served).unwrap();
            check(&mut applier, &served);
            let snapshot = |(index, record): (BackendIndex, Shared<'_, Backend>)| (index, record.snapshot());
            let there: Vec<_> =
                applier.tables.backend.iter().map(snapshot).filter(|(_, b)| b.state != ENTRY_FREE).collect();
            if session.is_none() && !there.is_empty() {
                session = Some(*pick.get(&there));
            }
            for _ in 0..passes {
                let backends = session.iter().map(|&(index, _)| index).collect();
                applier.settle(&Census { backends, ..Census::default() }).unwrap();
            }
            if let Some((index, backend)) = session {
                let now = applier.tables.backend.get(index).unwrap().snapshot();
                prop_assert_eq!((now.address, now.port, now.pool), (backend.address, backend.port, backend.pool));
            }
            check(&mut applier, &served);
        }
        bring_to(&mut applier, &Served::default()).unwrap();
        for _ in 0..6 {
            applier.settle(&Census::default()).unwrap();
        }
        prop_assert!(applier.tables.backend.iter().all(|(_, b)| b.snapshot() == Backend::default()));
        prop_assert!(applier.tables.pool.iter().all(|(_, p)| p.snapshot().state == ENTRY_FREE));
        prop_assert_eq!(applier.registry.slots.take(1 << 16), Some(SlotIndex::new(0)), "every slot is free again");
    }
}

/// A pool whose members have these weights.
fn pool(name: &str, weights: &[u16]) -> served::Pool {
    let member = |(host, &weight): (u8, &u16)| member(SocketAddr::from(([192, 0, 2, host], 80)), weight);
    let members = (1..).zip(weights).map(member).collect();
    served::Pool { name: Name::new(name).unwrap(), members, ..served::Pool::default() }
}

fn listener(port: u16) -> (ListenerKey, served::Listener) {
    let listener = served::Listener {
        id: ListenerId::of_names(&["shop", "web"]),
        name: Name::new("web").unwrap(),
        load_balancer: LoadBalancerId::of_names(&["shop"]),
        load_balancer_name: Name::new("shop").unwrap(),
        pool: Some(id("web")),
        idle_timeout: Seconds::literal(1),
        access: Access::default(),
        limits: Limits::default(),
        when_down: WhenDown::default(),
        drains: false,
        http: None,
    };
    let key =
        ListenerKey { vip: [203, 0, 113, 1].into(), port: Port::literal(port), protocol: Protocol::Tcp };
    (key, listener)
}

/// So a new pool serves at once, and nobody waits for the first checks of a new one among others.
#[test]
fn those_of_whom_nothing_is_known_take_connections_while_nobody_is_known_to_be_well() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    let pace = Pace::new(Pace::INTERVAL, Pace::TIMEOUT, Pace::RETRIES).unwrap();
    let check = Arc::new(Check { probe: Probe::Tcp, port: None, pace });
    let pool = served::Pool { check: Some(check.clone()), ..pool("web", &[1, 1, 0]) };
    let members: Vec<SocketAddr> = pool.members.keys().copied().collect();
    let change = put_pool(pool);
    let mut standings = Standings::default();
    standings.apply(slice::from_ref(&change));
    applier.apply(&change, &standings).unwrap();
    let hosts = |applier: &Applier| {
        let mut hosts: Vec<_> =
            picks(&applier.tables, PoolIndex::new(0)).into_keys().map(|member| member.ip()).collect();
        hosts.sort();
        hosts.into_iter().map(|host| host.to_string()).collect::<Vec<_>>().join(" ")
    };
    let abandoned = |applier: &Applier| {
        let members = (0..3).map(BackendIndex::new);
        health::abandoned(&applier.tables, members).map(u32::from).collect::<Vec<_>>()
    };
    assert_eq!(hosts(&applier), "192.0.2.1 192.0.2.2");
    for (member, verdict, serve, left) in [
        (0, Verdict::Down, "192.0.2.2", &[0][..]),
        // It has no weight.
        (2, Verdict::Up, "192.0.2.2", &[0]),
        (0, Verdict::Up, "192.0.2.1", &[]),
        (0, Verdict::Down, "192.0.2.2", &[0]),
        (1, Verdict::Down, "", &[]),
        (1, Verdict::Up, "192.0.2.2", &[0]),
    ] {
        let target = Target { address: members[member], check: check.clone() };
        let standing = Standing { verdict: Some(verdict), last_failure: Some(Failure::Refused) };
        assert_eq!(standings.note(&target, standing), [(id("web"), members[member])]);
        assert!(applier.note(id("web"), members[member], &standings).unwrap(), "new slots are due");
        applier.refill(id("web"), &standings).unwrap();
        assert_eq!((&*hosts(&applier), &*abandoned(&applier)), (serve, left), "{member} {verdict:?}");
    }
}
