//! Members, algorithms and health monitors.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use super::{At, Check};
use crate::{
    algorithm::Algorithm,
    difference::both,
    health::{Get, Probe},
    object::{Member, Pool, PoolId, PoolKind, ServerGroup},
    schedule::slots,
};

impl Check<'_> {
    pub(super) fn server_groups(&mut self) {
        for edit in self.difference.server_groups.iter() {
            let Some(new) = edit.new else { continue };
            let is_moved = edit.old.is_none_or(|old| {
                both(&old.members, &new.members).any(|(_, old, new)| match (old, new) {
                    (Some(old), Some(new)) => !Arc::ptr_eq(old, new) && old.socket() != new.socket(),
                    (None, _) => true,
                    (Some(_), None) => false,
                })
            });
            if is_moved {
                self.members(new);
            }
        }
    }

    pub(super) fn pools(&mut self) {
        // A monitor that several pools share is told of a problem with it once.
        let mut told = HashSet::new();
        for &(id, pool) in self.pools {
            let Some(group) = self.objects.server_groups.get(&pool.server_group) else { continue };
            self.algorithm(id, pool, group);
            let before = self.problems.len();
            self.monitor(pool, group);
            for problem in self.problems.split_off(before) {
                if told.insert((problem.at, problem.reason.clone())) {
                    self.problems.push(problem);
                }
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
        let (slots, most) = (slots_of(pool, group), self.surroundings.capacity.pool_slots);
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
        let has_port = |member: &Arc<Member>| member.monitor_port.is_some();
        let ports_are_given = !group.members.is_empty() && group.members.values().all(has_port);
        let own_port = monitor.check.port.is_none() && !ports_are_given;
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

/// How many slots a pool takes when all of its members do.
pub(super) fn slots_of(pool: &Pool, group: &ServerGroup) -> u64 {
    let weights: Vec<u16> = group.members.values().map(|member| member.weight.get()).collect();
    slots(&pool.kind.algorithm(), &weights)
}
