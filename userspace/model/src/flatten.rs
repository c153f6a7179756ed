//! Objects become what this host serves. Pure.
//!
//! What is made of the same objects as before is not made again but shared, so that a change costs what it touches.
//! Objects that [`crate::check`] finds fault with are left out as far as they cannot be served.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    access::Access,
    algorithm::Algorithm,
    edge,
    id::Id,
    object,
    object::{AccessListId, Listener, LoadBalancer, Map, Material, Objects, PoolKind, Service},
    policy,
    served::{self, ListenerKey, Served, WhenDown},
    value::{Port, Weight},
};

/// What was served because of other objects.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// The objects.
    pub objects: &'a Objects,
    /// What was served.
    pub served: &'a Served,
}

/// What this host serves because of `objects`. Equal to what it would be without `before`, which it shares with.
pub fn flatten(objects: &Objects, before: Option<Before<'_>>) -> Served {
    let flatten = Flatten { objects, before };
    let mut served = Served::default();
    for (&id, pool) in &objects.pools {
        served.pools.extend(flatten.pool(id, pool).map(|pool| (id, pool)));
    }
    for load_balancer in objects.load_balancers.values() {
        served.vips.extend(load_balancer.vips.iter().map(|vip| vip.get()));
    }
    for (&id, listener) in &objects.listeners {
        let Some(load_balancer) = objects.load_balancers.get(&listener.load_balancer) else { continue };
        let key = |vip| ListenerKey { vip, port: listener.port, protocol: listener.service.transport() };
        let mut keys = load_balancer.vips.iter().map(|vip| key(vip.get()));
        let Some(first) = keys.next() else { continue };
        if let Some(flat) = flatten.listener(id, listener, load_balancer, first) {
            served.listeners.extend(keys.map(|key| (key, flat.clone())));
            served.listeners.insert(first, flat);
        }
    }
    served
}

struct Flatten<'a> {
    objects: &'a Objects,
    before: Option<Before<'a>>,
}

