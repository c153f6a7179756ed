//! Listeners: their ports and pools, policies and redirections.

use std::collections::{HashMap, hash_map::Entry};

use uuid::Uuid;

use super::{At, Check};
use crate::{
    object::{Http, Listener, ListenerId, PoolId, PoolKind, Service},
    policy::{Action, MAX_POLICIES, Redirect, RedirectTo},
};

impl Check<'_> {
    pub(super) fn listeners(&mut self) {
        let objects = self.objects;
        let mut ports = HashMap::new();
        for (id, listener) in self.in_order(&objects.listeners) {
            match ports.entry((listener.load_balancer, listener.service.transport(), listener.port)) {
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
        let name = &pool.meta.name;
        match (service, &pool.kind) {
            (Service::Http { .. } | Service::Https { .. }, PoolKind::Layer4 { .. }) => self.add(
                at,
                format!("pool {:?} is not for HTTP", name.as_str()),
                "give it protocol = \"http\" or \"https\", or name another",
            ),
            (Service::Tcp { .. } | Service::Udp, PoolKind::Layer7 { http, .. }) => self.add(
                at,
                format!(
                    "pool {:?} has protocol = {:?}, which goes with HTTP and HTTPS listeners only",
                    name.as_str(),
                    http.protocol()
                ),
                "name another",
            ),
            (Service::Tcp { .. } | Service::Udp, PoolKind::Layer4 { .. }) => self.reach(at, id),
            (Service::Http { .. } | Service::Https { .. }, PoolKind::Layer7 { .. }) => {}
        }
    }

    /// Whether all members can be reached: what they see is a local address of their own family.
    fn reach(&mut self, at: At, id: PoolId) {
        let locals = self.surroundings.local_addresses;
        // Those that could not be read may be the ones.
        if self.surroundings.unread.contains(&Uuid::nil()) {
            return;
        }
        let Some(pool) = self.objects.pools.get(&id) else { return };
        let Some(group) = self.objects.server_groups.get(&pool.server_group) else { return };
        let mut sockets = group.members.values().map(|member| member.socket());
        let Some(member) = sockets.find(|member| locals.lack_family_of(member.ip())) else { return };
        let family = if member.is_ipv4() { "IPv4" } else { "IPv6" };
        self.add(
            at,
            format!(
                "{member} in pool {:?} needs a local address of {family} to be reached from",
                pool.meta.name.as_str()
            ),
            "add one to host.local_addresses",
        );
    }

    fn policies(&mut self, id: ListenerId, listener: &Listener, http: &Http) {
        if let Some(first) = http.policies.get(MAX_POLICIES) {
            self.add(
                At::object(first.id),
                format!("makes {} policies of one listener", MAX_POLICIES + 1),
                format!("there is room for {MAX_POLICIES}"),
            );
        }
        if !self.is_known(|objects| &objects.listeners, id) {
            let mut conditions = HashMap::new();
            for policy in &http.policies {
                if let Some(other) = conditions.insert(&*policy.condition, policy.id) {
                    self.add_beside(
                        At::object(policy.id),
                        "has the same domain, path and rules as the policy",
                        At::object(other),
                        "one of them would never be met",
                    );
                }
            }
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
