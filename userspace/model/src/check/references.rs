//! What is named is there, and is of the right kind.

use std::collections::{BTreeSet, HashSet};

use super::{At, Check};
use crate::{
    id::{Id, Kind, Object},
    object::{CertificateId, Listener, ListenerId, Map, Material, Service},
    policy::Action,
};

impl Check<'_> {
    pub(super) fn references(&mut self, listeners: &[(ListenerId, &Listener)]) {
        let objects = self.objects;
        for &(id, pool) in self.pools {
            self.refer(At::field(id, "server_group"), &objects.server_groups, pool.server_group);
            if let Some(ca) = pool.kind.authorities() {
                self.authorities(At::field(id, "tls.ca"), ca);
            }
        }
        let groups: BTreeSet<_> = self.pools.iter().map(|(_, pool)| pool.server_group).collect();
        let monitors = groups.iter().filter_map(|group| objects.server_groups.get(group)?.monitor.as_ref());
        for monitor in monitors {
            if let Some(&ca) = monitor.check.authorities() {
                self.authorities(At::field(monitor.id, "tls.ca"), ca);
            }
        }
        let changed = self.difference;
        for (&id, load_balancer) in &objects.load_balancers {
            if let Some(log) = load_balancer.access_log
                && (changed.load_balancers.has(id) || changed.access_logs.has(log))
            {
                self.refer(At::field(id, "access_log"), &objects.access_logs, log);
            }
        }
        for &(id, listener) in listeners {
            self.refer(At::field(id, "load_balancer"), &objects.load_balancers, listener.load_balancer);
            if let Some(list) = listener.access_list {
                self.refer(At::field(id, "access_list"), &objects.access_lists, list);
            }
            if let Some(pool) = listener.default_pool {
                self.refer(At::field(id, "pool"), &objects.pools, pool);
            }
            for policy in listener.http().into_iter().flat_map(|http| &http.policies) {
                if let Action::Pool(pool) = policy.action {
                    self.refer(At::field(policy.id, "pool"), &objects.pools, pool);
                }
            }
            if let Service::Https { tls, .. } = &listener.service {
                let mut seen = HashSet::new();
                for (index, &certificate) in tls.certificates.iter().enumerate() {
                    let at = At::field(id, "certificates").nth(index);
                    if seen.insert(certificate) || self.surroundings.unread.contains(&certificate.uuid()) {
                        self.server(at, certificate);
                    } else {
                        let reason = format!("{} is in the list already", self.named(certificate));
                        self.add(at, reason, "name each certificate once");
                    }
                }
                if !tls.certificates.contains(&tls.default_certificate) {
                    self.add(
                        At::field(id, "default_certificate"),
                        format!("{} is not in \"certificates\"", self.named(tls.default_certificate)),
                        "add it there, or name one of them",
                    );
                }
                if let Some(ca) = tls.client_ca {
                    self.authorities(At::field(id, "client_ca"), ca);
                }
            }
        }
    }

    fn refer<T: Object>(&mut self, at: At, map: &Map<T>, id: Id<T::Kind>) {
        if !self.is_there(map, id) {
            self.add(at, format!("there is no {} {id}", T::Kind::NAME), "name one that there is");
        }
    }

    fn server(&mut self, at: At, id: CertificateId) {
        match self.objects.certificates.get(&id).map(|certificate| &certificate.material) {
            Some(Material::Server(_)) => {}
            Some(Material::Authorities(_)) => self.add(
                at,
                format!("certificate {} is a CA, which no server can use", self.named(id)),
                "name one with \"certificate\" and \"key\"",
            ),
            None => self.refer(at, &self.objects.certificates, id),
        }
    }

    fn authorities(&mut self, at: At, id: CertificateId) {
        match self.objects.certificates.get(&id).map(|certificate| &certificate.material) {
            Some(Material::Authorities(_)) => {}
            Some(Material::Server(_)) => self.add(
                at,
                format!("certificate {} is a server's certificate, which can issue none", self.named(id)),
                "name one with \"ca\"",
            ),
            None => self.refer(at, &self.objects.certificates, id),
        }
    }

    /// A certificate's name in quotes, or its id if it has none.
    fn named(&self, id: CertificateId) -> String {
        let name = self.objects.certificates.get(&id).map(|certificate| certificate.meta.name.as_str());
        name.filter(|name| !name.is_empty()).map_or_else(|| id.to_string(), |name| format!("{name:?}"))
    }
}
