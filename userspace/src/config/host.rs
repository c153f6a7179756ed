//! `[host]`: interfaces, local addresses and their ports, room for sessions.

use model::{
    host::{
        Host, Interface, LocalAddresses, MAX_LOCAL_ADDRESSES, MAX_VIRTUAL_MACS, VirtualMac, overlap,
        port_range,
    },
    served::WithoutSession,
    value::Network,
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    scalar,
};

pub(super) const HOST: Shape = Shape {
    path: "host",
    keys: &[
        "interfaces",
        "local_addresses",
        "local_ports",
        "max_sessions",
        "announce",
        "max_half_open",
        "min_path_mtu",
        "virtual_macs",
        "without_session",
        "resets_per_second",
    ],
};

/// What the host's table says; at most `most` interfaces.
pub(super) fn read<'a>(file: &Table<'a>, draft: &mut Draft<'a>, most: usize) -> Host {
    let mut host = Host::default();
    if file.get("host").is_none() {
        file.refuse_key("host", "missing; write [host] with interfaces and local_addresses");
    }
    let Some(table) = file.table("host", &HOST) else { return host };
    if let Some(value) = table.require("interfaces") {
        host.interfaces = interfaces(value, most);
    }
    if let Some(value) = table.require("local_addresses") {
        host.local_addresses = local_addresses(&table, value, draft);
    }
    let wanted = "a range of ports in quotes, such as \"1024-65535\"";
    if let Some(ports) = table.get("local_ports").and_then(|value| value.parse(wanted, port_range)) {
        host.local_ports = ports;
    }
    if let Some(sessions) = table.get("max_sessions").and_then(|value| value.number()) {
        host.max_sessions = sessions;
    }
    if let Some(announce) = table.get("announce").and_then(|value| value.boolean()) {
        host.announce = announce;
    }
    if let Some(most) = table.get("max_half_open").and_then(|value| value.number()) {
        host.max_half_open = most;
    }
    if let Some(mtu) = table.get("min_path_mtu").and_then(|value| value.number()) {
        host.min_path_mtu = mtu;
    }
    if let Some(value) = table.get("virtual_macs") {
        host.virtual_macs = virtual_macs(value);
    }
    let words = WithoutSession::ALL.map(|word| (word.name(), word));
    let word = table.get("without_session");
    if let Some(word) = word.and_then(|value| scalar::word(value, "is not something to do", &words)) {
        host.without_session = word;
    }
    if let Some(resets) = table.get("resets_per_second").and_then(|value| value.number()) {
        host.resets_per_second = resets;
    }
    host
}

fn interfaces(list: Value<'_>, most: usize) -> Vec<Interface> {
    let mut names = Vec::new();
    for value in list.list() {
        let Some(name) = scalar::text(value, Interface::new) else { continue };
        if names.contains(&name) {
            value.refuse(format!("{:?} is in the list already; name each interface once", name.as_str()));
        } else {
            names.push(name);
        }
    }
    if names.len() > most {
        list.refuse(format!("{} interfaces; use at most {most}", names.len()));
    }
    names
}

fn virtual_macs(list: Value<'_>) -> Vec<VirtualMac> {
    let mut macs = Vec::new();
    for value in list.list() {
        let Some(mac) = scalar::text(value, VirtualMac::new) else { continue };
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    if macs.len() > MAX_VIRTUAL_MACS {
        list.refuse(format!("{} MACs; use at most {MAX_VIRTUAL_MACS}", macs.len()));
    }
    macs
}

fn local_addresses<'a>(table: &Table<'a>, list: Value<'a>, draft: &mut Draft<'a>) -> LocalAddresses {
    let mut ranges: Vec<(Network, Value<'a>)> = Vec::new();
    let values = list.list();
    draft.lacks_local_addresses = values.is_empty();
    for value in values {
        let Some(range) = scalar::local_range(value) else {
            draft.lacks_local_addresses = true;
            continue;
        };
        // More than these are too many anyway.
        let mut others = ranges.iter().take(MAX_LOCAL_ADDRESSES as usize);
        match others.find(|(other, _)| overlap(*other, range).is_some()) {
            Some((other, at)) => value.refuse(format!(
                "{range} overlaps {other} on line {}; give each local address once",
                at.line()
            )),
            None => ranges.push((range, value)),
        }
    }
    match LocalAddresses::new(ranges.iter().map(|&(range, _)| range)) {
        Ok(addresses) => {
            ranges.sort_by_key(|&(range, _)| range);
            draft.places.host(table, ranges.into_iter().map(|(_, value)| value).collect());
            addresses
        }
        Err(invalid) => {
            list.refuse(invalid);
            LocalAddresses::default()
        }
    }
}
