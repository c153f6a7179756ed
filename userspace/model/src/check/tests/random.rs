//! Random objects: good ones are accepted, what breaks is found where it broke, and it makes no difference how much of
//! it is known from before.

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::*;
use crate::{
    any::{mixed, objects, picks},
    policy::Action,
    schedule::slots,
};

fn found(
    objects: &Objects,
    capacity: &Capacity,
    locals: &LocalAddresses,
    before: Option<&Objects>,
) -> Vec<Problem> {
    found_in(objects, capacity, locals, &HashMap::new(), before)
}

/// The same of objects that came in this order.
fn found_in(
    objects: &Objects,
    capacity: &Capacity,
    local_addresses: &LocalAddresses,
    order: &HashMap<Uuid, usize>,
    before: Option<&Objects>,
) -> Vec<Problem> {
    check(objects, &Surroundings { local_addresses, capacity, unread: &HashSet::new(), order, before })
}

/// Some have a place in the order, some have none.
fn orders() -> impl Strategy<Value = HashMap<Uuid, usize>> {
    let places = vec(option::of(0..20usize), 0..50);
    places.prop_map(|places| {
        let places = places.into_iter().enumerate();
        places
            .filter_map(|(number, place)| Some((id::<crate::id::kind::Listener>(number).uuid(), place?)))
            .collect()
    })
}

/// What these objects take, counted once more.
fn exactly(objects: &Objects) -> Capacity {
    let groups =
        || objects.pools.values().map(|pool| (pool, &objects.server_groups[&pool.server_group].members));
    let vips = |listener: &Listener| objects.load_balancers[&listener.load_balancer].vips.len() as u64;
    let entries = |listener: &Listener| {
        let list = listener.access_list.map(|list| &objects.access_lists[&list].access);
        let networks = list.map_or(0, |list| list.allow.as_ref().map_or(0, BTreeSet::len) + list.deny.len());
        if networks == 0 { 0 } else { networks as u64 + 1 }
    };
    Capacity {
        listeners: objects.listeners.values().map(|listener| vips(listener)).sum(),
        networks: objects.listeners.values().map(|listener| vips(listener) * entries(listener)).sum(),
        pools: objects.pools.len() as u64,
        members: groups().map(|(_, members)| members.len() as u64).sum(),
        slots: groups()
            .map(|(pool, members)| {
                let weights: Vec<_> = members.values().map(|member| member.weight.get()).collect();
                slots(&pool.kind.algorithm(), &weights)
            })
            .sum(),
        ..CAPACITY
    }
}

/// Breaks something if there is something to break; returns where.
type Break = fn(&mut Objects, Index) -> Option<At>;

/// One of a kind, to be changed in place.
fn one<T: Clone + Object>(map: &mut Map<T>, index: Index) -> Option<(Id<T::Kind>, &mut T)> {
    let count = map.len();
    let (&id, object) = map.iter_mut().nth(index.index(count.max(1)))?;
    Some((id, Arc::make_mut(object)))
}

/// An id that nothing has.
fn nobodys<T>() -> Id<T> {
    id(999)
}

const BREAKS: [Break; 18] = [
    |objects, index| {
        let (id, pool) = one(&mut objects.pools, index)?;
        pool.server_group = nobodys();
        Some(At::field(id, "server_group"))
    },
    |objects, index| {
        let (id, listener) = one(&mut objects.listeners, index)?;
        listener.load_balancer = nobodys();
        Some(At::field(id, "load_balancer"))
    },
    |objects, index| {
        let (id, listener) = one(&mut objects.listeners, index)?;
        listener.default_pool = Some(nobodys());
        Some(At::field(id, "pool"))
    },
    |objects, index| {
        let (id, listener) = one(&mut objects.listeners, index)?;
        listener.access_list = Some(nobodys());
        Some(At::field(id, "access_list"))
    },
    |objects, index| {
        let (id, load_balancer) = one(&mut objects.load_balancers, index)?;
        load_balancer.access_log = Some(nobodys());
        Some(At::field(id, "access_log"))
    },
    // What is named goes.
    |objects, index| {
        let pools: Vec<_> =
            objects.listeners.iter().filter_map(|(id, it)| Some((*id, it.default_pool?))).collect();
        let (listener, pool) = *pools.get(index.index(pools.len().max(1)))?;
        objects.pools.remove(&pool);
        Some(At::field(listener, "pool"))
    },
    |objects, index| {
        let (id, tls) = one_tls(objects, index)?;
        tls.certificates.push(nobodys());
        Some(At::field(id, "certificates").nth(tls.certificates.len() - 1))
    },
    |objects, index| {
        let (id, tls) = one_tls(objects, index)?;
        tls.certificates.push(tls.default_certificate);
        Some(At::field(id, "certificates").nth(tls.certificates.len() - 1))
    },
    |objects, index| {
        let (id, load_balancer) = one(&mut objects.load_balancers, index)?;
        load_balancer.vips.clear();
        Some(At::field(id, "vip"))
    },
    |objects, index| {
        let (id, tls) = one_tls(objects, index)?;
        tls.certificates.retain(|certificate| *certificate != tls.default_certificate);
        Some(At::field(id, "default_certificate"))
    },
    |objects, index| {
        let (id, tls) = one_tls(objects, index)?;
        tls.client_ca = Some(tls.default_certificate);
        Some(At::field(id, "client_ca"))
    },
    // A pool is for another layer.
    |objects, index| {
        let pools: Vec<_> =
            objects.listeners.iter().filter_map(|(id, it)| Some((*id, it.default_pool?))).collect();
        let (listener, pool) = *pools.get(index.index(pools.len().max(1)))?;
        let pool = Arc::make_mut(objects.pools.get_mut(&pool)?);
        pool.kind = match &pool.kind {
            PoolKind::Layer4 { .. } => PoolKind::Layer7 {
                algorithm: Algorithm::SourceHash,
                http: MemberHttp::default(),
                ejection: None,
            },
            PoolKind::Layer7 { .. } => {
                PoolKind::Layer4 { algorithm: Algorithm::SourceHash, drain_timeout: None }
            }
        };
        Some(At::field(listener, "pool"))
    },
    // A member, once more.
    |objects, index| {
        let (_, group) = one(&mut objects.server_groups, index)?;
        let member = group.members.values().next()?.clone();
        group.members.insert(nobodys(), member);
        Some(At::field(nobodys::<crate::id::kind::Member>(), "address"))
    },
    |objects, index| {
        let (id, listener) = one(&mut objects.listeners, index)?;
        let again = listener.clone();
        objects.listeners.insert(nobodys(), Arc::new(again));
        Some(At::field(id.max(nobodys()), "port"))
    },
    |objects, index| {
        let (id, load_balancer) = one(&mut objects.load_balancers, index)?;
        load_balancer.vips.push(*load_balancer.vips.first()?);
        Some(At::field(id, "vip").nth(load_balancer.vips.len() - 1))
    },
    |objects, index| {
        let (id, load_balancer) = one(&mut objects.load_balancers, index)?;
        load_balancer.vips.push(address("100.64.0.1"));
        Some(At::field(id, "vip").nth(load_balancer.vips.len() - 1))
    },
    // A VIP comes to where a member is.
    |objects, index| {
        let (_, group) = one(&mut objects.server_groups, index)?;
        let (&member, vip) = group.members.iter().map(|(id, member)| (id, member.address)).next()?;
        one(&mut objects.load_balancers, index)?.1.vips.push(vip);
        Some(At::field(member, "address"))
    },
    |objects, index| {
        let (_, listener) = one(&mut objects.listeners, index)?;
        let (Service::Http { http, .. } | Service::Https { http, .. }) = &mut listener.service else {
            return None;
        };
        let policy = http.policies.first()?;
        let again = Policy { id: nobodys(), action: Action::Pool(nobodys()), ..(**policy).clone() };
        let at = At::object(again.id);
        http.policies.push(Arc::new(again));
        Some(at)
    },
];

