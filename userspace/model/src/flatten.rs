//! Objects become what this host serves. Pure.
//!
//! What is made of the same objects as before is not made again but shared, so that a change costs what it touches.
//! Objects that [`crate::check`] finds fault with are left out as far as they cannot be served.

use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use crate::{
    access::Access,
    algorithm::{Algorithm, Weights},
    difference::Difference,
    edge, object,
    object::{
        AccessListId, CertificateId, Listener, ListenerId, LoadBalancer, LoadBalancerId, Material, Objects,
        PoolId, PoolKind, Reference, ServerGroup, Service,
    },
    policy,
    served::{self, ListenerKey, Served, WhenDown},
    tls::Authorities,
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

/// What this host serves because of `objects`. Equal to what it would be without `before`, with which it shares all that
/// is made of the same objects. Where two listeners are at the same place, the one with the greater id is served.
pub fn flatten(objects: &Objects, before: Option<Before<'_>>) -> Served {
    let nothing = Before { objects: &Objects::default(), served: &Served::default() };
    let before = before.unwrap_or(nothing);
    let difference = &Difference::between(before.objects, objects);
    let mut flatten = Flatten { objects, difference, served: before.served.clone() };
    let reshaped = flatten.pools();
    flatten.vips();
    flatten.listeners(before.objects, &reshaped);
    flatten.served
}

struct Flatten<'a> {
    objects: &'a Objects,
    /// Between the objects before and these.
    difference: &'a Difference<'a>,
    /// What was served before, and step by step what is now.
    served: Served,
}

impl<'a> Flatten<'a> {
    /// Puts pools in; returns those that appeared, went or are for another layer now.
    fn pools(&mut self) -> HashSet<PoolId> {
        let gone = self.difference.pools.iter().filter(|edit| edit.new.is_none()).map(|edit| (edit.id, None));
        let objects = self.objects;
        let there = self.difference.pools_of(objects).into_iter().map(|(id, pool)| {
            let group = self.objects.server_groups.get(&pool.server_group);
            (id, group.and_then(|group| flat_pool(objects, pool, group)).map(Arc::new))
        });
        let pools = &mut self.served.pools;
        let mut reshaped = HashSet::new();
        for (id, new) in gone.chain(there) {
            let is_http = |pool: &Arc<served::Pool>| pool.http.is_some();
            let is_for = new.as_ref().map(is_http);
            let old = match new {
                Some(new) => pools.insert(id, new),
                None => pools.remove(&id),
            };
            if old.as_ref().map(is_http) != is_for {
                reshaped.insert(id);
            }
        }
        reshaped
    }

    fn vips(&mut self) {
        if !self.difference.load_balancers.is_empty() {
            let vips = self.objects.load_balancers.values().flat_map(|load_balancer| &load_balancer.vips);
            self.served.vips = vips.map(|vip| vip.get()).collect();
        }
    }

    fn listeners(&mut self, old: &Objects, reshaped: &HashSet<PoolId>) {
        let in_question = self.in_question(reshaped);
        let gone = self.difference.listeners.iter().filter(|edit| edit.new.is_none()).map(|edit| edit.id);
        let mut freed = BTreeMap::new();
        for id in gone.chain(in_question.iter().map(|&(id, _)| id)) {
            for key in old.listeners.get(&id).into_iter().flat_map(|listener| keys(old, listener)) {
                if self.served.listeners.get(&key).is_some_and(|listener| listener.id == id) {
                    self.served.listeners.remove(&key);
                    freed.insert(key, id);
                }
            }
        }
        for &(id, listener) in &in_question {
            for key in self.put(id, listener) {
                if freed.get(&key) == Some(&id) {
                    freed.remove(&key);
                }
            }
        }
        self.fill(&freed);
    }

    /// Puts listeners in that only others kept from these places; beside them, they stay what they are.
    fn fill(&mut self, freed: &BTreeMap<ListenerKey, ListenerId>) {
        let ports: HashSet<_> = freed.keys().map(|key| (key.port, key.protocol)).collect();
        if ports.is_empty() {
            return;
        }
        for (&id, listener) in &self.objects.listeners {
            if ports.contains(&(listener.port, listener.service.transport()))
                && keys(self.objects, listener).any(|key| freed.contains_key(&key))
            {
                self.put(id, listener);
            }
        }
    }

    /// Listeners that are or refer to what differs.
    fn in_question(&self, reshaped: &HashSet<PoolId>) -> Vec<(ListenerId, &'a Listener)> {
        let changed = self.difference;
        if !changed.is_around_listeners() && changed.access_logs.is_empty() && reshaped.is_empty() {
            return Vec::new();
        }
        let load_balancers = self.objects.load_balancers.iter();
        let logs =
            load_balancers.filter(|(_, it)| it.access_log.is_some_and(|log| changed.access_logs.has(log)));
        let logs: HashSet<LoadBalancerId> = logs.map(|(&id, _)| id).collect();
        let is_changed = |reference| match reference {
            Reference::Pool(id) => reshaped.contains(&id),
            Reference::LoadBalancer(id) => changed.load_balancers.has(id) || logs.contains(&id),
            reference => changed.has(reference),
        };
        let listeners = self.objects.listeners.iter().map(|(&id, listener)| (id, &**listener));
        listeners
            .filter(|(id, listener)| changed.listeners.has(*id) || listener.references().any(is_changed))
            .collect()
    }

