//! `[[load_balancer]]` and `[[load_balancer.listener]]`.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    net::IpAddr,
    time::Duration,
};

use super::{
    certificate::Certificates,
    document::{Shape, Table, Value},
    edge,
    host::LocalRanges,
    http, limits, policy,
    pool::Pools,
    room::Room,
    scalar,
};
use crate::model::{Access, Listener, ListenerKey, Protocol, edge::AccessLog};

const LOAD_BALANCER: Shape =
    Shape { path: "load_balancer", keys: &["name", "vip", "bandwidth_mbit", "access_log", "listener"] };
const LISTENER: Shape = Shape {
    path: "load_balancer.listener",
    keys: &[
        "name",
        "protocol",
        "port",
        "pool",
        "idle_timeout",
        "allow",
        "deny",
        "max_connections",
        "max_connections_per_second",
        "when_down",
        "http2",
        "certificates",
        "default_certificate",
        "client_ca",
        "tls_policy",
        "head_timeout",
        "connect_timeout",
        "read_timeout",
        "write_timeout",
        "tunnel_timeout",
        "limits",
        "forwarded",
        "proxy_protocol_from",
        "policy",
        "redirect",
    ],
};

const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// What the load balancers' tables say.
#[derive(Default)]
pub(super) struct LoadBalancers<'a> {
    /// VIPs and where each stands.
    pub(super) vips: BTreeMap<IpAddr, Value<'a>>,
    pub(super) listeners: BTreeMap<ListenerKey, Listener>,
}

pub(super) fn read<'a>(
    file: &Table<'a>,
    pools: &Pools<'_>,
    certificates: &Certificates,
    locals: &LocalRanges<'_>,
) -> LoadBalancers<'a> {
    let mut read = LoadBalancers::default();
    let mut names = HashMap::new();
    let (mut room, mut room_for_networks) = (Room::for_listeners(), Room::for_networks());
    for table in file.tables("load_balancer", &LOAD_BALANCER) {
        let name = scalar::unique_name(&table, &mut names).unwrap_or_default();
        let vips = vips(&table, &mut read.vips);
        let bandwidth_mbit = limits::bandwidth(&table);
        let mut siblings = Siblings { log: edge::access_log(&table), ..Siblings::default() };
        let mut listeners = Vec::new();
        for table in table.tables("listener", &LISTENER) {
            let listener = siblings.listener(&table, &name, pools, certificates, locals);
            listeners.extend(listener.map(|listener| (table, listener)));
        }
        let good = ports(&listeners);
        for (table, ((protocol, port), mut listener)) in listeners {
            listener.limits.bandwidth_mbit = bandwidth_mbit;
            let own = listener.name.clone();
            let around = policy::Around { pools, listener: &own, named: &siblings.names, good: &good };
            http::route(&table, &mut listener, &around);
            let before = read.listeners.len();
            for &vip in &vips {
                read.listeners.insert(ListenerKey { vip, port, protocol }, listener.clone());
            }
            room.take(&table, (read.listeners.len() - before) as u64);
            room_for_networks.take(&table, (vips.len() * networks_of(&listener.access)) as u64);
        }
    }
    read
}

/// A listener and what it listens on.
type Read = ((Protocol, u16), Listener);

