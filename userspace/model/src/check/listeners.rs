//! Listeners: their ports and pools, policies and redirections.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::SocketAddr,
};

use uuid::Uuid;

use super::{At, Check};
use crate::{
    object::{
        Http, Listener, ListenerId, LoadBalancerId, PoolId, PoolKind, Reference, ServerGroupId, Service,
    },
    policy::{Action, MAX_POLICIES, PolicyOrder, Redirect, RedirectTo},
    served::Protocol,
    value::Port,
};

/// What no two listeners may share.
type Place = (LoadBalancerId, Protocol, Port);

fn place(listener: &Listener) -> Place {
    (listener.load_balancer, listener.service.transport(), listener.port)
}

impl<'a> Check<'a> {
    /// Those that differ from before or refer to something that does.
    pub(super) fn listeners_in_question(&mut self) -> Vec<(ListenerId, &'a Listener)> {
        let mut cut_off = HashSet::new();
        for &(id, pool) in self.pools {
            if matches!(pool.kind, PoolKind::Layer4 { .. }) && self.cut_off(pool.server_group).is_some() {
                cut_off.insert(id);
            }
        }
        let changed = self.difference;
        if !changed.is_around_listeners() && changed.pools.is_empty() && cut_off.is_empty() {
            return Vec::new();
        }
        let is_cut_off = |reference| matches!(reference, Reference::Pool(id) if cut_off.contains(&id));
        let listeners = self.objects.listeners.iter().map(|(&id, listener)| (id, &**listener));
        listeners
            .filter(|(id, listener)| {
                changed.listeners.has(*id)
                    || listener.references().any(|reference| changed.has(reference) || is_cut_off(reference))
            })
            .collect()
    }

    /// A member that cannot be reached from any local address: what it sees is one of its own family.
    fn cut_off(&mut self, group: ServerGroupId) -> Option<SocketAddr> {
        // Those that could not be read may be the ones.
        if self.surroundings.unread.contains(&Uuid::nil()) {
            return None;
        }
        let (objects, locals) = (self.objects, self.surroundings.local_addresses);
        *self.cut_off.entry(group).or_insert_with(|| {
            let group = objects.server_groups.get(&group)?;
            let mut sockets = group.members.values().map(|member| member.socket());
            sockets.find(|member| locals.lack_family_of(member.ip()))
        })
    }

    pub(super) fn ports(&mut self) {
        let is_moved = self.difference.listeners.iter().any(|edit| match (edit.old, edit.new) {
            (Some(old), Some(new)) => place(old) != place(new),
            (_, new) => new.is_some(),
        });
        if !is_moved {
            return;
        }
        let mut places = HashMap::with_capacity(self.objects.listeners.len());
        for (id, listener) in self.in_order(&self.objects.listeners) {
            match places.entry(place(listener)) {
                Entry::Occupied(other) => self.add_beside(
                    At::field(id, "port"),
                    format!("{} is another listener's", listener.port),
                    At::field(*other.get(), "port"),
                    "give each its own port",
                ),
                Entry::Vacant(place) => {
                    place.insert(id);
                }
            }
        }
    }

    pub(super) fn listeners(&mut self, listeners: &[(ListenerId, &Listener)]) {
        for &(id, listener) in listeners {
            let is_forwarded = matches!(listener.service, Service::Tcp { .. } | Service::Udp);
            match listener.default_pool {
                Some(pool) => self.pool_of(At::field(id, "pool"), pool, &listener.service),
                None if is_forwarded => self.add(At::field(id, "pool"), "missing", "it has no default"),
                None => {}
            }
            match &listener.service {
                Service::Tcp { .. } | Service::Udp => {}
                Service::Http { http, redirect } => {
                    self.policies(id, listener, http);
                    if let Some(redirect) = redirect {
                        self.target(At::field(id, "redirect.listener"), (id, listener), redirect);
                    }
                }
                Service::Https { http, .. } => self.policies(id, listener, http),
            }
        }
    }

