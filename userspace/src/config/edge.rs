//! What an HTTP listener's table says about its edge, and its load balancer's about the access log.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::Duration,
};

use super::{
    document::{Shape, Table, Value},
    scalar,
};
use crate::model::edge::{
    AccessLog, Edge, Forwarded, ForwardedFor, Limits, LogFormat, ProxyVersion, TrustedProxies,
};

/// Keys of `[[load_balancer.listener]]`.
pub(super) const LISTENER_KEYS: [&str; 3] = ["limits", "forwarded", "proxy_protocol_from"];

const ACCESS_LOG: Shape = Shape { path: "load_balancer.access_log", keys: &["path", "format"] };
const LIMITS: Shape = Shape {
    path: "load_balancer.listener.limits",
    keys: &["head_bytes", "heads_bytes", "headers", "body_timeout", "send_timeout", "streams"],
};
const FORWARDED: Shape =
    Shape { path: "load_balancer.listener.forwarded", keys: &["for", "proto", "port", "host"] };

/// The load balancer's log; none is fine.
pub(super) fn access_log(load_balancer: &Table<'_>) -> Option<AccessLog> {
    let table = load_balancer.table("access_log", &ACCESS_LOG)?;
    let path = table.require("path").and_then(|value| {
        let path = value.string()?;
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            value.refuse(format!(
                "{path:?} is not the absolute path of a file; use one such as \"/var/log/evenkeel/shop.log\""
            ));
            return None;
        }
        Some(Path::new(path).to_owned())
    });
    let format = match table.get("format") {
        None => Some(LogFormat::default()),
        Some(value) => one_of(value, &[("line", LogFormat::Line), ("json", LogFormat::Json)]),
    };
    Some(AccessLog { path: path?, format: format? })
}

/// The listener's edge.
pub(super) fn read(listener: &Table<'_>, log: Option<&AccessLog>) -> Edge {
    Edge {
        log: log.cloned(),
        limits: limits(listener).unwrap_or_default(),
        forwarded: forwarded(listener).unwrap_or_default(),
        trusted: trusted(listener),
    }
}

fn limits(listener: &Table<'_>) -> Option<Limits> {
    let table = listener.table("limits", &LIMITS)?;
    let usual = Limits::default();
    let number = |key, what, range, usual: u32| {
        table.get(key).and_then(|value| value.integer(what, range)).unwrap_or(usual)
    };
    let small =
        |key, what, range, usual: u16| u16::try_from(number(key, what, range, usual.into())).unwrap_or(usual);
    let time = |key, usual: Duration| table.get(key).and_then(scalar::duration).unwrap_or(usual);
    Some(Limits {
        head_bytes: number("head_bytes", "a size for a request's head", 1024..=262_144, usual.head_bytes),
        heads_bytes: number("heads_bytes", "a size for all heads", 65_536..=67_108_864, usual.heads_bytes),
        headers: small("headers", "a number of headers", 1..=256, usual.headers),
        body: time("body_timeout", usual.body),
        send: time("send_timeout", usual.send),
        streams: small("streams", "a number of requests at the same time", 1..=1000, usual.streams),
    })
}

fn forwarded(listener: &Table<'_>) -> Option<Forwarded> {
    let table = listener.table("forwarded", &FORWARDED)?;
    let ways =
        [("append", ForwardedFor::Append), ("replace", ForwardedFor::Replace), ("keep", ForwardedFor::Keep)];
    let flag = |key| table.get(key).and_then(|value| value.boolean()).unwrap_or(false);
    Some(Forwarded {
        address: table.get("for").and_then(|value| one_of(value, &ways)).unwrap_or_default(),
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
    let value = pool.get("proxy_protocol")?;
    one_of(value, &[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)])
}

/// What one of these words means; another is reported.
fn one_of<T: Copy>(value: Value<'_>, words: &[(&str, T)]) -> Option<T> {
    let text = value.string()?;
    let found = words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning);
    if found.is_none() {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        value.refuse(format!("{text:?} is not supported by this version; use {}", words.join(" or ")));
    }
    found
}
