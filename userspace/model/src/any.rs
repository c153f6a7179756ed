//! Random objects in which nothing is wrong, for tests. Ids are few, so that two of these share most of theirs.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
    sync::Arc,
};

use proptest::{
    collection::{btree_set, vec},
    prelude::*,
};
use uuid::Uuid;

use crate::{
    access::Access,
    algorithm::{Algorithm, Weights},
    capacity::Capacity,
    edge::{LogFormat, ProxyVersion},
    health::{Check, CheckPath, Codes, Get, Pace, Probe},
    host::{LocalAddresses, local_range},
    http::MemberHttp,
    id::Id,
    object::{
        AccessList, AccessLog, Certificate, CertificateId, HealthMonitor, Http, Listener, LoadBalancer, Map,
        Material, Member, Meta, Objects, Policy, Pool, PoolKind, ServerGroup, Service, Tls, Turns7,
    },
    policy::{Action, Condition, Domain, PathMatch, Redirect, RedirectStatus, RedirectTo},
    sticky::Ejection,
    tls::{Authorities, MemberTls, MemberTrust, PrivateKey, ServerCertificate, TlsPolicy},
    transport::{OnDown, WhenDown},
    value::{
        DnsName, HostAddress, LogPath, Megabits, Name, Number, Port, RejectStatus, Seconds, Url, Weight,
    },
};

/// The id with this number.
pub(crate) fn id<T>(number: usize) -> Id<T> {
    Id::from_uuid(Uuid::from_u128(1 + number as u128))
}

pub(crate) fn meta(name: &str) -> Meta {
    Meta::of_file(Name::new(name).unwrap())
}

pub(crate) fn address(text: &str) -> HostAddress {
    HostAddress::parse(text, "host").unwrap()
}

pub(crate) fn port(number: usize) -> Port {
    Port::new(number as u32).unwrap()
}

/// Room for all that is made here.
pub(crate) const CAPACITY: Capacity = Capacity {
    listeners: 100,
    networks: 1000,
    pools: 100,
    members: 1000,
    slots: 1 << 20,
    pool_slots: 20_000,
    least_members: 5,
    interfaces: 8,
    place: |address| match address {
        IpAddr::V4(address) => address.to_bits() % 8,
        IpAddr::V6(address) => u32::from(address.segments()[7]) % 8,
    },
    addresses_per_place: 4,
};

/// Of these families; no object made here has one.
pub(crate) fn locals(v4: bool, v6: bool) -> LocalAddresses {
    let ranges = [v4.then_some("100.64.0.0/30"), v6.then_some("2001:db8:ff::/126")];
    LocalAddresses::new(ranges.into_iter().flatten().map(|range| local_range(range).unwrap())).unwrap()
}

/// What the pools of a server group are, and so what its monitor may be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Members {
    Plain,
    Tls,
    Proxied,
}

/// Random objects; of IPv6 too if `v6`.
pub(crate) fn objects(v6: bool) -> impl Strategy<Value = Objects> {
    let around = (0..3usize, vec((1..3usize, any::<u8>(), any::<bool>()), 0..4), 0..3usize, 0..6usize);
    let lists = vec((btree_set(0..6usize, 0..4), btree_set(0..6usize, 0..3), any::<bool>()), 0..3);
    let member = (0..6usize, 0..3usize, prop_oneof![0..4u16, 0..=256u16], any::<u8>());
    let groups = vec((vec(member, 0..5), 0..9u8, any::<bool>()), 0..4);
    let pools = vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..5);
    let policy = (0..8usize, 0..4u8, any::<u8>());
    let listener = (any::<u8>(), 1..6usize, any::<u8>(), any::<u8>(), vec(policy, 0..4));
    (around, lists, groups, pools, vec(listener, 0..7)).prop_map(
        move |((shift, load_balancers, logs, flip), lists, groups, pools, listeners)| {
            let mut objects = Objects::default();
            for number in 0..logs {
                put(&mut objects.access_logs, number, access_log(number));
            }
            for (number, (vips, pick, bandwidth)) in load_balancers.into_iter().enumerate() {
                let load_balancer = LoadBalancer {
                    meta: meta("balancer"),
                    vips: (0..vips)
                        .map(|vip| host(0x100, (number + shift) % 4 * 4 + vip, v6 && vip == 1))
                        .collect(),
                    bandwidth: bandwidth.then(|| Megabits::literal(10)),
                    access_log: pick_of(objects.access_logs.keys(), pick),
                };
                put(&mut objects.load_balancers, number, load_balancer);
            }
            for number in 0..4 {
                put(&mut objects.certificates, number, certificate(number, (number + flip) % 2 == 0));
            }
            let ca = (flip + 1) % 2;
            for (number, (allow, deny, is_open)) in lists.into_iter().enumerate() {
                put(&mut objects.access_lists, number, access_list(&allow, &deny, is_open));
            }
            let mut kinds = Vec::new();
            for (number, (members, pick, has_port)) in groups.into_iter().enumerate() {
                let kind =
                    [Members::Plain, Members::Plain, Members::Tls, Members::Proxied][usize::from(pick) % 4];
                kinds.push(kind);
                put(
                    &mut objects.server_groups,
                    number,
                    group(number, members, kind, (pick, has_port), v6, ca),
                );
            }
            for (number, (group, kind, algorithm)) in pools.into_iter().enumerate() {
                let Some(&group) = pick_of((0..kinds.len()).collect::<Vec<_>>().iter(), group).as_ref()
                else {
                    break;
                };
                put(&mut objects.pools, number, pool(group, kinds[group], kind, algorithm, ca));
            }
            add_listeners(&mut objects, listeners);
            objects
        },
    )
}

