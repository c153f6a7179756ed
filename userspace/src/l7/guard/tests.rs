//! Raw connections to a listener: which bytes get through, and how those end that do not.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    pin::pin,
    thread,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

use super::poll_reach;
use crate::l7::{
    edge::RequestBounds,
    fixture::{DEADLINE, EdgeSettings, Front, Settings, close, length},
};

const HOST: &str = "Host: shop.example\r\n";

/// What, the request, the status; 200 if a member is to see it.
const PROBES: &[(&str, &str, u16)] = &[
    ("plain", "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n", 200),
    ("host with a port", "GET / HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n", 200),
    ("host that is IPv6", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", 200),
    ("empty lines in front", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("bare line feeds", "GET / HTTP/1.1\nHost: a\n\n", 200),
    ("HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 200),
    ("absolute target", "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (
        "absolute target with a port that is none",
        "GET http://a:70000/x HTTP/1.1\r\nHost: a:70000\r\n\r\n",
        400,
    ),
    ("absolute target that names a user", "GET http://u@a/x HTTP/1.0\r\n\r\n", 400),
    ("absolute target without a host", "GET http:///x HTTP/1.0\r\n\r\n", 400),
    (
        "characters that a client should have encoded",
        "GET /\"a\\^{|}?\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
        200,
    ),
    ("body by length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 200),
    (
        "body in chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        200,
    ),
    ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    ("asterisk of another method", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("target without a slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("target that would be a user and a host", "GET @b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("URL that is none of HTTP", "GET file:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400),
    ("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("Host with a user", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    ("Host with two names", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("Host with two dots at its end", "GET / HTTP/1.1\r\nHost: admin.example..\r\n\r\n", 400),
    ("Host with a comma", "GET / HTTP/1.1\r\nHost: admin.example,b\r\n\r\n", 400),
    ("Host with a signed port", "GET / HTTP/1.1\r\nHost: ok.example:+80\r\n\r\n", 400),
    ("Host that is an address of the future", "GET / HTTP/1.1\r\nHost: [v1.a]\r\n\r\n", 400),
    ("Host with something behind its address", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
    (
        "a fragment in a URL",
        "GET http://ok.example#@admin.example/x HTTP/1.1\r\nHost: ok.example\r\n\r\n",
        400,
    ),
    ("a fragment", "GET /a#b HTTP/1.1\r\nHost: ok.example\r\n\r\n", 400),
    ("the same host in other letters", "GET http://OK.example/ HTTP/1.1\r\nHost: ok.EXAMPLE\r\n\r\n", 200),
    ("Host with a bad port", "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400),
    ("another host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (
        "length and chunks",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunks and length",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked twice",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked in two headers",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("gzip, chunked", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400),
    (
        "chunked with a tail",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "chunked with a control",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "space before the colon",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    ("folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("space before a header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    ("two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    ("the same length twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400),
    ("length with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400),
    ("negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400),
    ("no length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400),
    ("immense length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\nabc", 400),
    ("space in the path", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("tab in the path", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("space at the end", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
    ("space in front", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("carriage return in the path", "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("colon in the method", "GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("no version", "GET /\r\nHost: a\r\n\r\n", 400),
    ("wrong version", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 400),
    ("version with a tail", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", 400),
    ("zero byte in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("carriage return in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 400),
    ("HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\n\n", 400),
    ("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405),
    (
        "nothing but empty lines",
        "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        400,
    ),
];

fn status(answer: &str) -> u16 {
    let Some(rest) = answer.strip_prefix("HTTP/1.") else { return 0 };
    rest.get(2..5).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// Reads one answer of a connection that stays open: a head, and a body by length.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let mut body = vec![0; length(&head)];
    stream.read_exact(&mut body).unwrap();
    head
}

#[test]
fn only_requests_that_nobody_can_misunderstand_reach_a_member() {
    let front = Front::start(Settings::default());
    for &(what, request, expected) in PROBES {
        let before = front.sent().len();
        let requests = front.row().requests;
        if expected == 200 {
            // Its connection stays open.
            let mut stream = front.connect();
            stream.write_all(request.as_bytes()).unwrap();
            assert_eq!(status(&answer(&mut stream)), 200, "{what}");
            assert!(front.sent().len() > before, "{what}");
        } else {
            assert_eq!(status(&front.ask(request.as_bytes())), expected, "{what}");
            assert_eq!(front.sent().len(), before, "{what}: a member has seen it");
        }
        front.wait_for(what, |row| row.requests == requests + 1);
    }
    let row = front.row();
    let of = |status| PROBES.iter().filter(|probe| probe.2 / 100 == status).count() as u64;
    assert_eq!((row.answers._2xx, row.answers._4xx), (of(2), of(4)));
    assert_eq!(row.refused.values().sum::<u64>(), of(4));
    for reason in ["no_host", "several_hosts", "bad_length", "bad_encoding", "length_and_encoding", "connect"]
    {
        assert!(row.refused.contains_key(reason), "{reason} in {:?}", row.refused);
    }
    // Two hosts.
    assert_eq!(row.refused["other"], 1);
    assert_eq!(row.members._2xx, of(2));
}

#[test]
fn a_head_sent_byte_by_byte_has_to_be_there_in_time() {
    let front = Front::start(Settings { head: Duration::from_millis(600), ..Settings::default() });
    let began = Instant::now();
    let mut stream = front.connect();
    let dribble = b"GET / HTTP/1.1\r\nHost: a\r\n".iter().chain(b"X: y\r\n".iter().cycle());
    // Each byte comes well within any time for one read.
    for byte in dribble {
        if stream.write_all(&[*byte]).is_err() || front.row().requests > 0 {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    assert!(began.elapsed() >= Duration::from_millis(600));
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(status(&answer), 408, "{answer}");
    assert_eq!(front.row().refused["late"], 1);
}

/// Also one that never says anything; and it leaves no trace in log or counters.
#[test]
fn connections_that_ask_nothing_are_closed() {
    let short = Duration::from_millis(300);
    let front = Front::start(Settings { head: short, idle: short, ..Settings::default() });
    assert_eq!(front.ask(b""), "");
    let mut used = front.connect();
    used.write_all(format!("GET / HTTP/1.1\r\n{HOST}\r\n").as_bytes()).unwrap();
    let mut rest = String::new();
    used.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("ok\n"), "{rest}");
    let row = front.wait_for("both closed", |row| row.connections_open == 0);
    assert_eq!((row.connections, row.requests), (2, 1));
}

/// The timer of a connection is set to the end of the head's time when idle time begins to count.
#[test]
fn idle_time_may_be_shorter_than_a_heads_time() {
    let idle = Duration::from_millis(300);
    let front = Front::start(Settings { head: 10 * DEADLINE, idle, ..Settings::default() });
    let mut used = front.connect();
    used.write_all(format!("GET / HTTP/1.1\r\n{HOST}\r\n").as_bytes()).unwrap();
    let mut rest = String::new();
    used.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("ok\n"), "{rest}");
}

/// And the other way round: nothing closes it when a head would have been late.
#[tokio::test]
async fn a_timer_that_was_set_too_early_goes_on() {
    let (early, late) = (Duration::from_millis(20), Duration::from_millis(200));
    let began = Instant::now();
    let mut timer = pin!(sleep_until((began + early).into()));
    poll_fn(|context| poll_reach(began + late, timer.as_mut(), context)).await;
    assert!(began.elapsed() >= late);
    // What is past is reached at once.
    poll_fn(|context| poll_reach(began, timer.as_mut(), context)).await;
}

#[test]
fn heads_that_are_too_large_or_have_too_many_lines_are_refused() {
    let limits = RequestBounds { head_bytes: 2048, headers: 10, ..RequestBounds::default() };
    let edge = EdgeSettings { limits, ..EdgeSettings::default() };
    let front = Front::start(Settings { edge, ..Settings::default() });
    let with = |headers: &str| format!("GET / HTTP/1.1\r\n{HOST}{headers}\r\n");
    let large = |size: usize| with(&format!("X: {}\r\n", "a".repeat(size)));
    let overhead = large(0).len();
    let ok = format!("{}Connection: close\r\n\r\n", with("").trim_end_matches("\r\n").to_owned() + "\r\n");
    for (request, expected) in [
        (ok, 200),
        (large(2048 - overhead + 1), 431),
        (large(1 << 20), 431),
        (with(&"X: y\r\n".repeat(10)), 431),
        (format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "a".repeat(3000)), 431),
    ] {
        assert_eq!(status(&front.ask(request.as_bytes())), expected, "{} bytes", request.len());
    }
    let mut exactly = front.connect();
    exactly.write_all(large(2048 - overhead).as_bytes()).unwrap();
    assert_eq!(status(&answer(&mut exactly)), 200);
    let row = front.wait_for("all", |row| row.requests == 6);
    assert_eq!((row.refused["too_large"], row.refused["too_many_headers"]), (3, 1));
}

/// Longer targets than Pingora takes, though the listener takes such heads.
#[test]
fn a_target_that_is_too_long_is_said_to_be() {
    let limits = RequestBounds { head_bytes: 256 * 1024, ..RequestBounds::default() };
    let edge = EdgeSettings { limits, ..EdgeSettings::default() };
    let front = Front::start(Settings { edge, ..Settings::default() });
    for (begin, length, expected) in
        [("/", 65_534, 200), ("/", 65_535, 431), ("http://a/", 65_534, 200), ("http://a/", 65_535, 431)]
    {
        let target = format!("{begin}{}", "a".repeat(length - begin.len()));
        let answer =
            front.ask(format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes());
        assert_eq!(status(&answer), expected, "{begin}, {length}: {answer}");
    }
    let row = front.wait_for("all", |row| row.requests == 4);
    assert_eq!(row.refused["too_large"], 2);
}

#[test]
fn one_connection_carries_many_requests_and_what_each_took_is_counted() {
    let front = Front::start(Settings::default());
    let mut stream = front.connect();
    let request = format!("POST /status/404 HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\n");
    for part in [&request[..20], &request[20..], "hello"] {
        // In pieces, which come one by one.
        stream.write_all(part.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let first = answer(&mut stream);
    assert_eq!(status(&first), 404, "{first}");
    let mut sent = first.len() as u64 + 3;
    for _ in 0..3 {
        stream.write_all(format!("{request}hello").as_bytes()).unwrap();
        sent += answer(&mut stream).len() as u64 + 3;
    }
    let row = front.wait_for("four requests", |row| row.requests == 4);
    assert_eq!((row.connections, row.connections_open, row.http_404), (1, 1, 4));
    assert_eq!(row.bytes_in, 4 * (request.len() as u64 + 5));
    assert_eq!(row.bytes_out, sent);
}

/// Requests sent without waiting for answers, also while one is being answered, are answered one by one and in order.
#[test]
fn requests_may_come_before_their_turn() {
    let front = Front::start(Settings::default());
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\n{HOST}\r\n");
    let post = |status: u16, body: &str| {
        format!("POST /status/{status} HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let chunks = |status: u16| {
        let head = format!("PUT /status/{status} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n");
        format!("{head}3\r\nabc\r\n0\r\n\r\n")
    };
    let all = [get("/status/201"), post(202, "abc"), chunks(203), post(205, ""), get("/status/206")].concat();
    for cut in [all.len(), 10, 50, 70, 120, 135, 140, 200, 210, 220, 225, 230, 235, 240, 300] {
        let mut stream = front.connect();
        let (first, rest) = all.split_at(cut);
        stream.write_all(first.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
        stream.write_all(rest.as_bytes()).unwrap();
        let answers = [(); 5].map(|()| status(&answer(&mut stream)));
        assert_eq!(answers, [201, 202, 203, 205, 206], "cut at {cut}");
    }
    let mut stream = front.connect();
    for path in ["/wait", "/status/201", "/status/202"] {
        stream.write_all(get(path).as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!([(); 3].map(|()| status(&answer(&mut stream))), [200, 201, 202]);

    // Each is checked, wherever it stands.
    let answers =
        front.ask([get("/status/201"), "GET /status/299 HTTP/1.1\r\n\r\n".into()].concat().as_bytes());
    assert!(answers.starts_with("HTTP/1.1 201 ") && answers.ends_with("no Host\n"), "{answers}");
    assert!(!front.sent().contains("299"));

    // A client that goes is noticed although it has asked for more.
    let mut stream = front.connect();
    stream.write_all(get("/status/201").as_bytes()).unwrap();
    assert_eq!(status(&answer(&mut stream)), 201);
    close(&stream);
    front.wait_for("its end", |row| row.connections_open <= 9);
}

/// It says so by closing one direction only (RFC 9293, section 3.6.1).
#[test]
fn a_client_that_has_sent_all_it_will_send_is_answered() {
    let front = Front::start(Settings::default());
    let post = format!("POST /wait HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello");
    for request in [format!("GET /wait HTTP/1.1\r\n{HOST}\r\n"), post] {
        let mut stream = front.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ok\n"), "{answer}");
    }
}

/// Pingora would take what comes behind it for the beginning of a tunnel.
#[test]
fn a_request_ahead_of_one_that_asks_for_another_protocol_is_answered() {
    let front = Front::start(Settings::default());
    for protocol in ["websocket", "h2c", "TLS/1.0"] {
        let mut stream = front.connect();
        let upgrade = format!("{HOST}Connection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        let first = format!("GET /status/201 HTTP/1.1\r\n{upgrade}");
        let second = format!("GET /status/202 HTTP/1.1\r\n{HOST}\r\n");
        stream.write_all((first + &second).as_bytes()).unwrap();
        assert_eq!([(); 2].map(|()| status(&answer(&mut stream))), [201, 202], "{protocol}");
    }
}

/// With prior knowledge (RFC 9113, section 3.3), as gRPC does; HTTP/1 is spoken as before.
#[tokio::test]
async fn http2_without_tls_is_served_where_it_is_asked_for() {
    for served in [true, false] {
        let edge = EdgeSettings { cleartext_http2: served, ..EdgeSettings::default() };
        let front = Front::start(Settings { edge, ..Settings::default() });
        let socket = tokio::net::TcpStream::connect(front.address).await.unwrap();
        let (mut client, connection) = h2::client::handshake(socket).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get("http://shop.example/status/201").body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let status = answer.await.ok().map(|answer| answer.status().as_u16());
        assert_eq!(status, served.then_some(201));
        connection.abort();
        for begin in ["GET", "PRI", "P"] {
            let answer =
                front.ask(format!("{begin} / HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
            assert!(answer.starts_with("HTTP/1.1 200 "), "{begin}: {answer}");
        }
    }
}

#[test]
fn a_client_that_goes_away_is_told_apart() {
    let front = Front::start(Settings::default());
    let mut stream = front.connect();
    stream.write_all(format!("GET /slow HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nabc").as_bytes()).unwrap();
    front.wait_for("it is open", |row| row.connections_open == 1);
    close(&stream);
    let row = front.wait_for("it is over", |row| row.requests == 1);
    assert_eq!((row.http_499, row.answers._4xx, row.member_failures), (1, 1, 0), "{row:?}");
}

/// It waits for the same body as we do, and has done nothing wrong.
#[test]
fn a_client_that_keeps_its_body_back_is_late_and_not_the_member() {
    let front = Front::start(Settings { read: Duration::from_millis(300), ..Settings::default() });
    let mut stream = front.connect();
    stream.write_all(format!("PUT / HTTP/1.1\r\n{HOST}Content-Length: 9\r\n\r\nabc").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 408, "{answer}");
    let row = front.wait_for("it is over", |row| row.requests == 1);
    assert_eq!((row.answers._4xx, row.member_failures), (1, 0), "{row:?}");
    assert!(front.sent().ends_with("abc"), "a member has seen it");
}

/// A member that closes the connection without an answer.
#[test]
fn a_member_without_an_answer_is_a_502_and_a_failure() {
    let front = Front::start(Settings::default());
    let answer = front.ask(format!("POST /hang HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n").as_bytes());
    assert_eq!(status(&answer), 502, "{answer}");
    let row = front.wait_for("it is over", |row| row.requests == 1);
    assert_eq!((row.http_502, row.member_failures, row.members._2xx), (1, 1, 0), "{row:?}");
}

/// With data on its way, closing at once would reset the connection and lose the answer.
#[test]
fn a_refused_client_gets_its_answer_while_it_still_sends() {
    let front = Front::start(Settings::default());
    let mut stream = front.connect();
    let body = vec![b'a'; 128 * 1024];
    stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 131072\r\n\r\n").unwrap();
    let _ = stream.write_all(&body);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.ends_with("no Host\n"), "{answer}");
}