fn one_tls(objects: &mut Objects, index: Index) -> Option<(ListenerId, &mut Tls)> {
    let secure = objects.listeners.iter_mut().filter(|(_, it)| matches!(it.service, Service::Https { .. }));
    let mut secure: Vec<_> = secure.collect();
    let count = secure.len();
    let (&id, listener) = secure.drain(..).nth(index.index(count.max(1)))?;
    match &mut Arc::make_mut(listener).service {
        Service::Https { tls, .. } => Some((id, tls)),
        _ => None,
    }
}

fn families() -> impl Strategy<Value = LocalAddresses> {
    prop_oneof![Just(locals(true, true)), Just(locals(true, false)), Just(locals(false, false))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// And fit exactly into what they take, and into no less.
    #[test]
    fn good_objects_are_accepted(objects in objects(true)) {
        let exactly = exactly(&objects);
        let locals = locals(true, true);
        prop_assert_eq!(found(&objects, &exactly, &locals, None), []);
        let less = |room: fn(&mut Capacity) -> &mut u64| {
            let mut capacity = exactly;
            let room = room(&mut capacity);
            let Some(one_less) = room.checked_sub(1) else { return 1 };
            *room = one_less;
            found(&objects, &capacity, &locals, None).len()
        };
        prop_assert_eq!(less(|capacity| &mut capacity.listeners), 1);
        prop_assert_eq!(less(|capacity| &mut capacity.networks), 1);
        prop_assert_eq!(less(|capacity| &mut capacity.pools), 1);
        prop_assert_eq!(less(|capacity| &mut capacity.members), 1);
        prop_assert_eq!(less(|capacity| &mut capacity.slots), 1);
    }

    #[test]
    fn what_breaks_is_found_where_it_broke(
        good in objects(true), what in any::<Index>(), index in any::<Index>()
    ) {
        let mut objects = good.clone();
        let Some(at) = what.get(&BREAKS)(&mut objects, index) else { return Ok(()) };
        let problems = found(&objects, &CAPACITY, &locals(true, true), None);
        prop_assert!(problems.iter().any(|problem| problem.at == at), "nothing at {at}: {problems:#?}");
        prop_assert_eq!(found(&objects, &CAPACITY, &locals(true, true), Some(&good)), problems);
    }

    /// The same problems, and in the same order.
    #[test]
    fn what_is_known_from_before_makes_no_difference(
        old in objects(true), other in objects(true), what in picks(), locals in families(), slack in 0..3u64,
        addresses_per_place in 2..5usize, breaks in any::<[Index; 2]>(), is_broken in any::<bool>(),
        order in orders(),
    ) {
        let exactly = exactly(&old);
        let capacity = Capacity {
            listeners: exactly.listeners + slack,
            networks: exactly.networks + slack,
            pools: exactly.pools + slack,
            members: exactly.members + slack,
            slots: exactly.slots + slack,
            addresses_per_place,
            ..exactly
        };
        prop_assume!(found(&old, &capacity, &locals, None).is_empty());
        let mut new = mixed(&old, &other, &what);
        if is_broken {
            breaks[0].get(&BREAKS)(&mut new, breaks[1]);
        }
        prop_assert_eq!(
            found_in(&new, &capacity, &locals, &order, Some(&old)),
            found_in(&new, &capacity, &locals, &order, None)
        );
    }
}