    /// Puts a listener in where none with a greater id is; returns all places that it is at.
    fn put(&mut self, id: ListenerId, listener: &Listener) -> Vec<ListenerKey> {
        let keys: Vec<_> = keys(self.objects, listener).collect();
        let present = keys.iter().filter_map(|key| self.served.listeners.get(key)).find(|flat| flat.id == id);
        let flat = present.cloned().or_else(|| self.listener(id, listener).map(Arc::new));
        let Some(flat) = flat else { return Vec::new() };
        for key in &keys {
            let other = self.served.listeners.get(key);
            if other.is_none_or(|other| other.id <= id) {
                self.served.listeners.insert(*key, flat.clone());
            }
        }
        keys
    }

    fn listener(&self, id: ListenerId, listener: &Listener) -> Option<served::Listener> {
        let load_balancer = self.objects.load_balancers.get(&listener.load_balancer)?;
        let pool = listener.default_pool.and_then(|pool| self.pool(pool, listener.http().is_some()));
        // OTC guide: of a redirected listener only access control stays in force.
        let is_redirected = matches!(listener.service, Service::Http { redirect: Some(_), .. });
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
        Some(served::Listener {
            id,
            name: listener.meta.name.clone(),
            load_balancer: listener.load_balancer,
            load_balancer_name: load_balancer.meta.name.clone(),
            pool,
            idle_timeout: listener.idle_timeout,
            access: self.access(listener.access_list),
            limits: served::Limits {
                bandwidth: load_balancer.bandwidth,
                connections: listener.max_connections.filter(|_| !is_redirected),
                connections_per_second: listener.max_connections_per_second.filter(|_| !is_redirected),
            },
            when_down: match listener.service {
                Service::Tcp { when_down } => when_down,
                _ => WhenDown::default(),
            },
            drains: false,
            http,
        })
    }

    /// A pool, if it is there for this layer.
    fn pool(&self, id: PoolId, http: bool) -> Option<PoolId> {
        self.served.pools.get(&id).filter(|pool| pool.http.is_some() == http).map(|_| id)
    }

    fn http(&self, http: &object::Http, load_balancer: &LoadBalancer) -> served::HttpListener {
        let log = load_balancer.access_log.and_then(|log| self.objects.access_logs.get(&log));
        let policies = http.policies.iter().filter_map(|policy| {
            let action = match &policy.action {
                policy::Action::Pool(id) => policy::Action::Pool(self.pool(*id, true)?),
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
            policy_order: http.policy_order,
            redirect: None,
        }
    }

    fn redirect(&self, redirect: &policy::Redirect<ListenerId>) -> Option<served::Redirect> {
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
        if !tls.certificates.contains(&tls.default_certificate) {
            return None;
        }
        Some(served::Tls {
            http2: tls.http2,
            certificates: tls.certificates.iter().map(server).collect::<Option<_>>()?,
            default_certificate: server(&tls.default_certificate)?,
            // A CA that is missing must not let everybody in.
            client_ca: tls.client_ca.map(|id| authorities(self.objects, id).ok_or(())).transpose().ok()?,
            policy: tls.policy,
            ciphers: tls.ciphers.clone(),
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

/// Where a listener of these objects listens.
fn keys(objects: &Objects, listener: &Listener) -> impl Iterator<Item = ListenerKey> {
    let (port, protocol) = (listener.port, listener.service.transport());
    let load_balancer = objects.load_balancers.get(&listener.load_balancer);
    let vips = load_balancer.into_iter().flat_map(|load_balancer| &load_balancer.vips);
    vips.map(move |vip| ListenerKey { vip: vip.get(), port, protocol })
}

/// None if a CA is missing: to trust others instead would be wrong.
fn flat_pool(objects: &Objects, pool: &object::Pool, group: &ServerGroup) -> Option<served::Pool> {
    let are_equal = pool.kind.algorithm() == Algorithm::SourceHash && pool.weights == Weights::Ignore;
    let named = |&id: &CertificateId| authorities(objects, id);
    let check = match &group.monitor {
        Some(monitor) => Some(Arc::new(monitor.check.map(named)?)),
        None => None,
    };
    let members = group.members.values().map(|member| {
        let port = member.monitor_port.or_else(|| check.as_ref()?.port).unwrap_or(member.port);
        let flat = served::Member {
            weight: match member.weight {
                _ if !member.enabled => Weight::literal(0),
                weight if weight.get() > 0 && are_equal => Weight::literal(1),
                weight => weight,
            },
            backup: member.backup,
            checked_at: SocketAddr::new(member.monitor_address.unwrap_or(member.address).get(), port.get()),
        };
        (member.socket(), flat)
    });
    let flat = served::Pool {
        name: pool.meta.name.clone(),
        members: members.collect(),
        check,
        on_down: pool.on_down,
        ..served::Pool::default()
    };
    Some(match &pool.kind {
        PoolKind::Layer4 { algorithm, drain_timeout } => {
            served::Pool { algorithm: algorithm.clone(), drain_timeout: *drain_timeout, ..flat }
        }
        PoolKind::Layer7 { algorithm, http, ejection } => served::Pool {
            algorithm: match algorithm {
                Algorithm::WeightedRoundRobin(_) => Algorithm::WeightedRoundRobin(None),
                Algorithm::WeightedLeastConnections => Algorithm::WeightedLeastConnections,
                Algorithm::SourceHash => Algorithm::SourceHash,
            },
            http: Some(served::HttpPool {
                member: http.map(named)?,
                sticky: algorithm.turns().and_then(|turns| turns.sticky.clone()),
                slow_start: algorithm.turns().and_then(|turns| turns.slow_start),
                ejection: *ejection,
            }),
            ..flat
        },
    })
}

fn authorities(objects: &Objects, id: CertificateId) -> Option<Arc<Authorities>> {
    match &objects.certificates.get(&id)?.material {
        Material::Authorities(authorities) => Some(authorities.clone()),
        Material::Server(_) => None,
    }
}

#[cfg(test)]
mod tests;
