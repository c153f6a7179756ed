//! What listeners and pools say that speak HTTP.

use super::*;
use model::http::{HttpTimeouts, MemberHttp};

/// [`BASE`] with lines added to its listener and its pool.
fn with(listener: &str, pool: &str) -> String {
    BASE.replace("port = 80\n", &format!("port = 80\n{listener}\n"))
        .replace("algorithm = \"weighted-round-robin\"\n", &format!("{pool}\n"))
}

fn read(listener: &str, pool: &str) -> (Listener, HttpPool) {
    let mut model = served(&with(listener, pool));
    let (key, listener) = model.listeners.pop_first().unwrap();
    assert_eq!(key.protocol, Protocol::Tcp);
    ((*listener).clone(), super::pool(&model, "web").http.clone().unwrap())
}

/// What a pool is of which nothing is said.
fn http_pool() -> HttpPool {
    HttpPool { ejection: Some(Ejection::default()), ..Default::default() }
}

#[test]
fn what_is_not_said_has_a_default() {
    let (listener, pool) = read("protocol = 'http'", "protocol = 'http'");
    assert_eq!(listener.http.as_deref(), Some(&HttpListener::default()));
    assert_eq!(listener.idle_timeout, Seconds::literal(60));
    assert_eq!(pool, http_pool());
}

#[test]
fn everything_can_be_said() {
    let listener = "protocol = 'http'\nidle_timeout = '9s'\nhead_timeout = '1s'\n\
                    connect_timeout = '2s'\nread_timeout = '3s'\nwrite_timeout = '4s'\ntunnel_timeout = '5s'";
    let (listener, pool) = read(listener, "protocol = 'http'\nhttp2 = true");
    let [head, connect, read, write, tunnel] = [1, 2, 3, 4, 5].map(Seconds::literal);
    let timeouts = HttpTimeouts { head, connect, read, write, tunnel };
    assert_eq!(listener.http.as_deref(), Some(&HttpListener { timeouts, ..HttpListener::default() }));
    assert_eq!(listener.idle_timeout, Seconds::literal(9));
    let member = MemberHttp { http2: true, ..MemberHttp::default() };
    assert_eq!(pool, HttpPool { member, ..http_pool() });
}

/// It answers what no policy sends elsewhere itself; a Layer-4 listener could do nothing.
#[test]
fn only_an_http_listener_may_have_no_pool() {
    let without = |protocol| BASE.replace("pool = \"web\"", &format!("protocol = '{protocol}'"));
    let model = served(&without("http"));
    assert!(model.listeners.values().all(|listener| listener.pool.is_none()));
    for protocol in ["tcp", "udp"] {
        assert_eq!(said(&without(protocol)), ["11: load_balancer.listener.pool: missing; it has no default"]);
    }
}

#[test]
fn a_member_behind_an_http_listener_may_answer_the_guides_codes() {
    for (protocol, codes) in [("protocol = 'http'", [true; 3]), ("", [true, false, false])] {
        let listener = if protocol.is_empty() { "protocol = 'tcp'" } else { protocol };
        let model = served(&with(listener, &format!("{protocol}\nhealth = {{ protocol = 'http' }}")));
        let check = pool(&model, "web").check.clone().unwrap();
        let Probe::Http(get) = &check.probe else { panic!("{:?}", check.probe) };
        assert_eq!([200, 202, 401].map(|code| get.codes.contains(code)), codes);
    }
}

#[test]
fn refused() {
    for (listener, pool, expected) in [
        (
            "protocol = 'tcp'",
            "protocol = 'http'",
            r#"15: load_balancer.listener.pool: pool "web" has protocol = "http", which goes with HTTP and HTTPS listeners only; name another"#,
        ),
        (
            "protocol = 'http'",
            "",
            r#"15: load_balancer.listener.pool: pool "web" is not for HTTP; give it protocol = "http" or "https", or name another"#,
        ),
        ("http2 = true", "", "14: load_balancer.listener.http2: only an HTTP or HTTPS listener has this"),
        (
            "head_timeout = '1s'",
            "",
            "14: load_balancer.listener.head_timeout: only an HTTP or HTTPS listener has this",
        ),
        ("", "http2 = true", r#"18: pool.http2: only a pool with protocol = "http" or "https" has this"#),
        (
            "",
            "protocol = 'tcp'",
            r#"18: pool.protocol: "tcp" is not supported by this version; use "http" or "https", or leave it out for Layer 4"#,
        ),
        (
            "protocol = 'http'\n[[load_balancer.listener]]\nname = 'l4'\nprotocol = 'tcp'\nport = 80\npool = 'l4'\n\
             [[pool]]\nname = 'l4'\n[[load_balancer.listener]]\nname = 'more'\nprotocol = 'http'\nport = 81",
            "protocol = 'http'",
            "18: load_balancer.listener.port: 80 is another listener's on line 13; give each its own port",
        ),
        (
            "protocol = 'http'\n[[load_balancer.listener]]\nname = 'udp'\nprotocol = 'udp'\nport = 80\npool = 'l4'\n\
             [[pool]]\nname = 'l4'\n[[load_balancer.listener]]\nname = 'more'\nprotocol = 'http'\nport = 81",
            "protocol = 'http'",
            "",
        ),
    ] {
        let expected = if expected.is_empty() { vec![] } else { vec![expected] };
        assert_eq!(said(&with(listener, pool)), expected, "{listener} {pool}");
    }
}
