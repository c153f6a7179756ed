//! The file's objects as records: read-only, with the ids that the file gives them. What records lack (limits, the
//! text of certificates) is not shown.

mod policies;

use std::{collections::BTreeMap, sync::Arc};

use model::{
    algorithm::{Algorithm, Weights},
    control::Control,
    edge::{ForwardedFor, ProxyVersion},
    health::Probe,
    id::{Id, of_text},
    object::{self, Material, Meta, Objects, PoolKind, Service, Source},
    policy::PolicyOrder,
    sticky::StickyBy,
};
use uuid::Uuid;

use super::{
    DEFAULT_PROJECT,
    kinds::{
        certificate::{Certificate, CertificateKind},
        health_monitor::{HealthMonitor, MonitorKind},
        l7_policy::L7Policy,
        l7_rule::L7Rule,
        listener::{Listener, Protocol},
        listener_tls::{ALPN, ContainerRef, ListenerTls},
        load_balancer::{LoadBalancer, PROVIDERS, Vip},
        member::Member,
        pool::{Persistence, Pool, PoolAlgorithm, PoolProtocol},
    },
    networks,
    record::Head,
    records::Records,
};

/// The records of all objects that are the file's. How old they are, nobody knows.
pub fn records(objects: &Objects, control: &Control) -> Records {
    let mut records = Records::default();
    let head = |id: Uuid, meta: &Meta, is_enabled: bool| Head {
        id,
        project: DEFAULT_PROJECT.into(),
        name: meta.name.to_string(),
        description: meta.description.to_string(),
        tags: meta.tags.iter().map(|tag| format!("{}={}", tag.key(), tag.value())).collect(),
        is_enabled,
        is_protected: false,
        created: None,
        updated: None,
        is_of_file: true,
    };
    for (id, it) in objects.load_balancers.iter().filter(|(_, it)| it.meta.source == Source::File) {
        let subnet = |address| control.vip_pools.iter().find(|pool| pool.has(address)).map(networks::subnet);
        let vips = it.vips.iter().map(|vip| Vip { address: vip.get(), subnet: subnet(vip.get()) });
        records.put(LoadBalancer {
            head: head(id.uuid(), &it.meta, true),
            vips: vips.collect(),
            bandwidth_mbit: it.bandwidth.map(|rate| rate.get()),
            provider: PROVIDERS[0].into(),
        });
    }
    for (listener_id, it) in objects.listeners.iter().filter(|(_, it)| it.meta.source == Source::File) {
        let list = it.access_list.and_then(|list| objects.access_lists.get(&list));
        let allowed = list.and_then(|list| list.access.allow.as_ref());
        let (member_connect, member_data, insert_headers) = match it.http() {
            None => (5, 50, BTreeMap::new()),
            Some(http) => {
                let forwarded = &http.edge.forwarded;
                let inserted = [
                    ("X-Forwarded-For", forwarded.address != ForwardedFor::Keep),
                    ("X-Forwarded-Port", forwarded.port),
                    ("X-Forwarded-Proto", forwarded.proto),
                ];
                let inserted =
                    inserted.into_iter().filter(|(_, is)| *is).map(|(name, _)| (name.into(), "true".into()));
                (http.timeouts.connect.get(), http.timeouts.read.get(), inserted.collect())
            }
        };
        records.put(Listener {
            head: head(listener_id.uuid(), &it.meta, true),
            load_balancer: it.load_balancer.uuid(),
            protocol: match it.service {
                Service::Tcp { .. } => Protocol::Tcp,
                Service::Udp => Protocol::Udp,
                Service::Http { .. } => Protocol::Http,
                Service::Https { .. } => Protocol::TerminatedHttps,
            },
            port: it.port.get(),
            default_pool: it.default_pool.map(Id::uuid),
            connection_limit: it.max_connections.map(|most| most.get()),
            insert_headers,
            allowed_cidrs: allowed.map(|all| all.iter().map(|network| network.get()).collect()),
            client_data: it.idle_timeout.get() * 1000,
            member_connect: member_connect * 1000,
            member_data: member_data * 1000,
            tls: match &it.service {
                Service::Https { tls, .. } => listener_tls(tls),
                _ => ListenerTls::default(),
            },
            is_specific: it.http().is_none_or(|http| http.policy_order == PolicyOrder::Specific),
        });
        for (position, policy) in (1..).zip(it.http().into_iter().flat_map(|http| &http.policies)) {
            let head = |id: Uuid, meta: &Meta| head(id, meta, true);
            let id = policy.id.uuid();
            records.put(L7Policy {
                head: head(id, &policy.meta),
                listener: listener_id.uuid(),
                position,
                action: policies::action(&policy.action),
            });
            for (number, rule) in policies::rules(&policy.condition).into_iter().enumerate() {
                let head = head(of_text(&format!("rule {number}\0{id}")), &Meta::default());
                records.put(L7Rule { head, policy: id, ..rule });
            }
        }
    }
    for (id, it) in objects.certificates.iter().filter(|(_, it)| it.meta.source == Source::File) {
        let kind = match it.material {
            Material::Server(_) => CertificateKind::Server,
            Material::Authorities(_) => CertificateKind::Client,
        };
        let head = head(id.uuid(), &it.meta, true);
        records.put(Certificate { head, kind, ..Certificate::default() });
    }
    for (id, it) in objects.pools.iter().filter(|(_, it)| it.meta.source == Source::File) {
        let pool = pool(head(id.uuid(), &it.meta, true), objects, *id, it);
        let group = objects.server_groups.get(&it.server_group);
        // A group that several pools share is shown in each, with ids of its own there.
        let is_shared =
            objects.pools.values().filter(|other| other.server_group == it.server_group).count() > 1;
        let own = |inner: Uuid| if is_shared { of_text(&format!("{id}\0{inner}")) } else { inner };
        for (member_id, member) in group.into_iter().flat_map(|group| &group.members) {
            records.put(self::member(
                head(own(member_id.uuid()), &member.meta, member.enabled),
                id.uuid(),
                member,
            ));
        }
        if let Some(monitor) = group.and_then(|group| group.monitor.as_ref()) {
            records.put(self::monitor(head(own(monitor.id.uuid()), &monitor.meta, true), id.uuid(), monitor));
        }
        records.put(pool);
    }
    records
}

