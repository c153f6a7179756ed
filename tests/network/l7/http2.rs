//! What do clients get that speak HTTP/2 as no library would: frames made by hand, over TLS?

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        echo::Echo,
        frames::{
            CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Heard, PING, Peer, RST_STREAM, SETTINGS,
            WINDOW_UPDATE, block, frame, https, request, row,
        },
        script::{self, ok},
    },
};

/// Also those that Pingora answers itself, or HTTP/2.
#[test]
fn every_request_that_is_refused_is_counted_and_logged() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let (certificates, mut settings) = https(1, "", "protocol = \"http\"");
    settings.load_balancer = format!("access_log = {{ path = \"{}\" }}", log.display());
    let balancer = Balancer::start(settings);
    for (number, fields) in [
        &[(":authority", "user@shop.example")][..],
        &[("host", "other.example")],
        &[("host", "shop.example"), ("host", "shop.example")],
        &[(":authority", "shop.example..")],
        &[("X-Upper", "a")],
        &[("connection", "keep-alive")],
        &[(":authority", "")],
    ]
    .into_iter()
    .enumerate()
    {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(fields)));
        assert_ne!(peer.hear(1), Heard::Ok, "{fields:?}");
        let known = || {
            let row = row(&balancer);
            let lines = std::fs::read_to_string(&log).unwrap_or_default().lines().count();
            let refused: u64 =
                row["refused"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
            (row["requests"].as_u64().unwrap(), refused, lines)
                == (number as u64 + 1, number as u64 + 1, number + 1)
        };
        wait_for(&format!("{fields:?} in log and counters"), DEADLINE, known).unwrap();
    }
}

/// So that nobody gets refusals without end.
#[test]
fn a_connection_that_brings_what_http2_forbids_again_and_again_ends() {
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    for (count, ends) in [(31, false), (32, true)] {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        for number in 0..count {
            let fields = request(&[("host", "other.example")]);
            peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &fields));
        }
        peer.send(&frame(PING, 0, 0, &[7; 8]));
        let mut is_over = true;
        while let Some((kind, ..)) = peer.next() {
            if kind == PING {
                is_over = false;
                break;
            }
        }
        assert_eq!(is_over, ends, "{count}");
    }
}

/// Nothing that keeps a connection busy without a request keeps it open.
#[test]
fn a_connection_without_requests_ends_however_much_else_it_brings() {
    let (certificates, mut settings) = https(1, "", "protocol = \"http\"");
    settings.idle_timeout = "2s";
    let balancer = Balancer::start(settings);
    let refused =
        |number: u32| frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &request(&[("host", "b")]));
    type Drip<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);
    let drips: [Drip<'_>; 4] = [
        ("PING", &|_| frame(PING, 0, 0, &[0; 8])),
        ("SETTINGS", &|_| frame(SETTINGS, 0, 0, &[])),
        ("WINDOW_UPDATE", &|_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("refused requests", &refused),
    ];
    for (what, drip) in drips {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        // More would end it anyway.
        let number = (0..30).position(|number| {
            std::thread::sleep(Duration::from_millis(300));
            !peer.send(&drip(number)) || row(&balancer)["connections_open"] == 0
        });
        assert!(number.is_some(), "{what}");
    }
}