/// `old` with some objects taken from `new`: those that these numbers say.
pub(crate) fn mixed(old: &Objects, new: &Objects, what: &[(u8, u8)]) -> Objects {
    fn mix<T: PartialEq + crate::id::Object>(map: &mut Map<T>, new: &Map<T>, number: u8) {
        let id = id(usize::from(number % 8));
        match new.get(&id) {
            Some(object) => _ = map.insert(id, object.clone()),
            None => _ = map.remove(&id),
        }
    }
    let mut mixed = old.clone();
    for &(kind, number) in what {
        match kind % 7 {
            0 => mix(&mut mixed.load_balancers, &new.load_balancers, number),
            1 => mix(&mut mixed.listeners, &new.listeners, number),
            2 => mix(&mut mixed.pools, &new.pools, number),
            3 => mix(&mut mixed.server_groups, &new.server_groups, number),
            4 => mix(&mut mixed.certificates, &new.certificates, number),
            5 => mix(&mut mixed.access_lists, &new.access_lists, number),
            _ => mix(&mut mixed.access_logs, &new.access_logs, number),
        }
    }
    mixed
}

/// Which objects [`mixed`] takes.
pub(crate) fn picks() -> impl Strategy<Value = Vec<(u8, u8)>> {
    vec((0..7u8, 0..8u8), 0..10)
}

fn put<T: crate::id::Object>(map: &mut Map<T>, number: usize, object: T) {
    map.insert(id(number), Arc::new(object));
}

/// One of these, or none.
fn pick_of<'a, T: Copy + 'a>(of: impl Iterator<Item = &'a T> + Clone, pick: u8) -> Option<T> {
    let count = of.clone().count();
    of.copied().nth(usize::from(pick) % count.max(1))
}

fn host(network: usize, number: usize, v6: bool) -> HostAddress {
    let text = match (v6, network) {
        (true, _) => format!("2001:db8:{network:x}::{number:x}"),
        (false, 0x100) => format!("203.0.113.{number}"),
        (false, _) => format!("192.0.2.{number}"),
    };
    address(&text)
}

pub(crate) fn access_log(number: usize) -> AccessLog {
    let path = LogPath::new(&format!("/var/log/{number}")).unwrap();
    AccessLog { meta: meta("log"), path, format: LogFormat::Line }
}

pub(crate) fn certificate(number: usize, is_server: bool) -> Certificate {
    let der = std::vec![number as u8];
    let material = if is_server {
        Material::Server(Arc::new(ServerCertificate {
            chain: std::vec![der.clone()],
            key: PrivateKey::from_pkcs8(der),
            domains: BTreeSet::new(),
            staple: None,
        }))
    } else {
        Material::Authorities(Arc::new(Authorities { certificates: std::vec![der] }))
    };
    Certificate { meta: meta("certificate"), material }
}

pub(crate) fn access_list(allow: &BTreeSet<usize>, deny: &BTreeSet<usize>, is_open: bool) -> AccessList {
    let network = |number: &usize| format!("198.51.100.{}/30", 4 * number).parse().unwrap();
    let deny = deny.iter().filter(|number| is_open || !allow.contains(number));
    let deny = deny.map(network).collect();
    let allow = (!is_open).then(|| allow.iter().map(network).collect());
    AccessList { meta: meta("list"), access: Access { allow, deny } }
}