impl Flatten<'_> {
    fn pool(&self, id: object::PoolId, pool: &object::Pool) -> Option<Arc<served::Pool>> {
        let group = self.objects.server_groups.get(&pool.server_group)?;
        if let Some(before) = self.before
            && same(&before.objects.pools, &self.objects.pools, id)
            && same(&before.objects.server_groups, &self.objects.server_groups, pool.server_group)
            && let Some(flat) = before.served.pools.get(&id)
        {
            return Some(flat.clone());
        }
        let check = group.monitor.as_ref().map(|monitor| monitor.check.clone());
        let members = group.members.values().map(|member| {
            let socket = member.socket();
            let port = member.monitor_port.or_else(|| check.as_ref()?.port).unwrap_or(member.port);
            let flat = served::Member {
                weight: if member.enabled { member.weight } else { Weight::literal(0) },
                backup: member.backup,
                checked_at: SocketAddr::new(
                    member.monitor_address.unwrap_or(member.address).get(),
                    port.get(),
                ),
            };
            (socket, flat)
        });
        let members = members.collect();
        let name = pool.meta.name.clone();
        let flat = match &pool.kind {
            PoolKind::Layer4 { algorithm, drain_timeout } => served::Pool {
                name,
                members,
                algorithm: algorithm.clone(),
                check,
                drain_timeout: *drain_timeout,
                http: None,
            },
            PoolKind::Layer7 { algorithm, http, ejection } => served::Pool {
                name,
                members,
                algorithm: match algorithm.bare() {
                    Algorithm::WeightedRoundRobin(()) => Algorithm::WeightedRoundRobin(None),
                    Algorithm::WeightedLeastConnections => Algorithm::WeightedLeastConnections,
                    Algorithm::SourceHash => Algorithm::SourceHash,
                },
                check,
                drain_timeout: None,
                http: Some(served::HttpPool {
                    member: http.clone(),
                    sticky: algorithm.turns().and_then(|turns| turns.sticky.clone()),
                    slow_start: algorithm.turns().and_then(|turns| turns.slow_start),
                    ejection: *ejection,
                }),
            },
        };
        Some(Arc::new(flat))
    }

    fn listener(
        &self,
        id: object::ListenerId,
        listener: &Listener,
        load_balancer: &LoadBalancer,
        key: ListenerKey,
    ) -> Option<Arc<served::Listener>> {
        if let Some(before) = self.before
            && self.is_unchanged(&before, id, listener, load_balancer)
            && let Some(flat) = before.served.listeners.get(&key)
        {
            return Some(flat.clone());
        }
        let pool = listener.default_pool.filter(|pool| self.objects.pools.contains_key(pool));
        let http = match &listener.service {
            Service::Tcp { .. } | Service::Udp => {
                pool?;
                None
            }
            Service::Http { http, redirect } => {
                let redirect = redirect.as_ref().and_then(|redirect| self.redirect(redirect));
                Some(Arc::new(served::HttpListener { redirect, ..self.http(http, load_balancer) }))
            }
            Service::Https { http, tls } => {
                let tls = Some(self.tls(tls)?);
                Some(Arc::new(served::HttpListener { tls, ..self.http(http, load_balancer) }))
            }
        };
        let flat = served::Listener {
            id,
            name: listener.meta.name.clone(),
            load_balancer: listener.load_balancer,
            load_balancer_name: load_balancer.meta.name.clone(),
            pool,
            idle_timeout: listener.idle_timeout,
            access: self.access(listener.access_list),
            limits: served::Limits {
                bandwidth: load_balancer.bandwidth,
                connections: listener.max_connections,
                connections_per_second: listener.max_connections_per_second,
            },
            when_down: match listener.service {
                Service::Tcp { when_down } => when_down,
                _ => WhenDown::default(),
            },
            drains: false,
            http,
        };
        Some(Arc::new(flat))
    }

    /// Whether all that a listener is made of is the same as before.
    fn is_unchanged(
        &self,
        before: &Before<'_>,
        id: object::ListenerId,
        listener: &Listener,
        load_balancer: &LoadBalancer,
    ) -> bool {
        let (old, new) = (before.objects, self.objects);
        let certificate = |id| same(&old.certificates, &new.certificates, id);
        let pool = |id| old.pools.contains_key(&id) == new.pools.contains_key(&id);
        let target = |redirect: &policy::Redirect<object::ListenerId>| match redirect.to {
            policy::RedirectTo::Listener(id) => same(&old.listeners, &new.listeners, id),
            _ => true,
        };
        let is_same_http = |http: &object::Http| {
            load_balancer.access_log.is_none_or(|log| same(&old.access_logs, &new.access_logs, log))
                && http.policies.iter().all(|policy| match &policy.action {
                    policy::Action::Redirect(redirect) => target(redirect),
                    policy::Action::Pool(id) => pool(*id),
                    policy::Action::Reject(_) => true,
                })
        };
        same(&old.listeners, &new.listeners, id)
            && same(&old.load_balancers, &new.load_balancers, listener.load_balancer)
            && listener.access_list.is_none_or(|list| same(&old.access_lists, &new.access_lists, list))
            && listener.default_pool.is_none_or(pool)
            && match &listener.service {
                Service::Tcp { .. } | Service::Udp => true,
                Service::Http { http, redirect } => {
                    is_same_http(http) && redirect.as_ref().is_none_or(target)
                }
                Service::Https { http, tls } => {
                    is_same_http(http)
                        && tls.certificates.iter().copied().all(certificate)
                        && certificate(tls.default_certificate)
                        && tls.client_ca.is_none_or(certificate)
                }
            }
    }

    fn http(&self, http: &object::Http, load_balancer: &LoadBalancer) -> served::HttpListener {
        let log = load_balancer.access_log.and_then(|log| self.objects.access_logs.get(&log));
        let policies = http.policies.iter().filter_map(|policy| {
            let action = match &policy.action {
                policy::Action::Pool(id) => {
                    policy::Action::Pool(self.objects.pools.contains_key(id).then_some(*id)?)
                }
                policy::Action::Reject(status) => policy::Action::Reject(*status),
                policy::Action::Redirect(redirect) => policy::Action::Redirect(self.redirect(redirect)?),
            };
            let name = policy.meta.name.clone();
            Some(served::Policy { name, condition: policy.condition.clone(), action })
        });
        served::HttpListener {
            tls: None,
            timeouts: http.timeouts,
            log: log.map(|log| edge::AccessLog { path: log.path.clone(), format: log.format }),
            edge: http.edge.clone(),
            policies: policies.collect(),
            redirect: None,
        }
    }

    fn redirect(&self, redirect: &policy::Redirect<object::ListenerId>) -> Option<served::Redirect> {
        let port = |id| -> Option<Port> { Some(self.objects.listeners.get(id)?.port) };
        let to = match &redirect.to {
            policy::RedirectTo::Url(url) => policy::RedirectTo::Url(url.clone()),
            policy::RedirectTo::Prefix(prefix) => policy::RedirectTo::Prefix(prefix.clone()),
            policy::RedirectTo::Listener(id) => policy::RedirectTo::Listener(port(id)?),
        };
        Some(policy::Redirect { status: redirect.status, to })
    }

    fn tls(&self, tls: &object::Tls) -> Option<served::Tls> {
        let server = |id| match &self.objects.certificates.get(id)?.material {
            Material::Server(server) => Some(server.clone()),
            Material::Authorities(_) => None,
        };
        let authorities = |id| match &self.objects.certificates.get(&id)?.material {
            Material::Authorities(authorities) => Some(authorities.clone()),
            Material::Server(_) => None,
        };
        Some(served::Tls {
            http2: tls.http2,
            certificates: tls.certificates.iter().map(server).collect::<Option<_>>()?,
            default_certificate: server(&tls.default_certificate)?,
            // A CA that is missing must not let everybody in.
            client_ca: tls.client_ca.map(|id| authorities(id).ok_or(())).transpose().ok()?,
            policy: tls.policy,
        })
    }

    /// A list that is missing lets nobody in.
    fn access(&self, list: Option<AccessListId>) -> Access {
        let Some(list) = list else { return Access::default() };
        match self.objects.access_lists.get(&list) {
            Some(list) => list.access.clone(),
            None => Access { allow: Some(Default::default()), ..Access::default() },
        }
    }
}

/// Whether both have the very same object, or none.
fn same<T>(old: &Map<T>, new: &Map<T>, id: Id<T>) -> bool {
    match (old.get(&id), new.get(&id)) {
        (Some(old), Some(new)) => Arc::ptr_eq(old, new),
        (None, None) => true,
        _ => false,
    }
}
