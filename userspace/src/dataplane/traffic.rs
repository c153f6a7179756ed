//! What was counted for listeners and, summed, for load balancers: enough for the connection, packet and byte rates
//! that monitoring asks for. The XDP program does the counting; only how many sessions there are now is read off the
//! session table. Next: `report`, which puts it into rows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use xdp_ebpf::abi::ListenerStat;

use super::{
    report::{ListenerRow, MemberHealth, MemberState, Pool},
    tables::Tables,
};

/// Sessions now, or connections of a Layer-7 listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// All.
    pub all: u64,
    /// Those that are established: TCP's in that state, UDP's that were answered.
    pub established: u64,
}

impl Open {
    /// Of a Layer-7 listener: the connections that it has accepted.
    pub fn at_layer7(tables: &Tables, listener: u32) -> Self {
        let all = tables.limit.get(listener).map_or(0, |limit| limit.connections().get().into());
        Self { all, established: all }
    }
}

/// What a listener or a load balancer has had to do since it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Sessions now.
    pub sessions_open: u64,
    /// Those of them that are established: TCP's in that state, UDP's that were answered.
    pub sessions_established: u64,
    /// Sessions opened.
    pub sessions_total: u64,
    /// Packets from clients that went on.
    pub packets_in: u64,
    /// Bytes of those, IP headers included.
    pub bytes_in: u64,
    /// Packets to clients that went on.
    pub packets_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
    /// What did not go on, by reason.
    pub refused: Refused,
}

/// Sessions that were not opened, and packets of sessions that were dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Sessions of clients that the access list keeps out.
    pub access: u64,
    /// Sessions over `max_connections`.
    pub connections: u64,
    /// Sessions over `max_connections_per_second`.
    pub rate: u64,
    /// Sessions while no member took any.
    pub no_member: u64,
    /// Sessions for which there was no local port, no room or no route.
    pub other: u64,
    /// Packets over `bandwidth_mbit`.
    pub bandwidth_packets: u64,
}

impl Traffic {
    /// Of one listener.
    pub fn new(open: Open, stat: &ListenerStat) -> Self {
        Self {
            sessions_open: open.all,
            sessions_established: open.established,
            sessions_total: stat.sessions,
            packets_in: stat.packets_in,
            bytes_in: stat.bytes_in,
            packets_out: stat.packets_out,
            bytes_out: stat.bytes_out,
            refused: Refused {
                access: stat.denied,
                connections: stat.over_connections,
                rate: stat.over_rate,
                no_member: stat.no_member,
                other: stat.refused,
                bandwidth_packets: stat.over_bandwidth,
            },
        }
    }

    fn add(&mut self, other: &Self) {
        self.sessions_open += other.sessions_open;
        self.sessions_established += other.sessions_established;
        self.sessions_total += other.sessions_total;
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.packets_out += other.packets_out;
        self.bytes_out += other.bytes_out;
        self.refused.access += other.refused.access;
        self.refused.connections += other.refused.connections;
        self.refused.rate += other.refused.rate;
        self.refused.no_member += other.refused.no_member;
        self.refused.other += other.refused.other;
        self.refused.bandwidth_packets += other.refused.bandwidth_packets;
    }
}

impl Refused {
    /// Sessions that were not opened.
    pub fn sessions(&self) -> u64 {
        self.access + self.connections + self.rate + self.no_member + self.other
    }
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
    /// Those that are down.
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
            let (down, up): (Vec<_>, Vec<_>) =
                members.partition(|member| member.health == MemberHealth::Down);
            LoadBalancer {
                name: name.to_owned(),
                members_healthy: up.len() as u64,
                members_unhealthy: down.len() as u64,
                ..row
            }
        })
        .collect()
}
