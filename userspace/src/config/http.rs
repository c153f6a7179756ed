//! What a listener and a pool say that speak HTTP.

use std::time::Duration;

use super::{
    certificate::Certificates,
    document::{Table, Value},
    edge,
    policy::{self, Around},
    scalar, tls,
};
use crate::model::{
    Listener,
    edge::AccessLog,
    http::{HttpListener, HttpPool, HttpTimeouts},
};

/// Between two requests, the listener's `idle_timeout`.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Keys of `[[load_balancer.listener]]` for HTTP and HTTPS listeners.
pub(super) const LISTENER_KEYS: [&str; 5] =
    ["head_timeout", "connect_timeout", "read_timeout", "write_timeout", "tunnel_timeout"];
/// Keys of `[[pool]]` for HTTP and HTTPS pools.
const POOL_KEYS: [&str; 2] = ["http2", "proxy_protocol"];

/// The Layer-7 part of the listener in this table, whose protocol is `protocol`; another protocol has none.
pub(super) fn listener(
    table: &Table<'_>,
    protocol: &str,
    certificates: &Certificates,
    log: Option<&AccessLog>,
) -> Option<HttpListener> {
    let tls = match protocol {
        "https" => tls::listener(table, certificates),
        _ => {
            refuse(table, &tls::LISTENER_KEYS, "only an HTTPS listener has this");
            None
        }
    };
    if !matches!(protocol, "http" | "https") {
        let keys = [&LISTENER_KEYS[..], &edge::LISTENER_KEYS].concat();
        refuse(table, &keys, "only an HTTP or HTTPS listener has this");
        return None;
    }
    Some(HttpListener {
        tls,
        timeouts: timeouts(table),
        edge: edge::read(table, log),
        policies: Vec::new(),
        redirect: None,
    })
}

/// Adds the policies and the redirection of a listener, which may name other listeners.
pub(super) fn route(table: &Table<'_>, listener: &mut Listener, around: &Around<'_>) {
    let Some(http) = &mut listener.http else {
        return refuse(table, &policy::LISTENER_KEYS, "only an HTTP or HTTPS listener has this");
    };
    http.policies = policy::read(table, around);
    http.redirect = policy::redirect(table, around);
    if let (Some(value), Some(_)) = (table.get("redirect"), &http.tls) {
        value.refuse("only an HTTP listener can be redirected; use a policy with path = { prefix = \"/\" }");
    }
}

fn timeouts(table: &Table<'_>) -> HttpTimeouts {
    let mut timeouts = HttpTimeouts::default();
    let set = |timeout: &mut Duration, key| {
        if let Some(duration) = table.get(key).and_then(scalar::duration) {
            *timeout = duration;
        }
    };
    set(&mut timeouts.head, "head_timeout");
    set(&mut timeouts.connect, "connect_timeout");
    set(&mut timeouts.read, "read_timeout");
    set(&mut timeouts.write, "write_timeout");
    set(&mut timeouts.tunnel, "tunnel_timeout");
    timeouts
}

/// The Layer-7 part of the pool in this table, if its protocol says that it has one.
pub(super) fn pool(table: &Table<'_>, certificates: &Certificates) -> Option<HttpPool> {
    let protocol = table.get("protocol").and_then(pool_protocol);
    if protocol != Some("https") {
        tls::refuse_members(table);
    }
    let tls = match protocol {
        Some("https") => tls::members(table, certificates),
        Some(_) => None,
        None => {
            refuse(table, &POOL_KEYS, "only a pool with protocol = \"http\" or \"https\" has this");
            return None;
        }
    };
    let http2 = table.get("http2").and_then(|value| value.boolean()).unwrap_or(false);
    Some(HttpPool {
        tls,
        http2,
        proxy_protocol: edge::to_members(table),
        sticky: None,
        slow_start: None,
        ejection: None,
    })
}

fn pool_protocol(value: Value<'_>) -> Option<&'static str> {
    let text = value.string()?;
    let protocol = ["http", "https"].into_iter().find(|&protocol| protocol == text);
    if protocol.is_none() {
        value.refuse(format!(
            "{text:?} is not supported by this version; use \"http\" or \"https\", or leave it out for Layer 4"
        ));
    }
    protocol
}

fn refuse(table: &Table<'_>, keys: &[&'static str], reason: &str) {
    for value in keys.iter().filter_map(|&key| table.get(key)) {
        value.refuse(reason);
    }
}
