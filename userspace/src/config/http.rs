//! What a listener and a pool say that speak HTTP.

use model::{
    http::{HttpTimeouts, MemberHttp},
    object::{CertificateId, Http},
    policy::PolicyOrder,
};

use super::{document::Table, draft::Draft, edge, scalar, scalar::set, tls};

/// Keys of `[[load_balancer.listener]]` for HTTP and HTTPS listeners.
const LISTENER_KEYS: [&str; 6] =
    ["head_timeout", "connect_timeout", "read_timeout", "write_timeout", "tunnel_timeout", "policy_order"];
/// Keys of `[[pool]]` for HTTP and HTTPS pools.
const POOL_KEYS: [&str; 2] = ["http2", "proxy_protocol"];

/// The Layer-7 settings of the listener in this table, without its policies.
pub(super) fn listener(table: &Table<'_>) -> Http {
    let orders = PolicyOrder::ALL.map(|order| (order.name(), order));
    let order = table.get("policy_order").and_then(|value| scalar::word(value, "is no order", &orders));
    Http {
        timeouts: timeouts(table),
        edge: edge::read(table),
        policies: Vec::new(),
        policy_order: order.unwrap_or_default(),
    }
}

/// Reports the keys that only HTTP and HTTPS listeners have, in the table of another.
pub(super) fn refuse_in_listener(table: &Table<'_>) {
    let keys = [&LISTENER_KEYS[..], &edge::LISTENER_KEYS].concat();
    table.refuse_each(&keys, "only an HTTP or HTTPS listener has this");
}

fn timeouts(table: &Table<'_>) -> HttpTimeouts {
    let mut timeouts = HttpTimeouts::default();
    set(table, "head_timeout", &mut timeouts.head);
    set(table, "connect_timeout", &mut timeouts.connect);
    set(table, "read_timeout", &mut timeouts.read);
    set(table, "write_timeout", &mut timeouts.write);
    set(table, "tunnel_timeout", &mut timeouts.tunnel);
    timeouts
}

/// What a pool's members speak.
pub(super) enum Speaks {
    /// Whatever the connections carry.
    Layer4,
    /// HTTP.
    Http(MemberHttp<CertificateId>),
}

/// What the members of the pool in this table speak; `None` if that cannot be read.
pub(super) fn pool(table: &Table<'_>, draft: &Draft<'_>) -> Option<Speaks> {
    let is_https = match table.get("protocol") {
        Some(value) => {
            let words = [("http", false), ("https", true)];
            let or = ", or leave it out for Layer 4";
            Some(scalar::word_or(value, "is not supported by this version", &words, or)?)
        }
        None => None,
    };
    if is_https != Some(true) {
        table.refuse_each(&["tls"], "only a pool with protocol = \"https\" has this");
    }
    let Some(is_https) = is_https else {
        table.refuse_each(&POOL_KEYS, "only a pool with protocol = \"http\" or \"https\" has this");
        return Some(Speaks::Layer4);
    };
    let tls = is_https.then(|| tls::members(table, &tls::POOL, draft).unwrap_or(tls::unread()));
    let http2 = table.get("http2").and_then(|value| value.boolean()).unwrap_or(false);
    Some(Speaks::Http(MemberHttp { tls, http2, proxy_protocol: edge::to_members(table) }))
}