pub(crate) fn check(probe: Probe<CertificateId>, port: Option<Port>) -> Arc<Check<CertificateId>> {
    let pace = Pace::new(Pace::INTERVAL, Pace::TIMEOUT, Pace::RETRIES).unwrap();
    Arc::new(Check { probe, port, pace })
}

pub(crate) fn get(tls: Option<MemberTls<CertificateId>>) -> Probe<CertificateId> {
    Probe::Http(Get { host: None, tls, path: CheckPath::default(), codes: Codes::ok() })
}

/// Trusts this CA, or those of the host.
pub(crate) fn member_tls(ca: Option<usize>) -> MemberTls<CertificateId> {
    let verify = ca.map_or(MemberTrust::System, |ca| MemberTrust::Authorities(id(ca)));
    MemberTls::new(Some(DnsName::new("backend.example").unwrap()), verify).unwrap()
}

pub(crate) fn member(address: HostAddress, port: Port) -> Member {
    Member {
        meta: Meta::default(),
        address,
        port,
        weight: Weight::literal(1),
        enabled: true,
        backup: false,
        zone: Name::default(),
        monitor_address: None,
        monitor_port: None,
    }
}

fn group(
    number: usize,
    members: Vec<(usize, usize, u16, u8)>,
    kind: Members,
    (pick, has_port): (u8, bool),
    v6: bool,
    ca: usize,
) -> ServerGroup {
    let mut sockets = HashSet::new();
    let members = members.into_iter().enumerate().filter_map(|(index, (host_number, at, weight, pick))| {
        let address = host(0x200, host_number, v6 && pick % 4 == 0);
        let member = Member {
            weight: Weight::literal(weight),
            enabled: pick & 1 == 0,
            backup: pick & 2 == 0,
            monitor_address: (pick & 48 == 0).then(|| host(0x200, 99, false)),
            monitor_port: (pick & 192 == 0).then(|| port(9999)),
            ..member(address, port(8080 + at))
        };
        sockets.insert(member.socket()).then(|| (id(number * 10 + index), Arc::new(member)))
    });
    let members: BTreeMap<_, _> = members.collect();
    let own = has_port.then(|| port(9000));
    let get_at = own.or((kind != Members::Plain).then(|| port(9001)));
    let check = match pick % 9 {
        0..3 => None,
        3 => Some(check(Probe::Tcp, own)),
        4 => Some(check(Probe::Udp, own)),
        5 if kind == Members::Tls => Some(check(get(Some(member_tls(has_port.then_some(ca)))), own)),
        _ => Some(check(get(None), get_at)),
    };
    let monitor = |check| HealthMonitor { id: id(number), meta: meta("monitor"), check };
    ServerGroup { meta: meta("group"), members, monitor: check.map(monitor) }
}

fn pool(group: usize, members: Members, kind: u8, algorithm: u8, ca: usize) -> Pool {
    fn algorithm_of<R: Default>(pick: u8) -> Algorithm<R> {
        match pick % 3 {
            0 => Algorithm::WeightedRoundRobin(R::default()),
            1 => Algorithm::WeightedLeastConnections,
            _ => Algorithm::SourceHash,
        }
    }
    let on_down = OnDown::ALL[usize::from(kind / 4 % 2)];
    let weights = Weights::ALL[usize::from(algorithm / 3 % 2)];
    let kind = if kind.is_multiple_of(2) && members == Members::Plain {
        let drain_timeout = kind.is_multiple_of(3).then(|| Seconds::literal(9));
        PoolKind::Layer4 { algorithm: algorithm_of(algorithm), drain_timeout }
    } else {
        let http = MemberHttp {
            tls: (members == Members::Tls).then(|| member_tls(algorithm.is_multiple_of(2).then_some(ca))),
            http2: false,
            proxy_protocol: (members == Members::Proxied).then_some(ProxyVersion::V2),
        };
        let algorithm: Algorithm<Turns7> = algorithm_of(algorithm);
        PoolKind::Layer7 { algorithm, http, ejection: Some(Ejection::default()) }
    };
    Pool { meta: meta("pool"), server_group: id(group), weights, on_down, kind }
}

