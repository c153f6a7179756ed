//! What the maps say, for people and programs: the rows of `status`, `sessions` and `counters`. Reads pinned maps, so
//! it needs no running daemon.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use model::served::Protocol;
use serde::Serialize;
use xdp_ebpf::{
    abi::{BackendIndex, ENTRY_ACTIVE, ENTRY_FREE, LISTENER_LAYER7, Listener, ListenerIndex, name_str},
    tcp_state::State,
    verdict::{Class, Event},
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    clock::Clock,
    expiry::{idle_jiffies, jiffies_to_time, state_name},
    health,
    mapped::unmapped,
    network::interfaces::Mode,
    sessions::Ports,
    tables::Tables,
    taken::Taken,
    traffic::{Open, Traffic},
};
use crate::dataplane::error::Result;
use crate::{engine::standings, health::judge::Verdict};

/// A pool.
#[derive(Debug, Serialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its members.
    pub members: Vec<Member>,
    /// Local ports towards those members that take sessions; members in one plane share them, and so do other pools'.
    pub ports: Ports,
}

impl Pool {
    /// Says how its members share what they have had to do.
    pub fn share_out(&mut self) {
        let total: u64 = self.members.iter().map(|member| member.sessions_total).sum();
        for member in &mut self.members {
            member.share = member.sessions_total as f64 / total.max(1) as f64;
        }
    }
}

/// A member of a pool.
#[derive(Debug, Serialize)]
pub struct Member {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its weight.
    pub weight: u16,
    /// Whether it takes new sessions.
    pub state: MemberState,
    /// What the health checker thinks of it.
    pub health: MemberHealth,
    /// How its last check failed that did.
    pub reason: Option<String>,
    /// For how many seconds it has been well again; none while it is down, and if no check has failed.
    pub well_for_s: Option<u64>,
    /// Sessions now; of HTTP pools, requests.
    pub sessions_open: u64,
    /// Sessions since the member was added; of HTTP pools, requests.
    pub sessions_total: u64,
    /// Its part of the pool's `sessions_total`, 0–1.
    pub share: f64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Bytes of those, IP headers included.
    pub bytes_in: u64,
    /// Packets to clients.
    pub packets_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
}

/// What becomes of new sessions to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberState {
    /// It takes its share.
    Active,
    /// It takes none (weight 0) and keeps those it has.
    Draining,
    /// It is no longer configured; its last sessions go on.
    Removed,
}

/// What the health checker thinks of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MemberHealth {
    /// It takes new sessions.
    Up,
    /// It takes none, whatever its weight: its checks fail.
    Down,
    /// Its first check is not over. It takes some only while nobody of its pool is known to be well.
    Checking,
    /// It is not checked, or has not been yet since its pool's check changed, and so counts as well.
    Unchecked,
}

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerRow {
    /// Its load balancer's name.
    pub load_balancer: String,
    /// Its name.
    pub name: String,
    /// What it listens on.
    pub vip: IpAddr,
    /// The port.
    pub port: u16,
    /// The transport protocol.
    pub protocol: &'static str,
    /// Where its sessions go.
    pub pool: String,
    /// Seconds after which an idle established session ends.
    pub idle_timeout_s: u32,
    /// The most connections.
    pub max_connections: Option<u32>,
    /// The most new connections per second.
    pub max_connections_per_second: Option<u32>,
    /// Its load balancer's, in megabits per second.
    #[serde(skip)]
    pub bandwidth_mbit: Option<u32>,
    /// What it has had to do.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// An interface.
#[derive(Debug, Serialize)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// How it runs XDP; none if the program is gone from it.
    pub mode: Option<Mode>,
    /// Its index.
    pub index: u32,
    /// Frames that the kernel could not send there.
    pub not_sent: u64,
}

