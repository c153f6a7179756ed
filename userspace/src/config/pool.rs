//! `[[pool]]` and `[[pool.member]]`.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use xdp_ebpf::abi::MAX_POOL_SLOTS;

use super::{
    certificate::Certificates,
    document::{Shape, Table, Value},
    health, http, picking,
    room::Room,
    scalar,
};
use crate::{
    health::check::Codes,
    model::{Algorithm, Pool},
    schedule,
};

const POOL: Shape = Shape {
    path: "pool",
    keys: &[
        "name",
        "protocol",
        "http2",
        "proxy_protocol",
        "tls",
        "algorithm",
        "sticky",
        "slow_start",
        "ejection",
        "health",
        "drain_timeout",
        "member",
    ],
};
const MEMBER: Shape = Shape { path: "pool.member", keys: &["address", "port", "weight"] };

/// What the pools' tables say.
#[derive(Default)]
pub(super) struct Pools<'a> {
    pub(super) pools: BTreeMap<String, Pool>,
    /// Members' addresses, also those of members with other problems.
    pub(super) member_addresses: Vec<(IpAddr, Value<'a>)>,
}

pub(super) fn read<'a>(file: &Table<'a>, certificates: &Certificates) -> Pools<'a> {
    let mut read = Pools::default();
    let mut names = HashMap::new();
    let mut total = Total::new();
    for table in file.tables("pool", &POOL) {
        let members = members(&table, &mut read.member_addresses);
        let http = http::pool(&table, certificates);
        let drain_timeout = table.get("drain_timeout").and_then(|value| {
            if http.is_some() {
                value.refuse("is for connections of Layer 4; leave it out");
            }
            scalar::duration(value)
        });
        let members_are = health::Members {
            codes: if http.is_some() { Codes::http() } else { Codes::ok() },
            https: table.get("protocol").and_then(|protocol| protocol.string()) == Some("https"),
            tls: http.as_ref().and_then(|http| http.tls.as_ref()),
            proxy_protocol: http.as_ref().is_some_and(|http| http.proxy_protocol.is_some()),
        };
        let health = health::read(&table, &members_are);
        let mut pool = Pool { members, algorithm: Algorithm::default(), health, drain_timeout, http };
        picking::read(&table, &mut pool);
        total.add(&table, &pool);
        if let Some(name) = scalar::unique_name(&table, &mut names) {
            read.pools.insert(name, pool);
        }
    }
    read
}

fn members<'a>(table: &Table<'a>, addresses: &mut Vec<(IpAddr, Value<'a>)>) -> BTreeMap<SocketAddr, u16> {
    let mut members = BTreeMap::new();
    let mut lines = HashMap::new();
    for member in table.tables("member", &MEMBER) {
        let address = member.require("address").and_then(|v| Some((scalar::address(v, "member")?, v)));
        let port = member.require("port").and_then(scalar::port);
        let weight = match member.get("weight") {
            Some(value) => value.integer("a weight", 0..=256),
            None => Some(1),
        };
        addresses.extend(address);
        let (Some((address, value)), Some(port)) = (address, port) else { continue };
        let socket = SocketAddr::new(address, port);
        if let Some(line) = lines.insert(socket, member.line()) {
            value.refuse(format!("{socket} is a member of this pool on line {line}; give each member once"));
        }
        if let Some(weight) = weight.and_then(|weight| u16::try_from(weight).ok()) {
            members.insert(socket, weight);
        }
    }
    members
}

/// What all pools together take of the maps' room.
struct Total {
    pools: Room,
    members: Room,
    slots: Room,
}

impl Total {
    fn new() -> Self {
        Self { pools: Room::for_pools(), members: Room::for_members(), slots: Room::for_slots() }
    }

    /// Adds a pool; reports it if it is too much for itself, or the first that is too much with those before it.
    fn add(&mut self, table: &Table<'_>, pool: &Pool) {
        let slots = schedule::slots(pool);
        if slots > u64::from(MAX_POOL_SLOTS) {
            table.refuse(format!(
                "its weights, divided by what divides them all, sum to {slots}; use smaller or rounder weights, at \
                 most {MAX_POOL_SLOTS}"
            ));
            return;
        }
        self.pools.take(table, 1);
        self.members.take(table, pool.members.len() as u64);
        self.slots.take(table, slots);
    }
}
