//! What is served because of the records: objects of the model. What the model lacks (names that are ids, listeners without
//! a pool at Layer 4, what is switched off) stays in the records.
//!
//! A pool is served at the layer of its protocol, under its own id. If a TCP listener uses an HTTP pool, that is served at
//! Layer 4 as well, under a second id.

mod access;
pub mod common;
pub mod policies;
mod tls;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use model::{
    algorithm::{Algorithm, Weights},
    edge::{Edge, Forwarded, ForwardedFor, ProxyVersion},
    health::{Check, CheckPath, Codes, Get, Pace, Probe},
    http::{HttpTimeouts, MemberHttp},
    id::{Id, Object, of_text},
    object::{
        self, AccessList, AccessListId, Http, LoadBalancerId, Map, Meta, Objects, PoolId, PoolKind,
        ServerGroup, ServerGroupId, Service, Turns7,
    },
    policy::PolicyOrder,
    sticky::{COOKIE_MINUTES, Ejection, REMEMBERED, STICKY_MINUTES, SameSite, Sticky, StickyBy},
    tls::MemberTls,
    transport::{OnDown, WhenDown},
    value::{
        CheckTime, HostAddress, HostName, MaxConnections, Megabits, Name, Number, Port, Retries, Seconds,
        StickyMinutes, Token, Weight,
    },
};
use uuid::Uuid;

use self::{
    access::access_list,
    common::{meta, serves},
    policies::policies,
    tls::{certificate, tls},
};
use super::{
    error::{Fault, invalid},
    kinds::{
        certificate::Certificate,
        health_monitor::{HealthMonitor, MonitorKind},
        l7_policy::L7Policy,
        listener::{Listener, Protocol},
        load_balancer::LoadBalancer,
        member::Member,
        pool::{Persistence, Pool, PoolAlgorithm, PoolProtocol, at_layer4},
        whitelist::Whitelist,
    },
    record::Record,
    records::{Key, Records},
};

/// Makes the objects of what was touched as the records have it. Objects that stay equal stay the same.
///
/// # Errors
/// What of a record cannot be served.
pub fn derive(records: &Records, touched: &BTreeSet<Key>, objects: &mut Objects) -> Result<(), Fault> {
    let (mut load_balancers, mut listeners, mut pools) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for &(kind, id) in touched {
        match kind {
            LoadBalancer::KIND => {
                load_balancers.insert(id);
                listeners.extend(records.children::<Listener>(id).map(|listener| listener.head.id));
            }
            Listener::KIND => {
                listeners.insert(id);
                // The pool may be served at another layer now, or no longer.
                let before = objects.listeners.get(&Id::from_uuid(id)).and_then(|before| before.default_pool);
                let before = before.map(|pool| pool.uuid());
                let twins =
                    records.all::<Pool>().filter(|pool| before == Some(at_layer4(pool.head.id).uuid()));
                pools.extend(twins.map(|pool| pool.head.id));
                pools.extend(records.get::<Listener>(id).and_then(|listener| listener.default_pool));
            }
            L7Policy::KIND => listeners.extend(records.get::<L7Policy>(id).map(|policy| policy.listener)),
            Whitelist::KIND => listeners.extend(records.get::<Whitelist>(id).map(|it| it.listener)),
            Certificate::KIND => {
                let made = records.get::<Certificate>(id).map(certificate).transpose()?;
                settle(&mut objects.certificates, Id::from_uuid(id), made);
            }
            Pool::KIND => {
                pools.insert(id);
            }
            Member::KIND => pools.extend(records.get::<Member>(id).map(|member| member.pool)),
            HealthMonitor::KIND => pools.extend(records.get::<HealthMonitor>(id).map(|monitor| monitor.pool)),
            _ => {}
        }
    }
    // What is gone no longer says what it belonged to.
    let is_gone = |&&(kind, id): &&Key| match kind {
        Member::KIND => records.get::<Member>(id).is_none(),
        HealthMonitor::KIND => records.get::<HealthMonitor>(id).is_none(),
        _ => false,
    };
    let gone: BTreeSet<Uuid> = touched.iter().filter(is_gone).map(|&(_, id)| id).collect();
    if !gone.is_empty() {
        let had = |group: &ServerGroup| {
            gone.iter().any(|&id| group.members.contains_key(&Id::from_uuid(id)))
                || group.monitor.as_ref().is_some_and(|monitor| gone.contains(&monitor.id.uuid()))
        };
        let groups = objects.server_groups.iter().filter(|(_, group)| had(group));
        pools.extend(groups.map(|(id, _)| id.uuid()));
    }
    // Whether a policy leads somewhere depends on whether that is served.
    let leads_there = |policy: &&L7Policy| policy.action.listener().is_some_and(|id| listeners.contains(&id));
    let leading: Vec<Uuid> =
        records.all::<L7Policy>().filter(leads_there).map(|policy| policy.listener).collect();
    listeners.extend(leading);
    for id in load_balancers {
        let made = records.get::<LoadBalancer>(id).map(load_balancer).transpose()?;
        settle(&mut objects.load_balancers, Id::from_uuid(id), made);
    }
    for id in listeners {
        let before = objects.listeners.get(&Id::from_uuid(id)).map(|before| &**before);
        // One that is switched off has to be one, too.
        let made = match records.get::<Listener>(id) {
            Some(record) if serves(records, record) => {
                Some(listener(records, record, policies(records, record, touched, before)?)?)
            }
            Some(record) => listener(records, record, Vec::new()).map(|_| None)?,
            None => None,
        };
        let (made, list) = made.unzip();
        settle(&mut objects.listeners, Id::from_uuid(id), made);
        settle(&mut objects.access_lists, access_list_id(id), list.flatten());
    }
    for id in pools {
        pool(records, id, objects)?;
    }
    Ok(())
}

