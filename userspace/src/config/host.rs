//! `[host]`: interfaces, local addresses and their ports, room for sessions.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::{IpAddrRange, IpNet, Ipv4AddrRange, Ipv6AddrRange};
use xdp_ebpf::abi::MAX_INTERFACES;

use super::{
    document::{Shape, Table, Value},
    scalar,
};
use crate::host::{Host, MAX_LOCAL_ADDRESSES};

const HOST: Shape =
    Shape { path: "host", keys: &["interfaces", "local_addresses", "local_ports", "max_sessions"] };

pub(super) fn read<'a>(file: &Table<'a>) -> (Host, LocalRanges<'a>) {
    let mut host = Host {
        interfaces: Vec::new(),
        local_addresses: Vec::new(),
        local_ports: 1024..=65_535,
        max_sessions: 1 << 20,
    };
    let mut ranges = LocalRanges::default();
    if file.get("host").is_none() {
        file.refuse_key("host", "missing; write [host] with interfaces and local_addresses");
    }
    let Some(table) = file.table("host", &HOST) else { return (host, ranges) };
    if let Some(value) = table.require("interfaces") {
        host.interfaces = interfaces(value);
    }
    if let Some(value) = table.require("local_addresses") {
        ranges = local_ranges(value);
        host.local_addresses = ranges.addresses();
    }
    if let Some(ports) = table.get("local_ports").and_then(scalar::port_range) {
        host.local_ports = ports;
    }
    let sessions = table.get("max_sessions");
    if let Some(sessions) = sessions.and_then(|v| v.integer("a number of sessions", 1024..=16_777_216)) {
        host.max_sessions = sessions;
    }
    (host, ranges)
}

fn interfaces(list: Value<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for value in list.list() {
        let Some(name) = scalar::interface(value) else { continue };
        if names.contains(&name) {
            value.refuse(format!("{name:?} is in the list already; name each interface once"));
        } else {
            names.push(name);
        }
    }
    if names.len() > MAX_INTERFACES as usize {
        list.refuse(format!("{} interfaces; use at most {MAX_INTERFACES}", names.len()));
    }
    names
}

fn local_ranges<'a>(list: Value<'a>) -> LocalRanges<'a> {
    let mut ranges = LocalRanges::default();
    let mut total = 0;
    for value in list.list() {
        let Some(range) = scalar::local_range(value) else { continue };
        if let Some((other, at)) = ranges.overlapping(range) {
            let line = at.line();
            value.refuse(format!("{range} overlaps {other} on line {line}; give each local address once"));
            continue;
        }
        let addresses = 1u64.checked_shl((range.max_prefix_len() - range.prefix_len()).into());
        total = addresses.map_or(u64::MAX, |addresses| addresses.saturating_add(total));
        ranges.0.insert(range.network(), (range, value));
    }
    if total > u64::from(MAX_LOCAL_ADDRESSES) {
        let total = if total > 1 << 32 { "more than 2³²".to_owned() } else { total.to_string() };
        list.refuse(format!(
            "{total} addresses in all; use at most {MAX_LOCAL_ADDRESSES}, such as one /24, or one /120 of IPv6"
        ));
    }
    ranges
}

/// The ranges of local addresses, none overlapping another, by their first address, with their places in the file.
#[derive(Default)]
pub(super) struct LocalRanges<'a>(BTreeMap<IpAddr, (IpNet, Value<'a>)>);

impl<'a> LocalRanges<'a> {
    /// The range that this one has an address in common with.
    pub(super) fn overlapping(&self, range: IpNet) -> Option<&(IpNet, Value<'a>)> {
        // None overlaps another, so the one that begins last before the end also ends last.
        let (_, last) = self.0.range(..=range.broadcast()).next_back()?;
        (last.0.broadcast() >= range.network()).then_some(last)
    }

    /// Every address with the place of its range, ascending; too many ranges' or too large ranges' only in part.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpAddr, Value<'a>)> {
        self.0
            .values()
            .flat_map(|(range, value)| every_address(*range).map(move |address| (address, *value)))
            .take(MAX_LOCAL_ADDRESSES as usize)
    }

    /// Whether there are some, and none of the family of `address`.
    pub(super) fn lack_family_of(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.0.keys().all(|local| local.is_ipv4() != address.is_ipv4())
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.iter().map(|(address, _)| address).collect()
    }
}

/// The first and the last too, which the ranges of `ipnet` leave out for IPv4.
fn every_address(range: IpNet) -> IpAddrRange {
    match range {
        IpNet::V4(range) => Ipv4AddrRange::new(range.network(), range.broadcast()).into(),
        IpNet::V6(range) => Ipv6AddrRange::new(range.network(), range.broadcast()).into(),
    }
}
