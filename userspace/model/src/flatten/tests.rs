//! Against a flattening that knows nothing of before, shares nothing and takes good objects only.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{
    any::{address, certificate, id, meta, mixed, objects, picks, port},
    served::Protocol,
    tls::TlsPolicy,
};

/// Without what is shared.
type Plain = (BTreeMap<ListenerKey, served::Listener>, BTreeMap<PoolId, served::Pool>);

fn plain(served: &Served) -> Plain {
    let listeners = served.listeners.iter().map(|(key, listener)| (*key, (**listener).clone()));
    (listeners.collect(), served.pools.iter().map(|(id, pool)| (*id, (**pool).clone())).collect())
}

fn naive(objects: &Objects) -> Plain {
    let mut listeners = BTreeMap::new();
    for (&lb, load_balancer) in &objects.load_balancers {
        for vip in &load_balancer.vips {
            for (&id, listener) in
                objects.listeners.iter().filter(|(_, listener)| listener.load_balancer == lb)
            {
                let protocol = if listener.service.name() == "udp" { Protocol::Udp } else { Protocol::Tcp };
                let key = ListenerKey { vip: vip.get(), port: listener.port, protocol };
                listeners.insert(key, naive_listener(objects, id, listener, load_balancer));
            }
        }
    }
    let pools = objects.pools.iter().map(|(&id, pool)| (id, naive_pool(objects, pool)));
    (listeners, pools.collect())
}

fn naive_listener(
    objects: &Objects,
    id: ListenerId,
    listener: &Listener,
    load_balancer: &LoadBalancer,
) -> served::Listener {
    let log = load_balancer.access_log.map(|log| &objects.access_logs[&log]);
    let redirect = |redirect: &policy::Redirect<ListenerId>| policy::Redirect {
        status: redirect.status,
        to: match &redirect.to {
            policy::RedirectTo::Url(url) => policy::RedirectTo::Url(url.clone()),
            policy::RedirectTo::Prefix(prefix) => policy::RedirectTo::Prefix(prefix.clone()),
            policy::RedirectTo::Listener(id) => policy::RedirectTo::Listener(objects.listeners[id].port),
        },
    };
    let policy = |policy: &Arc<object::Policy>| served::Policy {
        name: policy.meta.name.clone(),
        condition: policy.condition.clone(),
        action: match &policy.action {
            policy::Action::Pool(pool) => policy::Action::Pool(*pool),
            policy::Action::Reject(status) => policy::Action::Reject(*status),
            policy::Action::Redirect(to) => policy::Action::Redirect(redirect(to)),
        },
    };
    let tls = |tls: &object::Tls| {
        let server = |id| match &objects.certificates[id].material {
            Material::Server(server) => server.clone(),
            Material::Authorities(_) => panic!("{id} is a CA"),
        };
        served::Tls {
            http2: tls.http2,
            certificates: tls.certificates.iter().map(server).collect(),
            default_certificate: server(&tls.default_certificate),
            client_ca: tls.client_ca.map(|id| match &objects.certificates[&id].material {
                Material::Authorities(authorities) => authorities.clone(),
                Material::Server(_) => panic!("{id} is a server's"),
            }),
            policy: tls.policy,
            ciphers: tls.ciphers.clone(),
        }
    };
    let http = listener.http().map(|http| served::HttpListener {
        tls: match &listener.service {
            Service::Https { tls: secure, .. } => Some(tls(secure)),
            _ => None,
        },
        timeouts: http.timeouts,
        log: log.map(|log| edge::AccessLog { path: log.path.clone(), format: log.format }),
        edge: http.edge.clone(),
        policies: http.policies.iter().map(policy).collect(),
        policy_order: http.policy_order,
        redirect: match &listener.service {
            Service::Http { redirect: Some(to), .. } => Some(redirect(to)),
            _ => None,
        },
    });
    served::Listener {
        id,
        name: listener.meta.name.clone(),
        load_balancer: listener.load_balancer,
        load_balancer_name: load_balancer.meta.name.clone(),
        pool: listener.default_pool,
        idle_timeout: listener.idle_timeout,
        access: listener
            .access_list
            .map(|list| objects.access_lists[&list].access.clone())
            .unwrap_or_default(),
        limits: match &listener.service {
            Service::Http { redirect: Some(_), .. } => {
                served::Limits { bandwidth: load_balancer.bandwidth, ..served::Limits::default() }
            }
            _ => served::Limits {
                bandwidth: load_balancer.bandwidth,
                connections: listener.max_connections,
                connections_per_second: listener.max_connections_per_second,
            },
        },
        when_down: match &listener.service {
            Service::Tcp { when_down: WhenDown::Reset } => WhenDown::Reset,
            _ => WhenDown::Drop,
        },
        drains: false,
        http: http.map(Arc::new),
    }
}