fn listener_tls(tls: &object::Tls) -> ListenerTls {
    let named = |id: object::CertificateId| ContainerRef { text: id.to_string(), id: id.uuid() };
    let others = tls.certificates.iter().filter(|id| **id != tls.default_certificate);
    let offered = if tls.http2 { &ALPN[..2] } else { &ALPN[1..2] };
    ListenerTls {
        default: Some(named(tls.default_certificate)),
        sni: others.copied().map(named).collect(),
        client_ca: tls.client_ca.map(named),
        is_mandatory: tls.client_ca.is_some(),
        policy: tls.policy.name().into(),
        ciphers: None,
        alpn: offered.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn pool(head: Head, objects: &Objects, id: object::PoolId, it: &object::Pool) -> Pool {
    let listeners: Vec<&Arc<object::Listener>> =
        objects.listeners.values().filter(|listener| listener.default_pool == Some(id)).collect();
    let is_udp = listeners.iter().any(|listener| matches!(listener.service, Service::Udp));
    let persistence = |kind: &str, cookie_name: Option<String>, timeout| {
        Some(Persistence { kind: kind.into(), cookie_name, timeout })
    };
    let (protocol, tls_enabled, persistence) = match &it.kind {
        PoolKind::Layer4 { algorithm, .. } => {
            let minutes = algorithm.turns().copied().flatten();
            let sticky =
                minutes.and_then(|it| persistence("SOURCE_IP", None, Some(u32::from(it.get()) * 60)));
            (if is_udp { PoolProtocol::Udp } else { PoolProtocol::Tcp }, false, sticky)
        }
        PoolKind::Layer7 { algorithm, http, .. } => {
            let protocol = match http.proxy_protocol {
                None => PoolProtocol::Http,
                Some(ProxyVersion::V1) => PoolProtocol::Proxy,
                Some(ProxyVersion::V2) => PoolProtocol::ProxyV2,
            };
            let sticky = algorithm.turns().and_then(|turns| turns.sticky.as_ref());
            let sticky = sticky.and_then(|sticky| match &sticky.by {
                StickyBy::BalancerCookie { .. } => persistence("HTTP_COOKIE", None, None),
                StickyBy::ApplicationCookie { name, .. } => {
                    persistence("APP_COOKIE", Some(name.to_string()), None)
                }
            });
            (protocol, http.tls.is_some(), sticky)
        }
    };
    let algorithm = match it.kind.algorithm() {
        Algorithm::WeightedRoundRobin(()) => PoolAlgorithm::RoundRobin,
        Algorithm::WeightedLeastConnections => PoolAlgorithm::LeastConnections,
        Algorithm::SourceHash => PoolAlgorithm::SourceIp,
    };
    let load_balancer = listeners.first().map(|listener| listener.load_balancer.uuid());
    let ignores_weights = it.weights == Weights::Ignore;
    Pool { head, load_balancer, protocol, algorithm, ignores_weights, persistence, tls_enabled }
}

fn member(head: Head, pool: Uuid, it: &object::Member) -> Member {
    Member {
        head,
        pool,
        address: it.address.get(),
        port: it.port.get(),
        weight: it.weight.get(),
        is_backup: it.backup,
        subnet: None,
        monitor_address: it.monitor_address.map(|address| address.get()),
        monitor_port: it.monitor_port.map(|port| port.get()),
    }
}

fn monitor(head: Head, pool: Uuid, it: &object::HealthMonitor) -> HealthMonitor {
    let pace = &it.check.pace;
    let mut made = HealthMonitor {
        head,
        pool,
        delay: pace.interval().get(),
        timeout: pace.timeout().get(),
        max_retries: pace.retries.get(),
        max_retries_down: pace.retries_down.get(),
        ..HealthMonitor::default()
    };
    match &it.check.probe {
        Probe::Tcp => {}
        Probe::Udp => made.kind = MonitorKind::UdpConnect,
        Probe::Http(get) => {
            made.kind = if get.tls.is_some() { MonitorKind::Https } else { MonitorKind::Http };
            get.path.as_str().clone_into(&mut made.url_path);
            made.expected_codes = get.codes.to_string();
            made.domain_name = get.host.as_ref().map(ToString::to_string);
        }
    }
    made
}
