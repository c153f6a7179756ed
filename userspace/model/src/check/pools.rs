//! Members, algorithms and health monitors.

use std::collections::{HashMap, hash_map::Entry};

use super::{At, Check};
use crate::{
    algorithm::Algorithm,
    health::{Get, Probe},
    object::{Pool, PoolId, PoolKind, ServerGroup},
    schedule::slots,
};

impl Check<'_> {
    pub(super) fn pools(&mut self) {
        for (&id, group) in &self.objects.server_groups {
            if !self.is_known(|objects| &objects.server_groups, id) {
                self.members(group);
            }
        }
        for (&id, pool) in &self.objects.pools {
            let Some(group) = self.objects.server_groups.get(&pool.server_group) else { continue };
            let is_known = self.is_known(|objects| &objects.pools, id)
                && self.is_known(|objects| &objects.server_groups, pool.server_group);
            if !is_known {
                self.algorithm(id, pool, group);
                self.monitor(pool, group);
            }
        }
    }

    fn members(&mut self, group: &ServerGroup) {
        let mut seen = HashMap::new();
        for (id, member) in self.in_order(&group.members) {
            let socket = member.socket();
            match seen.entry(socket) {
                Entry::Occupied(other) => self.add_beside(
                    At::field(id, "address"),
                    format!("{socket} is already a member"),
                    At::object(*other.get()),
                    "give each member once",
                ),
                Entry::Vacant(place) => {
                    place.insert(id);
                }
            }
        }
    }

    fn algorithm(&mut self, id: PoolId, pool: &Pool, group: &ServerGroup) {
        let algorithm = pool.kind.algorithm();
        let (members, most) = (group.members.len(), self.surroundings.capacity.least_members);
        if algorithm == Algorithm::WeightedLeastConnections && members > most {
            self.add(
                At::field(id, "algorithm"),
                format!("compares at most {most} members, and this pool has {members}"),
                "use another algorithm or split the pool",
            );
        }
        let weights: Vec<u16> = group.members.values().map(|member| member.weight.get()).collect();
        let (slots, most) = (slots(&algorithm, &weights), self.surroundings.capacity.pool_slots);
        if slots > most {
            self.add(
                At::object(id),
                format!("its weights, divided by what divides them all, sum to {slots}"),
                format!("use smaller or rounder weights, at most {most}"),
            );
        }
    }

    /// Whether the members of a pool can be asked what their monitor asks.
    fn monitor(&mut self, pool: &Pool, group: &ServerGroup) {
        let Some(monitor) = &group.monitor else { return };
        let http = match &pool.kind {
            PoolKind::Layer7 { http, .. } => Some(http),
            PoolKind::Layer4 { .. } => None,
        };
        let has_tls = http.is_some_and(|http| http.tls.is_some());
        let own_port = monitor.check.port.is_none();
        let at = At::field(monitor.id, "protocol");
        let Probe::Http(Get { tls, .. }) = &monitor.check.probe else { return };
        if own_port && http.is_some_and(|http| http.proxy_protocol.is_some()) {
            self.add(
                at,
                "the members want a PROXY protocol header first, which a check does not send",
                "use \"tcp\", or give the port on which they answer without",
            );
        }
        match (tls, has_tls) {
            (None, true) if own_port => self.add(
                at,
                "the members speak TLS on their ports",
                "use \"https\", or give the port on which they answer without",
            ),
            (Some(_), false) => self.add(
                at,
                "only members of a pool with protocol = \"https\" are asked over TLS",
                "use \"http\"",
            ),
            _ => {}
        }
    }
}