/// A session.
#[derive(Debug, Serialize)]
pub struct Session {
    /// The client.
    pub client: SocketAddr,
    /// The VIP that it talks to.
    pub vip: SocketAddr,
    /// The local address that the backend sees.
    pub local: SocketAddr,
    /// The backend.
    pub backend: SocketAddr,
    /// `load balancer/listener`.
    pub listener: String,
    /// The transport protocol.
    pub protocol: &'static str,
    /// TCP's name for the state; for UDP `ONE_WAY` or `ANSWERED`.
    pub state: &'static str,
    /// Seconds since the last packet in either direction.
    pub idle_s: f64,
    /// Packets from the client; wraps at 2³².
    pub packets_in: u32,
    /// Packets to the client; wraps at 2³².
    pub packets_out: u32,
}

/// A counter.
#[derive(Debug, Serialize)]
pub struct Counter {
    /// Its name, as in `bpftool map dump name ek_counter`.
    pub name: &'static str,
    /// What it says about the packets: pass, drop or note.
    pub class: &'static str,
    /// How many, on all CPUs together.
    pub count: u64,
    /// What it means.
    pub meaning: &'static str,
}

/// Pools and listeners with their traffic.
///
/// # Errors
/// A map cannot be read.
pub fn pools_and_listeners(tables: &Tables) -> Result<(Vec<Pool>, Vec<ListenerRow>)> {
    let (mut by_backend, mut by_listener) =
        (HashMap::<BackendIndex, u64>::new(), HashMap::<ListenerIndex, Open>::new());
    let taken = Taken::read(&tables.sessions)?;
    for session in tables.sessions.live(taken.iter()) {
        let forward = session.forward;
        *by_backend.entry(forward.backend.into()).or_default() += 1;
        let open = by_listener.entry(forward.listener.into()).or_default();
        open.all += 1;
        open.established += u64::from(forward.tcp == State::Established as u8);
    }
    let mut pools = Vec::new();
    let mut names = HashMap::new();
    for (index, record) in tables.pool.iter() {
        let record = record.snapshot();
        if record.state != ENTRY_FREE {
            names.insert(index, pools.len());
            pools.push(Pool {
                name: name_str(&record.name).to_owned(),
                members: Vec::new(),
                ports: Ports::default(),
            });
        }
    }
    let now = health::now();
    for (index, record) in tables.backend.iter() {
        let (health, well_for_s) = (health::read(&record), health::well_for(&record, now));
        let record = record.snapshot();
        let Some(pool) = names.get(&record.pool).and_then(|&at| pools.get_mut(at)) else { continue };
        let state = match (record.state, record.weight) {
            (ENTRY_FREE, _) => continue,
            (ENTRY_ACTIVE, 0) => MemberState::Draining,
            (ENTRY_ACTIVE, _) => MemberState::Active,
            _ => MemberState::Removed,
        };
        let traffic = tables.traffic(index)?;
        pool.members.push(Member {
            address: unmapped(record.address),
            port: record.port,
            weight: record.weight,
            state,
            health: match health.state {
                standings::State::Known(Verdict::Up) => MemberHealth::Up,
                standings::State::Known(Verdict::Down) => MemberHealth::Down,
                standings::State::Unknown => MemberHealth::Checking,
                standings::State::Unchecked => MemberHealth::Unchecked,
            },
            reason: health.last_failure.map(|failure| failure.to_string()),
            well_for_s,
            sessions_open: by_backend.get(&index).copied().unwrap_or(0),
            sessions_total: traffic.sessions,
            share: 0.0,
            packets_in: traffic.packets_in,
            bytes_in: traffic.bytes_in,
            packets_out: traffic.packets_out,
            bytes_out: traffic.bytes_out,
        });
    }
    for pool in &mut pools {
        pool.share_out();
        let members = pool.members.iter().filter(|member| member.state == MemberState::Active);
        pool.ports = tables.sessions.ports_towards(members.map(|member| (member.address, member.port)));
        pool.members.retain(|member| member.state != MemberState::Removed || member.sessions_open > 0);
        pool.members.sort_by_key(|member| (member.address, member.port));
    }
    let mut rows = Vec::new();
    for (index, record) in listeners(tables)? {
        let forwarded = by_listener.get(&index).copied().unwrap_or_default();
        let (open, to_backends) = match record.kind {
            LISTENER_LAYER7 => (Open::at_layer7(tables, index), Open::default()),
            _ => (forwarded, forwarded),
        };
        if record.state != ENTRY_ACTIVE && open.all == 0 {
            continue;
        }
        let limits = tables.limits().of(index, &record);
        let mut traffic = Traffic::new(open, to_backends, &tables.listener_traffic(index)?);
        traffic.refused.connections += tables.limits().closed(index);
        rows.push(ListenerRow {
            load_balancer: name_str(&record.load_balancer).to_owned(),
            name: name_str(&record.name).to_owned(),
            vip: unmapped(record.service.vip),
            port: record.service.port,
            protocol: Protocol::from_number(record.service.protocol).map_or("", Protocol::name),
            pool: names
                .get(&record.pool)
                .and_then(|&at| pools.get(at))
                .map(|p| p.name.clone())
                .unwrap_or_default(),
            idle_timeout_s: record.idle_timeout,
            max_connections: limits.connections.map(|number| number.get()),
            max_connections_per_second: limits.connections_per_second.map(|number| number.get()),
            bandwidth_mbit: limits.bandwidth.map(|number| number.get()),
            traffic,
        });
    }
    Ok((pools, rows))
}