/// A condition that no other number's equals.
pub(crate) fn condition(number: usize) -> Arc<Condition> {
    Arc::new(Condition {
        domain: (!number.is_multiple_of(3)).then(|| Domain::new(&format!("{number}.example")).unwrap()),
        path: (number % 3 < 2).then(|| PathMatch::prefix(&format!("/{number}")).unwrap()),
        rules: BTreeSet::new(),
    })
}

type ListenerRecipe = (u8, usize, u8, u8, Vec<(usize, u8, u8)>);

fn add_listeners(objects: &mut Objects, recipes: Vec<ListenerRecipe>) {
    let of_layer = |is_7: bool| -> Vec<_> {
        let pools = objects.pools.iter();
        let pools = pools.filter(|(_, pool)| matches!(pool.kind, PoolKind::Layer7 { .. }) == is_7);
        pools.map(|(&id, _)| id).collect()
    };
    let (pools4, pools7) = (of_layer(false), of_layer(true));
    let of_kind = |is_server: bool| -> Vec<_> {
        let certificates = objects.certificates.iter();
        let of_kind = certificates.filter(|(_, it)| matches!(it.material, Material::Server(_)) == is_server);
        of_kind.map(|(&id, _)| id).collect()
    };
    let (servers, authorities) = (of_kind(true), of_kind(false));
    let mut places = HashSet::new();
    let recipes = recipes.into_iter().enumerate().filter_map(|(number, recipe)| {
        let load_balancer = pick_of(objects.load_balancers.keys(), recipe.0)?;
        let service = recipe.2 % 4;
        let is_free = places.insert((load_balancer, service == 1, recipe.1));
        (is_free && (service > 1 || !pools4.is_empty())).then_some((number, load_balancer, service, recipe))
    });
    let recipes: Vec<_> = recipes.collect();
    let secure: Vec<_> = recipes
        .iter()
        .filter(|it| it.2 == 3)
        .map(|it| (id::<crate::id::kind::Listener>(it.0), it.1))
        .collect();
    for (number, load_balancer, service, (pick, at, _, other, policies)) in recipes {
        let siblings: Vec<_> = secure
            .iter()
            .filter(|(other, of)| *other != id(number) && *of == load_balancer)
            .map(|(id, _)| *id)
            .collect();
        let redirect = |pick| Redirect {
            status: RedirectStatus::default(),
            to: match pick_of(siblings.iter(), pick) {
                Some(listener) => RedirectTo::Listener(listener),
                None => RedirectTo::Url(Url::new("https://www.example.com").unwrap()),
            },
        };
        let mut conditions = HashSet::new();
        let policies = policies.into_iter().enumerate().filter_map(|(index, (which, action, pick))| {
            let action = match (action, pick_of(pools7.iter(), pick)) {
                (0 | 1, Some(pool)) => Action::Pool(pool),
                (2, _) => Action::Redirect(redirect(pick)),
                _ => Action::Reject(RejectStatus::literal(403)),
            };
            let policy = Policy {
                id: id(number * 10 + index),
                meta: meta("policy"),
                condition: condition(which),
                action,
            };
            conditions.insert(which).then(|| Arc::new(policy))
        });
        let http = Http { policies: policies.collect(), ..Http::default() };
        let service = match service {
            0 => Service::Tcp { when_down: if pick < 128 { WhenDown::Drop } else { WhenDown::Reset } },
            1 => Service::Udp,
            2 => Service::Http { http, redirect: (pick % 5 == 0).then(|| redirect(other)) },
            _ => Service::Https {
                http,
                tls: Tls {
                    http2: true,
                    certificates: servers.clone(),
                    default_certificate: pick_of(servers.iter(), pick).unwrap(),
                    client_ca: pick_of(authorities.iter(), other).filter(|_| other % 3 == 0),
                    policy: TlsPolicy::default(),
                    ciphers: None,
                },
            },
        };
        let forwarded = matches!(service, Service::Tcp { .. } | Service::Udp);
        let listener = Listener {
            meta: meta("listener"),
            load_balancer,
            port: port(at),
            default_pool: if forwarded {
                pick_of(pools4.iter(), other)
            } else {
                pick_of(pools7.iter(), other).filter(|_| other % 4 > 0)
            },
            service,
            idle_timeout: Listener::IDLE_TIMEOUT,
            access_list: pick_of(objects.access_lists.keys(), other).filter(|_| pick % 2 == 0),
            max_connections: None,
            max_connections_per_second: None,
        };
        put(&mut objects.listeners, number, listener);
    }
}
