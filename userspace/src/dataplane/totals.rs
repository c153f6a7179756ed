//! What was counted for load balancers: the sums over their listeners, and their members' health. For `report`'s readers.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    report::{InterfaceRow, ListenerRow, MemberHealth, MemberState, Pool},
    sessions::Ports,
    traffic::Traffic,
};

/// `evenkeel status`.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Every load balancer with a listener.
    pub load_balancers: Vec<LoadBalancer>,
    /// Every pool, removed ones that still have sessions included.
    pub pools: Vec<Pool>,
    /// Every listener, the same.
    pub listeners: Vec<ListenerRow>,
    /// Where XDP is attached.
    pub interfaces: Vec<InterfaceRow>,
    /// Local ports.
    pub ports: Ports,
}

/// A load balancer.
#[derive(Debug, Default, Serialize)]
pub struct LoadBalancer {
    /// Its name.
    pub name: String,
    /// The most that it forwards, both directions added up, in megabits per second.
    pub bandwidth_mbit: Option<u32>,
    /// Members of its listeners' pools that take connections as far as health goes, each once for every pool.
    pub members_healthy: u64,
    /// Those that are down, or whose first check is not over.
    pub members_unhealthy: u64,
    /// The sum over its listeners.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// The load balancers of these listeners. `more` has the pools that listeners use beside their own, each with its load
/// balancer's name in front.
pub fn load_balancers<'a>(
    listeners: &'a [ListenerRow],
    pools: &[Pool],
    more: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<LoadBalancer> {
    let mut rows = BTreeMap::<&str, (LoadBalancer, BTreeSet<&str>)>::new();
    for listener in listeners {
        let (row, names) = rows.entry(&listener.load_balancer).or_default();
        row.bandwidth_mbit = row.bandwidth_mbit.or(listener.bandwidth_mbit);
        row.traffic.add(&listener.traffic);
        names.insert(&listener.pool);
    }
    for (load_balancer, pool) in more {
        if let Some((_, names)) = rows.get_mut(load_balancer) {
            names.insert(pool);
        }
    }
    rows.into_iter()
        .map(|(name, (row, names))| {
            let pools = pools.iter().filter(|pool| names.contains(pool.name.as_str()));
            let members = pools.flat_map(|pool| &pool.members);
            let members = members.filter(|member| member.state != MemberState::Removed);
            let (down, up): (Vec<_>, Vec<_>) = members
                .partition(|member| matches!(member.health, MemberHealth::Down | MemberHealth::Checking));
            LoadBalancer {
                name: name.to_owned(),
                members_healthy: up.len() as u64,
                members_unhealthy: down.len() as u64,
                ..row
            }
        })
        .collect()
}