fn naive_pool(objects: &Objects, pool: &object::Pool) -> served::Pool {
    let group = &objects.server_groups[&pool.server_group];
    let authorities = |id: &CertificateId| match &objects.certificates[id].material {
        Material::Authorities(authorities) => Some(authorities.clone()),
        Material::Server(_) => panic!("{id} is a server's"),
    };
    let check = group.monitor.as_ref().map(|monitor| Arc::new(monitor.check.map(authorities).unwrap()));
    let mut members = BTreeMap::new();
    for member in group.members.values() {
        let at = match (member.monitor_port, check.as_ref().and_then(|check| check.port)) {
            (Some(port), _) | (None, Some(port)) => port,
            (None, None) => member.port,
        };
        let address = member.monitor_address.unwrap_or(member.address);
        // Of a hash that ignores weights, each has 1 or none.
        let hashes = pool.kind.algorithm().name() == "source-hash";
        let most = if hashes && pool.weights == Weights::Ignore { 1 } else { 256 };
        let weight = member.weight.get().min(most);
        let flat = served::Member {
            weight: Weight::literal(u16::from(member.enabled) * weight),
            backup: member.backup,
            checked_at: (address.get(), at.get()).into(),
        };
        members.insert((member.address.get(), member.port.get()).into(), flat);
    }
    let on_down = pool.on_down;
    let (algorithm, drain_timeout, http) = match &pool.kind {
        PoolKind::Layer4 { algorithm, drain_timeout, .. } => (algorithm.clone(), *drain_timeout, None),
        PoolKind::Layer7 { algorithm, http, ejection } => {
            let (algorithm, turns) = match algorithm {
                Algorithm::WeightedRoundRobin(turns) => (Algorithm::default(), Some(turns)),
                Algorithm::WeightedLeastConnections => (Algorithm::WeightedLeastConnections, None),
                Algorithm::SourceHash => (Algorithm::SourceHash, None),
            };
            let http = served::HttpPool {
                member: http.map(authorities).unwrap(),
                sticky: turns.and_then(|turns| turns.sticky.clone()),
                slow_start: turns.and_then(|turns| turns.slow_start),
                ejection: *ejection,
            };
            (algorithm, None, Some(http))
        }
    };
    served::Pool { name: pool.meta.name.clone(), members, algorithm, check, drain_timeout, on_down, http }
}

/// What the comments of [`served`] promise, also of objects with faults.
fn keeps_its_promises(served: &Served) -> Result<(), TestCaseError> {
    for (key, listener) in &served.listeners {
        prop_assert!(served.vips.contains(&key.vip));
        let is_http = listener.http.is_some();
        prop_assert!(is_http || listener.pool.is_some());
        prop_assert!(!is_http || key.protocol == Protocol::Tcp);
        prop_assert!(listener.when_down == WhenDown::Drop || (!is_http && key.protocol == Protocol::Tcp));
        let policies = listener.http.iter().flat_map(|http| &http.policies);
        let named = policies.filter_map(|policy| match policy.action {
            served::Action::Pool(pool) => Some(pool),
            _ => None,
        });
        for pool in named.chain(listener.pool) {
            let pool = served.pools.get(&pool);
            prop_assert_eq!(pool.map(|pool| pool.http.is_some()), Some(is_http));
        }
        if let Some(tls) = listener.http.as_ref().and_then(|http| http.tls.as_ref()) {
            prop_assert!(tls.certificates.contains(&tls.default_certificate));
        }
        for (_, other) in served.listeners.iter().filter(|(_, it)| it.load_balancer == listener.load_balancer)
        {
            prop_assert_eq!(other.limits.bandwidth, listener.limits.bandwidth);
        }
    }
    Ok(())
}