/// Puts an object in or takes it out. One that is equal to what is there leaves that alone.
fn settle<T: Object + PartialEq>(map: &mut Map<T>, id: Id<T::Kind>, made: Option<T>) {
    match made {
        None => {
            map.remove(&id);
        }
        Some(made) if map.get(&id).is_some_and(|there| **there == made) => {}
        Some(made) => {
            map.insert(id, Arc::new(made));
        }
    }
}

fn number<N: Number>(attribute: &'static str, number: impl Into<u32>) -> Result<N, Fault> {
    N::new(number.into()).map_err(invalid(attribute))
}

fn load_balancer(record: &LoadBalancer) -> Result<object::LoadBalancer, Fault> {
    let vips =
        record.vips.iter().map(|vip| HostAddress::new(vip.address, "VIP").map_err(invalid("vip_address")));
    Ok(object::LoadBalancer {
        meta: meta(&record.head)?,
        vips: vips.collect::<Result<_, _>>()?,
        bandwidth: record
            .bandwidth_mbit
            .map(|rate| number::<Megabits>("bandwidth_mbit", rate))
            .transpose()?,
        access_log: None,
    })
}

fn access_list_id(listener: Uuid) -> AccessListId {
    Id::from_uuid(of_text(&format!("access list\0{listener}")))
}

/// A listener with its access list.
fn listener(
    records: &Records,
    record: &Listener,
    policies: Vec<Arc<object::Policy>>,
) -> Result<(object::Listener, Option<AccessList>), Fault> {
    let default_pool = record.default_pool.map(|id| used_pool(records, record, id)).transpose()?;
    let whole_seconds = |attribute, milliseconds: u32| {
        let time = std::time::Duration::from_secs(milliseconds.div_ceil(1000).into());
        Seconds::new(time).map_err(invalid(attribute))
    };
    let silent = whole_seconds("timeout_client_data", record.client_data)?;
    let service = match record.protocol {
        Protocol::Tcp | Protocol::Https => Service::Tcp { when_down: WhenDown::default() },
        Protocol::Udp => Service::Udp,
        Protocol::Http | Protocol::TerminatedHttps => {
            let member = whole_seconds("timeout_member_data", record.member_data)?;
            let timeouts = HttpTimeouts {
                connect: whole_seconds("timeout_member_connect", record.member_connect)?,
                read: member,
                write: member,
                ..HttpTimeouts::default()
            };
            let inserts = |name| {
                record.insert_headers.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
            };
            let forwarded = Forwarded {
                address: if inserts("X-Forwarded-For") { ForwardedFor::Append } else { ForwardedFor::Keep },
                proto: inserts("X-Forwarded-Proto"),
                port: inserts("X-Forwarded-Port"),
                host: false,
            };
            let edge = Edge { forwarded, ..Edge::default() };
            let policy_order = if record.is_specific { PolicyOrder::Specific } else { PolicyOrder::Position };
            let http = Http { timeouts, edge, policies, policy_order };
            if record.protocol == Protocol::TerminatedHttps {
                Service::Https { http, tls: tls(&record.tls)? }
            } else {
                Service::Http { http, redirect: None }
            }
        }
    };
    let list = access_list(records, record)?;
    let limit = record
        .connection_limit
        .map(|limit| number::<MaxConnections>("connection_limit", limit))
        .transpose()?;
    let made = object::Listener {
        meta: meta(&record.head)?,
        load_balancer: LoadBalancerId::from_uuid(record.load_balancer),
        port: number("protocol_port", record.port)?,
        service,
        default_pool,
        idle_timeout: silent,
        access_list: list.is_some().then(|| access_list_id(record.head.id)),
        max_connections: limit,
        max_connections_per_second: None,
    };
    Ok((made, list))
}

