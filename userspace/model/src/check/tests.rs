//! The rules, one by one: objects with nothing wrong are changed in one way, and that one thing is found.

mod listeners;
mod objects;
mod random;
mod surroundings;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::*;
use crate::{
    algorithm::{Algorithm, Weights},
    any::{
        CAPACITY, access_list, access_log, address, certificate, condition, get, id, locals, member,
        member_tls, meta, port,
    },
    edge::ProxyVersion,
    health::Probe,
    http::MemberHttp,
    object::{
        AccessList, CertificateId, HealthMonitor, Http, Listener, ListenerId, LoadBalancer, Member, Policy,
        PoolKind, ServerGroup, Service, Tls,
    },
    policy::{Action, Condition, MAX_POLICIES, Redirect, RedirectStatus, RedirectTo},
    tls::TlsPolicy,
    transport::{OnDown, WhenDown},
    value::{Port, Weight},
};

/// Objects and what they are checked against.
struct World {
    objects: Objects,
    capacity: Capacity,
    locals: LocalAddresses,
    unread: HashSet<Uuid>,
    order: HashMap<Uuid, usize>,
}

impl World {
    fn problems(&self, before: Option<&Objects>) -> Vec<Problem> {
        let surroundings = Surroundings {
            local_addresses: &self.locals,
            capacity: &self.capacity,
            unread: &self.unread,
            order: &self.order,
            before,
        };
        check(&self.objects, &surroundings)
    }
}

/// Nothing is wrong with it. Two load balancers; the first with TCP, UDP, HTTP and HTTPS listeners 0 to 3, the second with
/// HTTPS listener 4. Pools 0 (Layer 4), 1 (HTTPS) and 2 (HTTP) with groups of the same numbers. Certificates 0 and 2 are
/// servers', 1 is a CA. Members' numbers are ten times their group's, and so are policies' and their listener's.
fn world() -> World {
    let mut objects = Objects::default();
    put(&mut objects.access_logs, 0, access_log(0));
    put(&mut objects.access_lists, 0, access_list(&BTreeSet::from([1]), &BTreeSet::new(), false));
    for (number, is_server) in [(0, true), (1, false), (2, true)] {
        put(&mut objects.certificates, number, certificate(number, is_server));
    }
    let load_balancer = |vips: &[&str], access_log| LoadBalancer {
        meta: meta("balancer"),
        vips: vips.iter().map(|vip| address(vip)).collect(),
        bandwidth: None,
        access_log,
    };
    put(&mut objects.load_balancers, 0, load_balancer(&["203.0.113.1", "2001:db8:100::1"], Some(id(0))));
    put(&mut objects.load_balancers, 1, load_balancer(&["203.0.113.2"], None));
    let probes = [Some(Probe::Tcp), Some(get(Some(member_tls(Some(1))))), None];
    let http = |tls| PoolKind::Layer7 {
        algorithm: Algorithm::default(),
        http: MemberHttp { tls, ..MemberHttp::default() },
        ejection: None,
    };
    let kinds = [
        PoolKind::Layer4 { algorithm: Algorithm::default(), drain_timeout: None },
        http(Some(member_tls(Some(1)))),
        http(None),
    ];
    for (number, (probe, kind)) in probes.into_iter().zip(kinds).enumerate() {
        let members = (0..2).map(|index| {
            let at = address(&format!("192.0.2.{}", number * 10 + index));
            (id(number * 10 + index), Arc::new(member(at, port(8080))))
        });
        let monitor = probe.map(|probe| monitor(number, probe, None));
        let group = ServerGroup { meta: meta("group"), members: members.collect(), monitor };
        put(&mut objects.server_groups, number, group);
        let pool = Pool {
            meta: meta(&format!("pool{number}")),
            server_group: id(number),
            weights: Weights::default(),
            on_down: OnDown::default(),
            kind,
        };
        put(&mut objects.pools, number, pool);
    }
    let policies = vec![policy(20, 0, Action::Pool(id(2))), policy(21, 1, Action::Redirect(to_listener(3)))];
    let https = || Service::Https {
        http: Http { policies: vec![policy(30, 0, Action::Redirect(to_listener(5)))], ..Http::default() },
        tls: tls(),
    };
    let listener = |number, load_balancer, at, service, pool: Option<usize>| Listener {
        meta: meta(&format!("listener{number}")),
        load_balancer: id(load_balancer),
        port: port(at),
        service,
        default_pool: pool.map(id),
        idle_timeout: Listener::IDLE_TIMEOUT,
        access_list: (number == 0).then(|| id(0)),
        max_connections: None,
        max_connections_per_second: None,
    };
    let plain = Service::Http { http: Http { policies, ..Http::default() }, redirect: Some(to_listener(3)) };
    let all = [
        (0, 80, Service::Tcp { when_down: WhenDown::Drop }, Some(0)),
        (0, 80, Service::Udp, Some(0)),
        (0, 81, plain, Some(2)),
        (0, 443, https(), Some(1)),
        (1, 443, Service::Https { http: Http::default(), tls: tls() }, None),
        (0, 444, Service::Https { http: Http::default(), tls: tls() }, None),
    ];
    for (number, (load_balancer, at, service, pool)) in all.into_iter().enumerate() {
        put(&mut objects.listeners, number, listener(number, load_balancer, at, service, pool));
    }
    World {
        objects,
        capacity: CAPACITY,
        locals: locals(true, true),
        unread: HashSet::new(),
        order: HashMap::new(),
    }
}

