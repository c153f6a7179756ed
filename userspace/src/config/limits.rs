//! The limits of a load balancer and of its listeners, and what a listener does while its pool is down.

use super::document::Table;
use crate::model::{Limits, Protocol, WhenDown};

/// The most that a limit can be: more megabits per second than a host's interfaces have.
const MAX_BANDWIDTH: u32 = 1_000_000;
/// As many as there can be sessions.
const MAX_CONNECTIONS: u32 = 16_777_216;
const MAX_PER_SECOND: u32 = 1_000_000;

/// Megabits per second of a load balancer.
pub(super) fn bandwidth(load_balancer: &Table<'_>) -> Option<u32> {
    load_balancer.get("bandwidth_mbit")?.integer("a number of megabits per second", 1..=MAX_BANDWIDTH)
}

/// The limits of a listener.
pub(super) fn connections(listener: &Table<'_>) -> Limits {
    let limit = |key, most| listener.get(key)?.integer("a number of connections", 1..=most);
    Limits {
        bandwidth_mbit: None,
        connections: limit("max_connections", MAX_CONNECTIONS),
        connections_per_second: limit("max_connections_per_second", MAX_PER_SECOND),
    }
}

/// What a listener of this protocol does while its pool is down.
pub(super) fn when_down(listener: &Table<'_>, protocol: Option<&str>) -> WhenDown {
    let Some(value) = listener.get("when_down") else { return WhenDown::default() };
    let Some(text) = value.string() else { return WhenDown::default() };
    let Some(when_down) = WhenDown::ALL.into_iter().find(|when_down| when_down.name() == text) else {
        value.refuse(format!("{text:?} is not something to do; use \"drop\" or \"reset\""));
        return WhenDown::default();
    };
    if is_http(protocol) {
        value.refuse("an HTTP client is told so by status 503; leave it out");
    } else if when_down == WhenDown::Reset && protocol == Some(Protocol::Udp.name()) {
        value.refuse("UDP knows no reset; use \"drop\" or leave it out");
    }
    when_down
}

fn is_http(protocol: Option<&str>) -> bool {
    matches!(protocol, Some("http" | "https"))
}
