//! What was counted for listeners and, summed, for load balancers: enough for the connection, packet and byte rates
//! that monitoring asks for. The XDP program does the counting; only how many sessions there are now is read off the
//! session table. Next: `report`, which puts it into rows.

use serde::Serialize;
use xdp_ebpf::abi::{ListenerIndex, ListenerStat};

use super::tables::Tables;

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
    pub fn at_layer7(tables: &Tables, listener: ListenerIndex) -> Self {
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
    /// Connections to backends now: of Layer 4, the sessions; of Layer 7, what its daemon says.
    pub backend_connections_open: u64,
    /// Those of them that are established.
    pub backend_connections_established: u64,
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
    /// Of one listener, with its connections from clients and to backends.
    pub fn new(open: Open, to_backends: Open, stat: &ListenerStat) -> Self {
        Self {
            backend_connections_open: to_backends.all,
            backend_connections_established: to_backends.established,
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

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.sessions_open += other.sessions_open;
        self.sessions_established += other.sessions_established;
        self.backend_connections_open += other.backend_connections_open;
        self.backend_connections_established += other.backend_connections_established;
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
