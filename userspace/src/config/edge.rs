//! What an HTTP listener's table says about its edge, a load balancer's about its access log, and a pool's about the PROXY
//! protocol.

use std::collections::{BTreeSet, HashMap};

use model::{
    edge::{Edge, Forwarded, ForwardedFor, LogFormat, ProxyVersion, RequestLimits, TrustedProxies},
    object::{AccessLog, Meta},
    value::LogPath,
};

use super::{
    document::{Shape, Table},
    scalar::{self, set},
};

/// Keys of `[[load_balancer.listener]]`.
pub(super) const LISTENER_KEYS: [&str; 3] = ["limits", "forwarded", "proxy_protocol_from"];

pub(super) const ACCESS_LOG: Shape = Shape { path: "load_balancer.access_log", keys: &["path", "format"] };
pub(super) const LIMITS: Shape = Shape {
    path: "load_balancer.listener.limits",
    keys: &["head_bytes", "heads_bytes", "headers", "body_timeout", "send_timeout", "streams"],
};
pub(super) const FORWARDED: Shape =
    Shape { path: "load_balancer.listener.forwarded", keys: &["for", "proto", "port", "host"] };

/// The load balancer's log; none is fine.
pub(super) fn access_log(load_balancer: &Table<'_>) -> Option<AccessLog> {
    let table = load_balancer.table("access_log", &ACCESS_LOG)?;
    let path = table.require("path").and_then(|value| scalar::text(value, LogPath::new));
    let formats = LogFormat::ALL.map(|format| (format.name(), format));
    let format = match table.get("format") {
        None => Some(LogFormat::default()),
        Some(value) => scalar::supported(value, &formats),
    };
    Some(AccessLog { meta: Meta::default(), path: path?, format: format? })
}

/// The listener's edge.
pub(super) fn read(listener: &Table<'_>) -> Edge {
    Edge {
        limits: limits(listener).unwrap_or_default(),
        forwarded: forwarded(listener).unwrap_or_default(),
        trusted: trusted(listener),
        cleartext_http2: false,
    }
}

fn limits(listener: &Table<'_>) -> Option<RequestLimits> {
    let table = listener.table("limits", &LIMITS)?;
    let usual = RequestLimits::default();
    let mut limits = RequestLimits {
        head_bytes: table.get("head_bytes").and_then(|value| value.number()).unwrap_or(usual.head_bytes),
        heads_bytes: table.get("heads_bytes").and_then(|value| value.number()).unwrap_or(usual.heads_bytes),
        headers: table.get("headers").and_then(|value| value.number()).unwrap_or(usual.headers),
        streams: table.get("streams").and_then(|value| value.number()).unwrap_or(usual.streams),
        ..usual
    };
    set(&table, "body_timeout", &mut limits.body);
    set(&table, "send_timeout", &mut limits.send);
    Some(limits)
}

fn forwarded(listener: &Table<'_>) -> Option<Forwarded> {
    let table = listener.table("forwarded", &FORWARDED)?;
    let ways = ForwardedFor::ALL.map(|way| (way.name(), way));
    let flag = |key| table.get(key).and_then(|value| value.boolean()).unwrap_or(false);
    Some(Forwarded {
        address: table.get("for").and_then(|value| scalar::supported(value, &ways)).unwrap_or_default(),
        proto: flag("proto"),
        port: flag("port"),
        host: flag("host"),
    })
}

fn trusted(listener: &Table<'_>) -> TrustedProxies {
    let (mut networks, mut lines) = (BTreeSet::new(), HashMap::new());
    let Some(list) = listener.get("proxy_protocol_from") else { return networks };
    for value in list.list() {
        let Some(network) = scalar::network(value) else { continue };
        if let Some(line) = lines.insert(network, value.line()) {
            value.refuse(format!("{network} is on line {line} already; give each network once"));
        }
        networks.insert(network);
    }
    networks
}

/// The version of the PROXY protocol that a pool's members are sent; none is fine.
pub(super) fn to_members(pool: &Table<'_>) -> Option<ProxyVersion> {
    let versions = ProxyVersion::ALL.map(|version| (version.name(), version));
    scalar::supported(pool.get("proxy_protocol")?, &versions)
}