/// Whether two maps have the very same object.
fn same<T: crate::id::Object>(
    old: &object::Map<T>,
    new: &object::Map<T>,
    id: crate::id::Id<T::Kind>,
) -> bool {
    match (old.get(&id), new.get(&id)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// What is made of the same is the same.
fn shares(old: (&Objects, &Served), new: (&Objects, &Served)) -> Result<(), TestCaseError> {
    let is_same_pool = |id| {
        let Some(pool) = new.0.pools.get(&id) else { return true };
        let of_group = || new.0.server_groups.get(&pool.server_group)?.authorities();
        let mut authorities = pool.kind.authorities().into_iter().chain(of_group());
        same(&old.0.pools, &new.0.pools, id)
            && same(&old.0.server_groups, &new.0.server_groups, pool.server_group)
            && authorities.all(|ca| same(&old.0.certificates, &new.0.certificates, ca))
    };
    for (id, pool) in new.1.pools.iter().filter(|(id, _)| is_same_pool(**id)) {
        prop_assert!(old.1.pools.get(id).is_some_and(|old| Arc::ptr_eq(old, pool)), "pool {id} is a copy");
    }
    for (key, listener) in &new.1.listeners {
        let Some(old_listener) = old.1.listeners.get(key).filter(|old| old.id == listener.id) else {
            continue;
        };
        let log = new.0.load_balancers[&listener.load_balancer].access_log;
        let is_same = same(&old.0.listeners, &new.0.listeners, listener.id)
            && log.is_none_or(|log| same(&old.0.access_logs, &new.0.access_logs, log))
            && new.0.listeners[&listener.id].references().all(|reference| match reference {
                Reference::LoadBalancer(id) => same(&old.0.load_balancers, &new.0.load_balancers, id),
                Reference::Listener(id) => same(&old.0.listeners, &new.0.listeners, id),
                // Not what is in it.
                Reference::Pool(id) => {
                    let layer = |served: &Served| served.pools.get(&id).map(|pool| pool.http.is_some());
                    layer(old.1) == layer(new.1)
                }
                Reference::Certificate(id) => same(&old.0.certificates, &new.0.certificates, id),
                Reference::AccessList(id) => same(&old.0.access_lists, &new.0.access_lists, id),
            });
        prop_assert!(!is_same || Arc::ptr_eq(old_listener, listener), "{key:?} is a copy");
    }
    Ok(())
}

/// One load balancer with HTTP listeners at these ports.
fn at_ports(ports: &[usize]) -> Objects {
    let mut objects = Objects::default();
    let balancer = LoadBalancer {
        meta: meta("balancer"),
        vips: std::vec![address("203.0.113.1")],
        bandwidth: None,
        access_log: None,
    };
    objects.load_balancers.insert(id(0), Arc::new(balancer));
    for (number, &at) in ports.iter().enumerate() {
        let listener = Listener {
            meta: meta("listener"),
            load_balancer: id(0),
            port: port(at),
            service: Service::Http { http: object::Http::default(), redirect: None },
            default_pool: None,
            idle_timeout: Listener::HTTP_IDLE_TIMEOUT,
            access_list: None,
            max_connections: None,
            max_connections_per_second: None,
        };
        objects.listeners.insert(id(number), Arc::new(listener));
    }
    objects
}

/// The last of three at one place goes and another comes, but the one that was never touched is next.
#[test]
fn a_place_that_is_freed_goes_to_the_next_in_line() {
    let (mut old, new) = (at_ports(&[81, 80, 80]), at_ports(&[80, 80, 82]));
    old.listeners.insert(id(1), new.listeners[&id(1)].clone());
    old.load_balancers = new.load_balancers.clone();
    let before = flatten(&old, None);
    let served = flatten(&new, Some(Before { objects: &old, served: &before }));
    let by_port: Vec<_> =
        served.listeners.iter().map(|(key, listener)| (key.port.get(), listener.id)).collect();
    assert_eq!(by_port, [(80, id(1)), (82, id(2))]);
    assert_eq!(served, flatten(&new, None));
}

#[test]
fn a_listener_without_its_default_certificate_is_not_served() {
    for (certificates, count) in [(std::vec![id(0), id(1)], 1), (std::vec![id(1)], 0), (std::vec![], 0)] {
        let mut objects = at_ports(&[443]);
        for number in 0..2 {
            objects.certificates.insert(id(number), Arc::new(certificate(number, true)));
        }
        let tls = object::Tls {
            http2: true,
            certificates,
            default_certificate: id(0),
            client_ca: None,
            policy: TlsPolicy::default(),
            ciphers: None,
        };
        let listener = Arc::make_mut(objects.listeners.get_mut(&id(0)).unwrap());
        listener.service = Service::Https { http: object::Http::default(), tls };
        assert_eq!(flatten(&objects, None).listeners.len(), count);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn good_objects_are_all_served(objects in objects(true)) {
        let served = flatten(&objects, None);
        let vips: Vec<_> = objects.load_balancers.values().flat_map(|it| it.vips.iter().map(|vip| vip.get())).collect();
        prop_assert_eq!(&served.vips, &vips.into_iter().collect());
        prop_assert_eq!(plain(&served), naive(&objects));
        keeps_its_promises(&served)?;
    }

    /// One after the other, each with what was before it; many of them have faults.
    #[test]
    fn a_sequence_of_changes_leads_to_what_the_last_one_says(
        first in objects(true), changes in vec((objects(true), picks()), 1..6)
    ) {
        let mut served = flatten(&first, None);
        let mut before = first;
        for (other, what) in changes {
            let objects = mixed(&before, &other, &what);
            let new = flatten(&objects, Some(Before { objects: &before, served: &served }));
            prop_assert_eq!(&new, &flatten(&objects, None));
            keeps_its_promises(&new)?;
            shares((&before, &served), (&objects, &new))?;
            (before, served) = (objects, new);
        }
    }
}