/// These listeners by name, with the ports of those that speak HTTPS.
fn ports(listeners: &[(Table<'_>, Read)]) -> HashMap<String, Option<u16>> {
    let https = |listener: &Listener| listener.http.as_ref().is_some_and(|http| http.tls.is_some());
    let entry = |((_, port), listener): &Read| (listener.name.clone(), https(listener).then_some(*port));
    listeners.iter().map(|(_, read)| entry(read)).collect()
}

fn vips<'a>(table: &Table<'a>, all: &mut BTreeMap<IpAddr, Value<'a>>) -> Vec<IpAddr> {
    let mut vips = Vec::new();
    for value in table.require("vip").map(|v| v.string_or_list()).unwrap_or_default() {
        let Some(vip) = scalar::address(value, "VIP") else { continue };
        match all.entry(vip) {
            Entry::Occupied(other) => {
                let line = other.get().line();
                value.refuse(format!(
                    "{vip} is a VIP on line {line} already; give each VIP to one load balancer, once"
                ));
            }
            Entry::Vacant(place) => {
                place.insert(value);
                vips.push(vip);
            }
        }
    }
    vips
}

/// Names and ports of one load balancer's listeners so far, with their lines.
#[derive(Default)]
struct Siblings {
    /// Their load balancer's, for those that speak HTTP.
    log: Option<AccessLog>,
    names: HashMap<String, usize>,
    ports: HashMap<(Protocol, u16), usize>,
}

impl Siblings {
    /// The next listener, its protocol and port; `None` if something is wrong with it.
    fn listener(
        &mut self,
        table: &Table<'_>,
        load_balancer: &str,
        pools: &Pools<'_>,
        certificates: &Certificates,
        locals: &LocalRanges<'_>,
    ) -> Option<Read> {
        let name = scalar::unique_name(table, &mut self.names);
        let protocol = protocol(table);
        let http =
            protocol.and_then(|protocol| http::listener(table, protocol, certificates, self.log.as_ref()));
        let transport = protocol.map(transport);
        let port = table.require("port").and_then(|value| self.port(transport, value));
        let pool = match (&http, table.get("pool")) {
            (Some(_), None) => Some(None),
            (Some(_), Some(value)) => pool(value, pools, protocol).map(Some),
            (None, Some(value)) => {
                pool(value, pools, protocol).filter(|name| reaches_all(value, name, pools, locals)).map(Some)
            }
            (None, None) => table.require("pool").map(|_| None),
        };
        let idle_timeout = match table.get("idle_timeout") {
            Some(value) => scalar::duration(value),
            None if http.is_some() => Some(http::IDLE_TIMEOUT),
            None => Some(IDLE_TIMEOUT),
        };
        let access = access(table);
        let limits = limits::connections(table);
        let when_down = limits::when_down(table, protocol);
        let listener = Listener {
            name: name?,
            load_balancer: load_balancer.into(),
            pool: pool?,
            idle_timeout: idle_timeout?,
            access,
            limits,
            when_down,
            http,
        };
        Some(((transport?, port?), listener))
    }

    /// A port of its own among the listeners of the same transport protocol.
    fn port(&mut self, protocol: Option<Protocol>, value: Value<'_>) -> Option<u16> {
        let port = scalar::port(value)?;
        let protocol = protocol?;
        if let Some(line) = self.ports.get(&(protocol, port)) {
            value.refuse(format!("{port} is another listener's on line {line}; give each its own port"));
            return None;
        }
        self.ports.insert((protocol, port), value.line());
        Some(port)
    }
}

fn protocol(table: &Table<'_>) -> Option<&'static str> {
    let Some(value) = table.get("protocol") else { return Some("tcp") };
    let text = value.string()?;
    let protocol = ["tcp", "udp", "http", "https"].into_iter().find(|&protocol| protocol == text);
    if protocol.is_none() {
        value.refuse(format!(
            "{text:?} is not supported by this version; use \"tcp\", \"udp\", \"http\" or \"https\""
        ));
    }
    protocol
}

/// What carries a protocol.
fn transport(protocol: &str) -> Protocol {
    if protocol == "udp" { Protocol::Udp } else { Protocol::Tcp }
}

/// What a list takes of the map's room: its networks, and an entry for all of IPv4 where IPv6's would include that.
fn networks_of(access: &Access) -> usize {
    let listed = access.allow.as_ref().map_or(0, BTreeSet::len) + access.deny.len();
    if listed == 0 { 0 } else { listed + 1 }
}

/// Who may connect.
fn access(table: &Table<'_>) -> Access {
    let mut lines = HashMap::new();
    let mut read = |key| {
        let list = table.get(key)?;
        let mut networks = BTreeSet::new();
        for value in list.list_or_empty() {
            let Some(network) = scalar::network(value) else { continue };
            if let Some((other, line)) = lines.insert(network, (key, value.line())) {
                value.refuse(format!(
                    "{network} is in {other} on line {line} already; give each network once"
                ));
            }
            networks.insert(network);
        }
        Some(networks)
    };
    Access { allow: read("allow"), deny: read("deny").unwrap_or_default() }
}

/// A pool that a listener of this protocol may have.
pub(super) fn pool(value: Value<'_>, pools: &Pools<'_>, protocol: Option<&str>) -> Option<String> {
    let name = value.string()?;
    let Some(pool) = pools.pools.get(name) else {
        value.refuse(format!("no pool is named {name:?}; write [[pool]] with this name, or name another"));
        return None;
    };
    match (protocol?, &pool.http) {
        ("http" | "https", None) => value.refuse(format!(
            "pool {name:?} is not for HTTP; give it protocol = \"http\" or \"https\", or name another"
        )),
        ("tcp" | "udp", Some(http)) => value.refuse(format!(
            "pool {name:?} has protocol = {:?}, which goes with HTTP and HTTPS listeners only; name another",
            http.protocol()
        )),
        _ => return Some(name.into()),
    }
    None
}

/// Whether all members of a pool can be reached: what they see is a local address of their own family.
fn reaches_all(value: Value<'_>, name: &str, pools: &Pools<'_>, locals: &LocalRanges<'_>) -> bool {
    let mut members = pools.pools.get(name).into_iter().flat_map(|pool| pool.members.keys());
    let Some(member) = members.find(|member| locals.lack_family_of(member.ip())) else { return true };
    let family = if member.is_ipv4() { "IPv4" } else { "IPv6" };
    value.refuse(format!(
        "{member} in pool {name:?} needs a local address of {family} to be reached from; add one to \
         host.local_addresses"
    ));
    false
}