fn put<T: Object>(map: &mut Map<T>, number: usize, object: T) {
    map.insert(id(number), Arc::new(object));
}

fn monitor(number: usize, probe: Probe<CertificateId>, port: Option<Port>) -> HealthMonitor {
    HealthMonitor { id: id(number), meta: meta("monitor"), check: crate::any::check(probe, port) }
}

fn tls() -> Tls {
    Tls {
        http2: true,
        certificates: vec![id(0), id(2)],
        default_certificate: id(0),
        client_ca: Some(id(1)),
        policy: TlsPolicy::default(),
        ciphers: None,
    }
}

fn policy(number: usize, which: usize, action: Action<ListenerId>) -> Arc<Policy> {
    Arc::new(Policy { id: id(number), meta: meta("policy"), condition: condition(which), action })
}

fn to_listener(number: usize) -> Redirect<ListenerId> {
    Redirect { status: RedirectStatus::default(), to: RedirectTo::Listener(id(number)) }
}

/// To be changed in place.
impl World {
    fn load_balancer(&mut self, number: usize) -> &mut LoadBalancer {
        Arc::make_mut(self.objects.load_balancers.get_mut(&id(number)).unwrap())
    }

    fn listener(&mut self, number: usize) -> &mut Listener {
        Arc::make_mut(self.objects.listeners.get_mut(&id(number)).unwrap())
    }

    fn pool(&mut self, number: usize) -> &mut Pool {
        Arc::make_mut(self.objects.pools.get_mut(&id(number)).unwrap())
    }

    fn group(&mut self, number: usize) -> &mut ServerGroup {
        Arc::make_mut(self.objects.server_groups.get_mut(&id(number)).unwrap())
    }

    fn member(&mut self, number: usize) -> &mut Member {
        Arc::make_mut(self.group(number / 10).members.get_mut(&id(number)).unwrap())
    }

    fn tls(&mut self, number: usize) -> &mut Tls {
        match &mut self.listener(number).service {
            Service::Https { tls, .. } => tls,
            other => panic!("{other:?}"),
        }
    }

    fn policies(&mut self, number: usize) -> &mut Vec<Arc<Policy>> {
        match &mut self.listener(number).service {
            Service::Http { http, .. } | Service::Https { http, .. } => &mut http.policies,
            other => panic!("{other:?}"),
        }
    }

    /// As many members as this in the group, each with this weight but for the first, which has 1.
    fn members(&mut self, group: usize, count: usize, weight: u16) {
        let members = (0..count).map(|number| {
            let mut member = member(address("192.0.2.9"), port(1 + number));
            member.weight = Weight::literal(if number == 0 { 1 } else { weight });
            (id(1000 + number), Arc::new(member))
        });
        self.group(group).members = members.collect();
    }
}

/// What is done, where a problem is then, and how its reason begins.
type Case = (fn(&mut World), At, &'static str);

fn at<T: Object>(number: usize, field: &'static str) -> At {
    At::field(id::<T::Kind>(number), field)
}

/// Each case has exactly its one problem, with and without what was there before.
#[track_caller]
fn finds(cases: &[Case]) {
    for &(change, at, reason) in cases {
        let mut world = world();
        assert_eq!(world.problems(None), []);
        let before = world.objects.clone();
        change(&mut world);
        let problems = world.problems(None);
        let [problem] = problems.as_slice() else { panic!("{reason:?}: {problems:#?}") };
        assert_eq!(problem.at, at, "{problem}");
        assert!(problem.reason.starts_with(reason), "{problem}");
        let line = problem.to_string();
        assert!(!line.contains('\n') && !problem.remedy.is_empty(), "{line}");
        // A host that has other surroundings now knows nothing of before.
        let same = World { objects: before.clone(), ..world };
        if same.problems(None).is_empty() {
            let world = World { objects: world.objects, ..same };
            assert_eq!(world.problems(Some(&before)), problems);
        }
    }
}
