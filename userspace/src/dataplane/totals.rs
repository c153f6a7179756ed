//! What was counted for load balancers: the sums over their listeners, and their members' health. For `report`'s readers.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

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
    /// Servers in its listeners' pools, by their addresses, that take connections as far as health goes: each once, in
    /// however many pools and at however many ports it is a member.
    pub members_healthy: u64,
    /// Those of which a member is down, or whose first check is not over.
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
            let mut servers = BTreeMap::<IpAddr, bool>::new();
            for member in members {
                let is_well = !matches!(member.health, MemberHealth::Down | MemberHealth::Checking);
                *servers.entry(member.address).or_insert(true) &= is_well;
            }
            let healthy = servers.values().filter(|&&is_well| is_well).count();
            LoadBalancer {
                name: name.to_owned(),
                members_healthy: healthy as u64,
                members_unhealthy: (servers.len() - healthy) as u64,
                ..row
            }
        })
        .collect()
}