    /// Whether a listener that speaks this may have this pool.
    fn pool_of(&mut self, at: At, id: PoolId, service: &Service) {
        let Some(pool) = self.objects.pools.get(&id) else { return };
        let name = pool.meta.name.as_str();
        match (service, &pool.kind) {
            (Service::Http { .. } | Service::Https { .. }, PoolKind::Layer4 { .. }) => self.add(
                at,
                format!("pool {name:?} is not for HTTP"),
                "give it protocol = \"http\" or \"https\", or name another",
            ),
            (Service::Tcp { .. } | Service::Udp, PoolKind::Layer7 { http, .. }) => self.add(
                at,
                format!(
                    "pool {name:?} has protocol = {:?}, which goes with HTTP and HTTPS listeners only",
                    http.protocol()
                ),
                "name another",
            ),
            (Service::Tcp { .. } | Service::Udp, PoolKind::Layer4 { .. }) => {
                let Some(member) = self.cut_off(pool.server_group) else { return };
                let family = if member.is_ipv4() { "IPv4" } else { "IPv6" };
                self.add(
                    at,
                    format!("{member} in pool {name:?} needs a local address of {family} to be reached from"),
                    "add one to host.local_addresses",
                );
            }
            (Service::Http { .. } | Service::Https { .. }, PoolKind::Layer7 { .. }) => {}
        }
    }

    fn policies(&mut self, id: ListenerId, listener: &Listener, http: &Http) {
        if self.difference.listeners.has(id) {
            self.conditions(http);
        }
        for policy in &http.policies {
            match &policy.action {
                Action::Pool(pool) => {
                    self.pool_of(At::field(policy.id, "pool"), *pool, &listener.service);
                }
                Action::Redirect(redirect) => {
                    self.target(At::field(policy.id, "redirect.listener"), (id, listener), redirect);
                }
                Action::Reject(_) => {}
            }
        }
    }

    fn conditions(&mut self, http: &Http) {
        if let Some(first) = http.policies.get(MAX_POLICIES) {
            self.add(
                At::object(first.id),
                format!("makes {} policies of one listener", MAX_POLICIES + 1),
                format!("there is room for {MAX_POLICIES}"),
            );
        }
        if http.policy_order == PolicyOrder::Position {
            return;
        }
        let mut conditions = HashMap::new();
        for policy in &http.policies {
            if policy.condition.domain.is_none() && policy.condition.path.is_none() {
                self.add(
                    At::object(policy.id),
                    "has neither domain nor path",
                    "give one of them, such as path = { prefix = \"/\" } for any path",
                );
            } else if let Some(other) = conditions.insert(&*policy.condition, policy.id) {
                self.add_beside(
                    At::object(policy.id),
                    "has the same domain, path and rules as the policy",
                    At::object(other),
                    "one of them would never be met",
                );
            }
        }
    }

    /// Whether a redirection leads to another HTTPS listener of the same load balancer.
    fn target(&mut self, at: At, from: (ListenerId, &Listener), redirect: &Redirect<ListenerId>) {
        let RedirectTo::Listener(to) = redirect.to else { return };
        if self.surroundings.unread.contains(&to.uuid()) {
            return;
        }
        let siblings = self.objects.listeners.get(&to);
        match siblings.filter(|to| to.load_balancer == from.1.load_balancer) {
            // The request would meet the same policy there, without end.
            Some(_) if to == from.0 => self.add(at, "is this listener itself", "name another"),
            Some(listener) if matches!(listener.service, Service::Https { .. }) => {}
            Some(listener) => self.add(
                at,
                format!("{:?} is no HTTPS listener", listener.meta.name.as_str()),
                "name one with protocol = \"https\"",
            ),
            None => self.add(
                at,
                format!("no listener of this load balancer is {to}"),
                "name one with protocol = \"https\"",
            ),
        }
    }
}