/// Shapes by which a member could be made to see another request than the balancer has.
#[test]
fn what_would_be_another_request_in_http1_reaches_no_member() {
    let (certificates, settings) = https(1, "limits = { head_bytes = 2048 }", "protocol = \"http\"");
    let mut balancer = Balancer::start(settings);
    let echo = Echo::start(&balancer.network.backends[0]);
    let ask = |fields: &[(&str, &str)], body: Option<&[u8]>| {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        let end = if body.is_none() { END_STREAM } else { 0 };
        peer.send(&frame(HEADERS, END_HEADERS | end, 1, &request(fields)));
        if let Some(body) = body {
            peer.send(&frame(DATA, END_STREAM, 1, body));
        }
        peer.hear(1)
    };
    assert_eq!(ask(&[], None), Heard::Ok);
    assert_eq!(ask(&[("content-length", "3")], Some(b"abc")), Heard::Ok);
    assert_eq!(ask(&[("te", "trailers"), ("x-a", "b")], None), Heard::Ok);
    let seen = echo.requests();
    type Shape = (&'static [(&'static str, &'static str)], Option<&'static [u8]>);
    let shapes: [Shape; 28] = [
        (&[("transfer-encoding", "chunked")], Some(b"0\r\n\r\n")),
        (&[("connection", "keep-alive")], None),
        (&[("keep-alive", "1")], None),
        (&[("upgrade", "websocket")], None),
        (&[("te", "gzip")], None),
        (&[("content-length", "3"), ("content-length", "4")], Some(b"abc")),
        (&[("content-length", "+3")], Some(b"abc")),
        (&[("X-Upper", "a")], None),
        (&[("x a", "b")], None),
        (&[("x:a", "b")], None),
        (&[("x-a", "b\r\nHost: other")], None),
        (&[("x-a", "b\0c")], None),
        (&[(":path", "/ HTTP/1.1\r\nHost: other\r\n\r\n")], None),
        (&[(":path", "/a b")], None),
        (&[(":path", "")], None),
        (&[(":path", "@other/")], None),
        (&[(":authority", "")], None),
        (&[(":authority", "a, b")], None),
        (&[(":authority", "user@shop.example")], None),
        (&[(":method", "CONNECT")], None),
        (&[(":authority", "shop.example..")], None),
        (&[(":authority", "shop.example,b")], None),
        (&[(":authority", "shop.example:+80")], None),
        (&[(":authority", "[v1.a]")], None),
        (&[(":scheme", "")], None),
        (&[(":scheme", "file")], None),
        (&[("host", "other.example")], None),
        (&[("host", "shop.example"), ("host", "shop.example")], None),
    ];
    for (fields, body) in shapes {
        let heard = ask(fields, body);
        assert_ne!(heard, Heard::Ok, "{fields:?}");
        assert_eq!(echo.requests(), seen, "{fields:?}: {heard:?}, and a member has seen it");
    }
    // A body of another length than was said. A member may have seen the head by then, and nothing behind it.
    for length in ["2", "4"] {
        let smuggled = [b"abc", &b"GET /more HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat();
        let seen = echo.requests();
        assert_ne!(ask(&[(":method", "POST"), ("content-length", length)], Some(&smuggled)), Heard::Ok);
        assert_eq!(ask(&[], None), Heard::Ok);
        assert!(echo.requests() <= seen + 2, "{length}");
    }
    let seen = echo.requests();
    // Another host than the one that policies and certificate are for.
    assert_ne!(ask(&[("host", "other")], None), Heard::Ok);
    assert_eq!(echo.requests(), seen);

    // The size of a head is told and counted as in HTTP/1.
    let filler = "a".repeat(120);
    let large: Vec<_> = (0..20).map(|_| ("x-filler", filler.as_str())).collect();
    assert_eq!(ask(&large, None), Heard::Status("431".into()));
    wait_for("its count", DEADLINE, || row(&balancer)["refused"]["too_large"] == 1).unwrap();

    // What was encrypted is not told of as if it had not been.
    let mut peer = Peer::connect(&balancer, &certificates, &[]);
    let mut ask = |stream| {
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&[])));
        peer.hear(stream)
    };
    assert_eq!(ask(1), Heard::Ok);
    (balancer.settings.protocol, balancer.settings.listener) = ("http", String::new());
    balancer.reload();
    assert_eq!(ask(3), Heard::Status("421".into()));
}

/// A stream of frames that cost the client nothing. The daemon's memory stays as it is, and others are served.
#[test]
fn floods_end_and_others_do_not_notice_them() {
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    let _echo = Echo::start(&balancer.network.backends[0]);
    let others = || {
        let ca = certificates.path("ca.crt");
        let resolve = ["--resolve", "shop.example:80:203.0.113.10", "--cacert", &ca];
        let curl = ["curl", "-sSf", "--max-time", "20", "--http2", "https://shop.example:80/"];
        assert!(balancer.client(&[&curl[..], &resolve].concat()).starts_with("backend1\n"));
    };
    others();
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", balancer.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = memory();

    let continuations = frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")]));
    let empty = frame(CONTINUATION, 0, 1, &[]);
    let data = frame(DATA, 0, 1, &[]);
    let reset = |stream: u32| {
        let headers = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&[]));
        [headers, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let body = [(":method", "POST")];
    // What begins the flood, what it is made of, and whether the connection has to end.
    type Part<'a> = Box<dyn Fn(u32) -> Vec<u8> + 'a>;
    let floods: [(&str, Vec<u8>, Part<'_>, bool); 6] = [
        ("continuation", frame(HEADERS, 0, 1, &request(&[])), Box::new(|_| continuations.clone()), true),
        ("empty continuation", frame(HEADERS, 0, 1, &request(&[])), Box::new(|_| empty.clone()), true),
        ("empty data", frame(HEADERS, END_HEADERS, 1, &request(&body)), Box::new(|_| data.clone()), true),
        ("reset", Vec::new(), Box::new(|number| reset(2 * number + 1)), false),
        ("ping", Vec::new(), Box::new(|_| frame(PING, 0, 0, &[0; 8])), false),
        ("settings", Vec::new(), Box::new(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])), false),
    ];
    for (what, beginning, part, must_end) in floods {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        peer.send(&beginning);
        let end = Instant::now() + Duration::from_secs(2);
        // Nothing is read: what the other side answers piles up there, or it stops reading, too.
        let mut sent = 0;
        while Instant::now() < end && peer.send(&(sent..sent + 100).flat_map(&part).collect::<Vec<_>>()) {
            sent += 100;
        }
        others();
        if must_end {
            assert!(peer.is_over(), "{what}");
        }
        println!("{what}: {sent} frames, {} KB more", memory().saturating_sub(before));
    }
    let mut other = Peer::open(VIP, &balancer, &certificates);
    other.send(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(other.hear(1), Heard::End(None), "this is another protocol");
    assert!(memory() < before + 128 * 1024, "{} KB, {before} before", memory());
    let closed = || row(&balancer)["connections_open"] == 0;
    wait_for("the end of their connections", DEADLINE, closed).unwrap();
    let said = balancer.log();
    assert!(!said.contains("ERROR") && !said.contains("WARN"), "clients can fill the log: {said}");
}

