//! What finds no room changes nothing; what goes makes room for what comes.

use super::*;

#[test]
fn a_pool_that_finds_no_slots_stays_as_it_was() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    apply(&mut applier, put_pool(pool("web", &[1, 2]))).unwrap();
    applier.registry.slots.take(MAX_SLOTS - 3 - 4).unwrap();
    let records = |applier: &Applier| {
        let backends: Vec<_> = applier.tables.backend.iter().map(|(_, record)| record.snapshot()).collect();
        (
            backends,
            applier.tables.pool.get(PoolIndex::new(0)).unwrap().snapshot().block,
            applier.registry.served.clone(),
        )
    };
    let before = records(&applier);
    for weights in [&[2, 3][..], &[1, 1, 3]] {
        let refused = apply(&mut applier, put_pool(pool("web", weights))).unwrap_err().to_string();
        let expected = "ek_slot has no room for 5 more slots, as many as the weights of pool \"web\" take; ";
        assert!(refused.starts_with(expected), "{refused}");
        assert!(records(&applier) == before, "{weights:?}");
    }
    let other = apply(&mut applier, put_pool(pool("other", &[2, 3])));
    assert!(other.is_err() && applier.registry.pools.get(&id("other")).is_none());
    apply(&mut applier, put_pool(pool("web", &[3, 1]))).unwrap();
}

#[test]
fn a_listener_whose_access_list_finds_no_room_stays_as_it_was() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    apply(&mut applier, put_pool(pool("web", &[1]))).unwrap();
    let (key, old) = listener(80);
    apply(&mut applier, put_listener(key, &old)).unwrap();
    let network = |n: u32| Network::new(IpAddr::from(std::net::Ipv4Addr::from(n)).into()).unwrap();
    let access = Access { allow: None, deny: (0..=ENTRIES).map(network).collect() };
    let limits = Limits {
        bandwidth: Some(Megabits::literal(1)),
        connections: Some(MaxConnections::literal(1)),
        connections_per_second: Some(ConnectionRate::literal(1)),
    };
    let new = served::Listener { access, limits, ..old.clone() };
    assert!(apply(&mut applier, put_listener(key, &new)).is_err());
    let record = applier.tables.listener.get(&0, 0).unwrap();
    assert_eq!(applier.tables.limits().of(ListenerIndex::new(0), &record), Limits::default());
    assert_eq!(*applier.registry.served.listeners[&key], old);
    let (other, _) = listener(81);
    assert!(apply(&mut applier, put_listener(other, &new)).is_err());
    assert!(applier.registry.listeners.get(&other).is_none(), "no index for what is not there");
}

/// A place in the address table takes four, and `model::check` sees to it that those of all objects find room.
#[test]
fn vips_that_go_make_room_for_those_that_come() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    let same = |address: &u32| xdp_ebpf::abi::address_bucket(address.to_be_bytes()) == 7;
    let mut vips = (0..).filter(same).map(|address| IpAddr::from(address.to_be_bytes()));
    let mut served = |port| {
        let (key, listener) = listener(port);
        let listener = Arc::new(listener);
        let vips: BTreeSet<_> = vips.by_ref().take(4).collect();
        let listeners = vips.iter().map(|&vip| (ListenerKey { vip, ..key }, listener.clone())).collect();
        Served { vips, listeners, pools: [(id("web"), Arc::new(pool("web", &[1])))].into() }
    };
    for port in [80, 81] {
        let served = served(port);
        bring_to(&mut applier, &served).unwrap();
        check(&mut applier, &served);
    }
}

#[test]
fn what_finds_no_room_as_a_whole_changes_nothing() {
    let Some(tables) = tables() else { return };
    let mut applier = Applier { tables, registry: Registry::empty() };
    // In the order in which their ids have them planned.
    let mut names = ["one", "other"];
    names.sort_by_key(|name| id(name));
    let pools = |weights: &[&[u16]]| {
        let pools = names.iter().zip(weights);
        let pools = pools.map(|(name, weights)| (id(name), Arc::new(pool(name, weights))));
        Served { pools: pools.collect(), ..Served::default() }
    };
    let old = pools(&[&[1, 2], &[1, 2]]);
    bring_to(&mut applier, &old).unwrap();
    applier.registry.slots.take(MAX_SLOTS - 6 - 8).unwrap();
    let refused = bring_to(&mut applier, &pools(&[&[2, 3], &[2, 3]])).unwrap_err().to_string();
    let expected = format!("5 more slots, as many as the weights of pool {:?} take; ", names[1]);
    assert!(refused.starts_with(&format!("ek_slot has no room for {expected}")), "{refused}");
    check(&mut applier, &old);

    for port in 1..=u16::try_from(MAX_LISTENERS).unwrap() {
        applier.registry.listeners.put(listener(port).0).unwrap();
    }
    let mut new = pools(&[&[2, 3], &[1, 2]]);
    let (key, listener) = listener(u16::MAX);
    new.vips.insert(key.vip);
    new.listeners.insert(key, Arc::new(served::Listener { pool: Some(id(names[0])), ..listener }));
    let refused = applier.prepare(&plan(&old, &new)).unwrap_err().to_string();
    assert!(refused.starts_with("ek_listener has no room for 1 more listeners"), "{refused}");
    assert!(bring_to(&mut applier, &new).is_err());
    check(&mut applier, &old);
}