/// The pool as a listener uses it.
fn used_pool(records: &Records, listener: &Listener, id: Uuid) -> Result<PoolId, Fault> {
    let pool = records.find::<Pool>(id)?;
    let is_twin = pool.protocol.is_http() && !listener.protocol.is_http();
    Ok(if is_twin { at_layer4(id) } else { Id::from_uuid(id) })
}

/// Makes a pool's server group and the pool at each layer where it is used.
fn pool(records: &Records, id: Uuid, objects: &mut Objects) -> Result<(), Fault> {
    let group: ServerGroupId = Id::from_uuid(id);
    let Some(record) = records.get::<Pool>(id) else {
        settle(&mut objects.pools, Id::from_uuid(id), None);
        settle(&mut objects.pools, at_layer4(id), None);
        settle(&mut objects.server_groups, group, None);
        return Ok(());
    };
    let monitor = records.children::<HealthMonitor>(id).next();
    let monitor = monitor.filter(|monitor| monitor.head.is_enabled);
    let made = ServerGroup {
        meta: Meta::default(),
        members: members(records, record, objects.server_groups.get(&group))?,
        monitor: monitor.map(self::monitor).transpose()?,
    };
    settle(&mut objects.server_groups, group, Some(made));
    let meta = meta(&record.head)?;
    let own = if record.protocol.is_http() { layer7(record)? } else { layer4(record)? };
    let made = |meta, kind| object::Pool {
        meta,
        server_group: group,
        weights: if record.ignores_weights { Weights::Ignore } else { Weights::Count },
        on_down: OnDown::default(),
        kind,
    };
    let own = made(meta.clone(), own);
    settle(&mut objects.pools, Id::from_uuid(id), Some(own));
    let is_forwarded = |listener: &&Listener| !listener.protocol.is_http();
    let has_twin = record.protocol.is_http() && record.listeners(records).iter().any(is_forwarded);
    let twin = has_twin.then(|| layer4(record)).transpose()?;
    let twin = twin.map(|kind| made(meta, kind));
    settle(&mut objects.pools, at_layer4(id), twin);
    Ok(())
}

/// A pool's members. Those that stay equal to what is there stay the same.
fn members(
    records: &Records,
    pool: &Pool,
    before: Option<&Arc<ServerGroup>>,
) -> Result<BTreeMap<object::MemberId, Arc<object::Member>>, Fault> {
    let members = records.children::<Member>(pool.head.id).map(|record| {
        let id = Id::from_uuid(record.head.id);
        let host = |attribute, address| HostAddress::new(address, "member").map_err(invalid(attribute));
        let made = object::Member {
            meta: meta(&record.head)?,
            address: host("address", record.address)?,
            port: number::<Port>("protocol_port", record.port)?,
            weight: number::<Weight>("weight", record.weight)?,
            enabled: record.head.is_enabled && pool.head.is_enabled,
            backup: record.is_backup,
            zone: Name::default(),
            monitor_address: record.monitor_address.map(|it| host("monitor_address", it)).transpose()?,
            monitor_port: record.monitor_port.map(|port| number("monitor_port", port)).transpose()?,
        };
        let there = before.and_then(|group| group.members.get(&id)).filter(|there| ***there == made);
        Ok((id, there.cloned().unwrap_or_else(|| Arc::new(made))))
    });
    members.collect()
}