/// Streams that never go on, in either direction: neither they nor the members that wait with them last, and the members
/// are not to blame.
#[test]
fn a_stream_that_stands_still_ends_and_no_member_is_blamed() {
    let pool = "protocol = \"http\"\nejection = { failures = 1, time = \"60s\" }";
    let (certificates, settings) =
        https(2, "read_timeout = \"1s\"\nlimits = { send_timeout = \"1s\" }", pool);
    let balancer = Balancer::start(Settings { idle_timeout: "2s", ..settings });
    let large = ok(&"a".repeat(1 << 20));
    for host in &balancer.network.backends {
        let (large, name) = (large.clone(), host.name().to_owned());
        script::serve(host, move |head, _| match head {
            head if head.starts_with("GET /large") => large.clone(),
            head if head.starts_with("POST") => {
                // A server reads the whole request first.
                std::thread::sleep(DEADLINE);
                Vec::new()
            }
            _ => ok(&name),
        });
    }
    for _ in 0..4 {
        let mut late = Peer::connect(&balancer, &certificates, &[]);
        late.send(&frame(HEADERS, END_HEADERS, 1, &request(&[(":method", "POST"), ("content-length", "9")])));
        late.send(&frame(DATA, 0, 1, b"abc"));
        assert_eq!(late.hear(1), Heard::Status("408".into()));
    }
    let url = "https://shop.example:80/[1-10]";
    let ca = certificates.path("ca.crt");
    let curl = ["curl", "-sSf", "--max-time", "20", "-w\n", "--cacert", &ca, url];
    let answers = balancer.client(&[&curl[..], &["--resolve", "shop.example:80:203.0.113.10"]].concat());
    assert_eq!(["backend1", "backend2"].map(|name| answers.matches(name).count()), [5, 5], "{answers}");

    // Frames that ask for nothing keep no connection open.
    let mut idle = Peer::connect(&balancer, &certificates, &[]);
    idle.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[])));
    assert_eq!(idle.hear(1), Heard::Ok);
    let ping = frame(PING, 0, 0, &[0; 8]);
    wait_for("the end of an idle connection", DEADLINE, || !idle.send(&ping)).unwrap();

    // A window of no bytes.
    let mut deaf = Peer::connect(&balancer, &certificates, &[0, 4, 0, 0, 0, 0]);
    deaf.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[(":path", "/large")])));
    assert_eq!(deaf.hear(1), Heard::Ok);
    assert_eq!(deaf.hear(1), Heard::Reset);
    let row = row(&balancer);
    assert_eq!(row["member_failures"], 0, "{row}");
}

/// One that does not even say that it has heard that it is to leave.
#[test]
fn a_listener_that_is_removed_waits_for_no_client_that_only_stays() {
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let secure = "[[load_balancer.listener]]\nname = \"secure\"\nprotocol = \"https\"\nport = 443\npool = \"web\"\n\
                  idle_timeout = \"2s\"\nread_timeout = \"2s\"\n";
    let listener = format!("{secure}{}", settings.listener);
    let mut balancer = Balancer::start(Settings { protocol: "http", listener, ..settings });
    let _echo = Echo::start(&balancer.network.backends[0]);
    let at = SocketAddr::new(VIP.ip(), 443);
    let mut peer = Peer::connect_at(at, &balancer, &certificates, &[]);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[])));
    assert_eq!(peer.hear(1), Heard::Ok);
    balancer.settings.listener = String::new();
    balancer.reload();
    let is_gone = |balancer: &Balancer| {
        let listeners = balancer.ask("status")["listeners"].clone();
        listeners.as_array().unwrap().iter().all(|listener| listener["name"] != "secure")
    };
    assert!(!is_gone(&balancer), "it has a connection");
    wait_for("the end of the listener", DEADLINE, || is_gone(&balancer)).unwrap();
    drop(peer);
}