/// Every session whose local port is taken, read when its turn comes.
///
/// # Errors
/// A map or the clock cannot be read.
pub fn sessions<'t>(
    tables: &'t Tables,
    taken: &'t Taken,
    clock: &Clock,
) -> Result<impl Iterator<Item = Session> + use<'t>> {
    let listeners: HashMap<_, _> = listeners(tables)?.into_iter().collect();
    let (now, hz) = (clock.now()?, tables.sessions.config.jiffies_hz);
    Ok(tables.sessions.live(taken.iter()).map(move |session| {
        let (there, back) = (session.forward, session.reverse);
        let idle = idle_jiffies(now, there.last_seen).min(idle_jiffies(now, back.last_seen));
        let protocol = Protocol::from_number(there.protocol).unwrap_or(Protocol::Tcp);
        let name = |l: &Listener| format!("{}/{}", name_str(&l.load_balancer), name_str(&l.name));
        Session {
            client: session.client,
            vip: session.vip,
            local: session.local,
            backend: session.backend,
            listener: listeners.get(&there.listener.into()).map(name).unwrap_or_default(),
            protocol: protocol.name(),
            state: state_name(protocol, State::from_u8(there.tcp).unwrap_or(State::None)),
            idle_s: jiffies_to_time(idle, hz).max(Duration::ZERO).as_secs_f64(),
            packets_in: there.packets,
            packets_out: back.packets,
        }
    }))
}

/// Every counter.
///
/// # Errors
/// The map cannot be read.
pub fn counters(tables: &Tables) -> Result<Vec<Counter>> {
    let mut sums = vec![0u64; Event::ALL.len()];
    for cpu in tables.counter.get(&0, 0)?.iter() {
        for (sum, bytes) in sums.iter_mut().zip(cpu.as_bytes().chunks_exact(size_of::<u64>())) {
            *sum += u64::read_from_bytes(bytes).unwrap_or_default();
        }
    }
    let row = |(&event, count): (&Event, u64)| Counter {
        name: event.name(),
        class: match event.class() {
            Class::Pass => "pass",
            Class::Drop => "drop",
            Class::Note => "note",
        },
        count,
        meaning: event.meaning(),
    };
    Ok(Event::ALL.iter().zip(sums).map(row).collect())
}

fn listeners(tables: &Tables) -> Result<Vec<(ListenerIndex, Listener)>> {
    let mut rows = Vec::new();
    for (index, record) in (0..).map(ListenerIndex::new).zip(tables.listener.iter()) {
        let record = record?;
        if record.state != ENTRY_FREE {
            rows.push((index, record));
        }
    }
    Ok(rows)
}
