//! One value each: what a name, a port, an address or a duration may be. Each function returns `None` after it has
//! reported what is wrong.

use std::{
    collections::HashMap,
    net::{AddrParseError, IpAddr},
    ops::RangeInclusive,
    time::Duration,
};

use ipnet::IpNet;
use xdp_ebpf::abi::NAME_LEN;

use super::document::{Table, Value};

const DAY: Duration = Duration::from_secs(86_400);

/// A name: 1 to [`NAME_LEN`] bytes, no control characters (they would spoil tables and terminals).
fn name(value: Value<'_>) -> Option<String> {
    let name = value.string()?;
    if name.is_empty() || name.len() > NAME_LEN || name.contains(char::is_control) {
        value.refuse(format!(
            "{name:?} has {} bytes and is not a name; use 1 to {NAME_LEN} bytes, no control characters",
            name.len()
        ));
        return None;
    }
    Some(name.into())
}

/// A table's name that none of its kind has; `taken` are the names so far, with their lines.
pub(super) fn unique_name(table: &Table<'_>, taken: &mut HashMap<String, usize>) -> Option<String> {
    let value = table.require("name")?;
    let name = name(value)?;
    if let Some(line) = taken.get(&name) {
        value.refuse(format!("{name:?} is taken on line {line}; give each its own name"));
        return None;
    }
    taken.insert(name.clone(), value.line());
    Some(name)
}

/// A name that the kernel could give to an interface.
pub(super) fn interface(value: Value<'_>) -> Option<String> {
    let name = value.string()?;
    let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '/' || c == ':';
    if name.is_empty() || name.len() > 15 || matches!(name, "." | "..") || name.contains(forbidden) {
        value.refuse(format!("{name:?} cannot be an interface; use a name as `ip link` shows it"));
        return None;
    }
    Some(name.into())
}

/// A port, 1–65535.
pub(super) fn port(value: Value<'_>) -> Option<u16> {
    value.integer("a port", 1..=65_535).and_then(|port| u16::try_from(port).ok())
}

/// A range of ports, `"first-last"`, both in it.
pub(super) fn port_range(value: Value<'_>) -> Option<RangeInclusive<u16>> {
    let text = value.quoted("a range of ports in quotes, such as \"1024-65535\"")?;
    let port = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0);
    let range = text.split_once('-').and_then(|(first, last)| Some(port(first)?..=port(last)?));
    let range = range.filter(|range| !range.is_empty());
    if range.is_none() {
        value.refuse(format!(
            "{text:?} is not a range of ports; use first-last, both 1 to 65535, such as \"1024-65535\""
        ));
    }
    range
}

/// Whole seconds, one second to one day.
pub(super) fn duration(value: Value<'_>) -> Option<Duration> {
    let text = value.quoted("a time in quotes, such as \"300s\", \"5m\" or \"1h\"")?;
    let duration = humantime::parse_duration(text)
        .ok()
        .filter(|d| d.subsec_nanos() == 0 && (Duration::from_secs(1)..=DAY).contains(d));
    if duration.is_none() {
        value.refuse(format!(
            "{text:?} is not a time in whole seconds from 1s to 1day; use one such as \"300s\", \"5m\" or \"1h\""
        ));
    }
    duration
}

/// The address of one host, `role` says of what.
pub(super) fn address(value: Value<'_>, role: &str) -> Option<IpAddr> {
    let text = value.quoted("an address in quotes, such as \"192.0.2.11\" or \"2001:db8::11\"")?;
    let parsed = text.parse().map_err(|_: AddrParseError| {
        "not an IP address; use one such as \"192.0.2.11\" or \"2001:db8::11\"".to_owned()
    });
    let checked = parsed.and_then(|address| belongs_to_one_host(address, role).map(|()| address));
    checked.map_err(|reason| value.refuse(format!("{text:?} is {reason}"))).ok()
}

/// Local addresses: a single one, or all of an aligned prefix.
pub(super) fn local_range(value: Value<'_>) -> Option<IpNet> {
    let text = value.quoted("an address or prefix in quotes, such as \"100.64.0.0/28\"")?;
    let checked = parse_range(text).and_then(|range| {
        belongs_to_one_host(range.network(), "local address")?;
        belongs_to_one_host(range.broadcast(), "local address")?;
        Ok(range)
    });
    checked.map_err(|reason| value.refuse(format!("{text:?} is {reason}"))).ok()
}

/// A network of clients, or a single one.
pub(super) fn network(value: Value<'_>) -> Option<IpNet> {
    let text = value.quoted("an address or network in quotes, such as \"198.51.100.0/24\"")?;
    parse_range(text).map_err(|reason| value.refuse(format!("{text:?} is {reason}"))).ok()
}

fn parse_range(text: &str) -> Result<IpNet, String> {
    let range = match text.parse::<IpAddr>() {
        Ok(address) => address.into(),
        Err(_) => text.parse::<IpNet>().map_err(|_| {
            "not an IP address or prefix; use one such as \"100.64.0.1\", \"100.64.0.0/28\" or \"2001:db8::/124\""
                .to_owned()
        })?,
    };
    refuse_mapped(range)?;
    if range.addr() != range.network() {
        return Err(format!("not aligned to its length; use {} or {}", range.trunc(), range.addr()));
    }
    Ok(range)
}

/// An IPv4 address has one spelling, so that it is one address wherever it stands.
fn refuse_mapped(range: IpNet) -> Result<(), String> {
    let IpNet::V6(range) = range else { return Ok(()) };
    let (Some(address), Some(length)) = (range.addr().to_ipv4_mapped(), range.prefix_len().checked_sub(96))
    else {
        return Ok(());
    };
    let plain = if length == 32 { address.to_string() } else { format!("{address}/{length}") };
    Err(format!("IPv4 in the spelling of IPv6; use \"{plain}\""))
}

fn belongs_to_one_host(address: IpAddr, role: &str) -> Result<(), String> {
    refuse_mapped(address.into())?;
    let kind = match address {
        IpAddr::V4(a) if a.octets()[0] == 0 => "in 0.0.0.0/8, which is no host's",
        IpAddr::V6(a) if a.is_unspecified() => "the unspecified address, which is no host's",
        IpAddr::V4(a) if a.is_broadcast() => "the broadcast address",
        IpAddr::V6(a) if a.is_unicast_link_local() => {
            return Err(format!("a link-local address; a {role} must be one that is known on every link"));
        }
        a if a.is_loopback() => "a loopback address",
        a if a.is_multicast() => "a multicast address",
        _ => return Ok(()),
    };
    Err(format!("{kind}; a {role} must be a unicast address"))
}