fn monitor(record: &HealthMonitor) -> Result<object::HealthMonitor, Fault> {
    let time = |attribute, seconds: u32| {
        CheckTime::new(std::time::Duration::from_secs(seconds.into())).map_err(invalid(attribute))
    };
    let delay = time("delay", record.delay)?;
    // As the guide has it: what is longer counts as the delay (OTC guide, table 5-1).
    let timeout = time("timeout", record.timeout)?.min(delay);
    let retries = number::<Retries>("max_retries", record.max_retries)?;
    let mut pace = Pace::new(delay, timeout, retries).map_err(invalid("timeout"))?;
    pace.retries_down = number("max_retries_down", record.max_retries_down)?;
    let probe = match record.kind {
        MonitorKind::Tcp => Probe::Tcp,
        MonitorKind::UdpConnect => Probe::Udp,
        MonitorKind::Http | MonitorKind::Https => {
            let host =
                record.domain_name.as_ref().map(|name| HostName::new(name).map_err(invalid("domain_name")));
            // Octavia checks no member's certificate.
            let tls = (record.kind == MonitorKind::Https).then(|| MemberTls::unverified(None));
            Probe::Http(Get {
                host: host.transpose()?,
                tls,
                path: CheckPath::new(&record.url_path).map_err(invalid("url_path"))?,
                codes: Codes::new(&record.expected_codes).map_err(invalid("expected_codes"))?,
            })
        }
    };
    let check = Arc::new(Check { probe, port: None, pace });
    Ok(object::HealthMonitor { id: Id::from_uuid(record.head.id), meta: meta(&record.head)?, check })
}

fn layer4(pool: &Pool) -> Result<PoolKind, Fault> {
    let algorithm = match (pool.algorithm, &pool.persistence) {
        (PoolAlgorithm::RoundRobin, Some(sticky)) if sticky.kind == "SOURCE_IP" => {
            let minutes =
                sticky.timeout.map(|seconds| number::<StickyMinutes>("persistence_timeout", seconds / 60));
            Algorithm::WeightedRoundRobin(Some(minutes.transpose()?.unwrap_or(STICKY_MINUTES)))
        }
        (_, Some(sticky)) if sticky.kind != "SOURCE_IP" => {
            return Err(Fault::invalid(format!(
                "Pool {} keeps its clients by cookies, which nobody reads at Layer 4: a TCP listener cannot use it.",
                pool.head.id
            )));
        }
        (PoolAlgorithm::RoundRobin, _) => Algorithm::WeightedRoundRobin(None),
        (PoolAlgorithm::LeastConnections, _) => Algorithm::WeightedLeastConnections,
        (PoolAlgorithm::SourceIp, _) => Algorithm::SourceHash,
    };
    Ok(PoolKind::Layer4 { algorithm, drain_timeout: None })
}

fn layer7(pool: &Pool) -> Result<PoolKind, Fault> {
    let algorithm = match (pool.algorithm, &pool.persistence) {
        // By the client's address, for as long as the members are the same: what persistence asks for.
        (PoolAlgorithm::RoundRobin, Some(sticky)) if sticky.kind == "SOURCE_IP" => Algorithm::SourceHash,
        (PoolAlgorithm::RoundRobin, sticky) => {
            let cookie = |sticky: &Persistence| -> Result<Sticky, Fault> {
                let name =
                    sticky.cookie_name.as_ref().map(|name| Token::new(name).map_err(invalid("cookie_name")));
                let by = match (&*sticky.kind, name.transpose()?) {
                    ("APP_COOKIE", Some(name)) => {
                        StickyBy::ApplicationCookie { name, remembered: REMEMBERED }
                    }
                    (_, name) => StickyBy::BalancerCookie { name, same_site: SameSite::default() },
                };
                Ok(Sticky { by, time: COOKIE_MINUTES, drain: false })
            };
            let sticky = sticky.as_ref().map(cookie).transpose()?;
            Algorithm::WeightedRoundRobin(Turns7 { sticky, slow_start: None })
        }
        (PoolAlgorithm::LeastConnections, _) => Algorithm::WeightedLeastConnections,
        (PoolAlgorithm::SourceIp, _) => Algorithm::SourceHash,
    };
    let http = MemberHttp {
        tls: pool.tls_enabled.then(|| MemberTls::unverified(None)),
        http2: false,
        proxy_protocol: match pool.protocol {
            PoolProtocol::Proxy => Some(ProxyVersion::V1),
            PoolProtocol::ProxyV2 => Some(ProxyVersion::V2),
            _ => None,
        },
    };
    Ok(PoolKind::Layer7 { algorithm, http, ejection: Some(Ejection::default()) })
}
