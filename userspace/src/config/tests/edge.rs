//! What listeners say of their edge.

use super::*;
use model::{
    edge::{AccessLog, Edge, Forwarded, ForwardedFor, LogFormat, ProxyVersion, RequestLimits},
    value::{HeadBytes, HeaderCount, HeadsBytes, LogPath, Streams},
};

/// [`BASE`] for HTTP, with lines added to its load balancer, its listener and its pool.
fn with(load_balancer: &str, listener: &str, pool: &str) -> String {
    let http = "protocol = 'http'\n";
    BASE.replace("[[load_balancer.listener]]\n", &format!("{load_balancer}\n[[load_balancer.listener]]\n"))
        .replace("port = 80\n", &format!("port = 80\n{http}{listener}\n"))
        .replace("algorithm = \"weighted-round-robin\"\n", &format!("{http}{pool}\n"))
}

fn http(load_balancer: &str, listener: &str) -> HttpListener {
    let mut model = served(&with(load_balancer, listener, ""));
    model.listeners.pop_first().unwrap().1.http.as_deref().unwrap().clone()
}

fn log(path: &str, format: LogFormat) -> Option<AccessLog> {
    Some(AccessLog { path: LogPath::new(path).unwrap(), format })
}

#[test]
fn what_is_not_said_has_a_default() {
    assert_eq!((http("", "").log, http("", "").edge), (None, Edge::default()));
    let some = http("access_log = { path = '/a' }", "limits = { headers = 7 }\nforwarded = { proto = true }");
    assert_eq!(some.log, log("/a", LogFormat::Line));
    let headers = HeaderCount::literal(7);
    assert_eq!(some.edge.limits, RequestLimits { headers, ..RequestLimits::default() });
    assert_eq!(some.edge.forwarded, Forwarded { proto: true, ..Forwarded::default() });
}

#[test]
fn everything_can_be_said() {
    let http = http(
        "access_log = { path = '/var/log/shop.log', format = 'json' }",
        "limits = { head_bytes = 8192, heads_bytes = 65536, headers = 50, body_timeout = '5s', send_timeout = '6s', streams = 10 }\n\
         forwarded = { for = 'replace', proto = true, port = true, host = true }\n\
         proxy_protocol_from = ['198.51.100.0/24', '192.0.2.7']\n\
         http2 = true",
    );
    let [body, send] = [5, 6].map(Seconds::literal);
    let expected = Edge {
        limits: RequestLimits {
            head_bytes: HeadBytes::literal(8192),
            heads_bytes: HeadsBytes::literal(65_536),
            headers: HeaderCount::literal(50),
            body,
            send,
            streams: Streams::literal(10),
        },
        forwarded: Forwarded { address: ForwardedFor::Replace, proto: true, port: true, host: true },
        trusted: ["198.51.100.0/24", "192.0.2.7/32"].map(|network| network.parse().unwrap()).into(),
        cleartext_http2: true,
    };
    assert_eq!(http.log, log("/var/log/shop.log", LogFormat::Json));
    assert_eq!(http.edge, expected);
    for (text, version) in [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)] {
        let file = with("", "", &format!("proxy_protocol = '{text}'"));
        let pool = pool(&served(&file), "web").http.clone().unwrap();
        assert_eq!(pool.member.proxy_protocol, Some(version));
    }
}

#[test]
fn refused() {
    for (load_balancer, listener, pool, expected) in [
        (
            "access_log = { path = 'shop.log' }",
            "",
            "",
            r#"load_balancer.access_log.path: "shop.log" is not the absolute path of a file; use one such as "/var/log/evenkeel/shop.log""#,
        ),
        ("access_log = {}", "", "", "load_balancer.access_log.path: missing; it has no default"),
        (
            "access_log = { path = '/a', format = 'xml' }",
            "",
            "",
            r#"load_balancer.access_log.format: "xml" is not supported by this version; use "line" or "json""#,
        ),
        (
            "",
            "limits = { head_bytes = 100 }",
            "",
            "load_balancer.listener.limits.head_bytes: 100 is not a size for a request's head; use 1024 to 262144",
        ),
        (
            "",
            "limits = { headers = 0 }",
            "",
            "load_balancer.listener.limits.headers: 0 is not a number of headers; use 1 to 256",
        ),
        (
            "",
            "forwarded = { for = 'trust' }",
            "",
            r#"load_balancer.listener.forwarded.for: "trust" is not supported by this version; use "append", "replace" or "keep""#,
        ),
        (
            "",
            "forwarded = { by = true }",
            "",
            "load_balancer.listener.forwarded.by: unknown key; this version knows for, proto, port, host",
        ),
        (
            "",
            "proxy_protocol_from = []",
            "",
            "load_balancer.listener.proxy_protocol_from: the list is empty; put at least one into it",
        ),
        (
            "",
            "",
            "proxy_protocol = 'v3'",
            r#"pool.proxy_protocol: "v3" is not supported by this version; use "v1" or "v2""#,
        ),
    ] {
        let said = said(&with(load_balancer, listener, pool));
        let said: Vec<_> = said.iter().map(|line| line.split_once(": ").unwrap().1).collect();
        assert_eq!(said, [expected]);
    }
}

#[test]
fn only_http_listeners_and_pools_have_one() {
    let tcp = |text: String| text.replace("protocol = 'http'\n", "");
    for key in ["limits = {}", "forwarded = {}", "proxy_protocol_from = ['192.0.2.7']"] {
        let name = key.split(' ').next().unwrap();
        let expected = format!("load_balancer.listener.{name}: only an HTTP or HTTPS listener has this");
        assert_eq!(said(&tcp(with("", key, ""))).len(), 1);
        assert!(said(&tcp(with("", key, "")))[0].ends_with(&expected));
    }
    assert!(
        said(&tcp(with("", "", "proxy_protocol = 'v1'")))[0].contains("pool.proxy_protocol: only a pool")
    );
}
