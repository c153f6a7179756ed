//! Limits, `when_down` and `drain_timeout`: what they mean, and what is said about wrong ones.

use model::{
    served::OnDown,
    value::{ConnectionRate, MaxConnections, Megabits},
};

use super::*;

/// Lines that a right file may have behind "vip", behind the listener's "pool", and behind "algorithm".
fn with(load_balancer: &str, listener: &str, pool: &str) -> String {
    BASE.replace("[[load_balancer.listener]]", &format!("{load_balancer}\n[[load_balancer.listener]]"))
        .replace("[[pool]]", &format!("{listener}\n[[pool]]"))
        .replace("[[pool.member]]", &format!("{pool}\n[[pool.member]]"))
}

#[test]
fn what_they_mean() {
    let text = with(
        "bandwidth_mbit = 1000",
        "max_connections = 5\nmax_connections_per_second = 1_000_000\nwhen_down = 'reset'",
        "drain_timeout = '2m'\non_down = 'reset'",
    );
    let model = served(&text);
    let listener = model.listeners.values().next().unwrap();
    let limits = limits(1000, 5, 1_000_000);
    assert_eq!((listener.limits, listener.when_down), (limits, WhenDown::Reset));
    assert_eq!(pool(&model, "web").drain_timeout, Some(Seconds::literal(120)));
    assert_eq!(pool(&model, "web").on_down, OnDown::Reset);

    let model = served(BASE);
    let listener = model.listeners.values().next().unwrap();
    assert_eq!((listener.limits, listener.when_down), (Limits::default(), WhenDown::Drop));
    assert_eq!((pool(&model, "web").drain_timeout, pool(&model, "web").on_down), (None, OnDown::Keep));
}

fn limits(megabits: u32, connections: u32, per_second: u32) -> Limits {
    Limits {
        bandwidth: Some(Megabits::literal(megabits)),
        connections: Some(MaxConnections::literal(connections)),
        connections_per_second: Some(ConnectionRate::literal(per_second)),
    }
}

/// A file with an HTTP listener too, and these lines of its own and of its pool.
fn with_http(load_balancer: &str, listener: &str, pool: &str) -> String {
    let http = "[[load_balancer.listener]]\nname = 'pages'\nport = 81\nprotocol = 'http'\npool = 'pages'\n";
    let pools = format!("[[pool]]\nname = 'pages'\nprotocol = 'http'\n{pool}\n");
    with(load_balancer, &format!("{http}{listener}\n{pools}"), "")
}

#[test]
fn limits_hold_for_http_too() {
    let text = with_http("bandwidth_mbit = 8", "max_connections = 5\nmax_connections_per_second = 6", "");
    let model = served(&text);
    let of = |name: &str| {
        let mut listeners = model.listeners.values();
        listeners.find(|listener| listener.name.as_str() == name).unwrap().limits
    };
    assert_eq!(of("pages"), limits(8, 5, 6));
    assert_eq!(of("web"), Limits { bandwidth: Some(Megabits::literal(8)), ..Limits::default() });
}

#[test]
fn a_pool_of_http_says_what_becomes_of_a_member_that_goes_down() {
    let text = with_http("", "", "on_down = 'reset'");
    assert_eq!(pool(&served(&text), "pages").on_down, OnDown::Reset);
}

#[test]
fn refused_for_http() {
    for (listener, pool, expected) in [
        (
            "when_down = 'reset'",
            "",
            "21: load_balancer.listener.when_down: an HTTP client is told so by status 503; leave it out",
        ),
        ("", "drain_timeout = '1s'", "25: pool.drain_timeout: is for connections of Layer 4; leave it out"),
    ] {
        assert_eq!(said(&with_http("", listener, pool)), [expected]);
    }
}

#[test]
fn refused() {
    for (load_balancer, listener, pool, expected) in [
        (
            "bandwidth_mbit = 0",
            "",
            "",
            "11: load_balancer.bandwidth_mbit: 0 is not a number of megabits per second; use 1 to 1000000",
        ),
        (
            "bandwidth_mbit = 0.5",
            "",
            "",
            "11: load_balancer.bandwidth_mbit: a fraction does not belong here; use a whole number, 1 to 1000000",
        ),
        (
            "",
            "max_connections = 0",
            "",
            "16: load_balancer.listener.max_connections: 0 is not a number of connections; use 1 to 16777216",
        ),
        (
            "",
            "max_connections_per_second = 1000001",
            "",
            "16: load_balancer.listener.max_connections_per_second: 1000001 is not a number of connections; use 1 to \
             1000000",
        ),
        (
            "",
            "when_down = 'refuse'",
            "",
            r#"16: load_balancer.listener.when_down: "refuse" is not something to do; use "drop" or "reset""#,
        ),
        (
            "",
            "when_down = true",
            "",
            "16: load_balancer.listener.when_down: true or false does not belong here; use a string in quotes",
        ),
        (
            "",
            "protocol = 'udp'\nwhen_down = 'reset'",
            "",
            r#"17: load_balancer.listener.when_down: UDP knows no reset; use "drop" or leave it out"#,
        ),
        ("", "protocol = 'udp'\nwhen_down = 'drop'", "", ""),
        (
            "",
            "",
            "drain_timeout = '0s'",
            r#"20: pool.drain_timeout: "0s" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
    ] {
        let expected = if expected.is_empty() { &[] } else { std::slice::from_ref(&expected) };
        assert_eq!(said(&with(load_balancer, listener, pool)), expected);
    }
}
