//! Is what a member gets one message for each request, whatever frames and chunks the client chose? Every body is
//! followed by another client's request on the same connection to the member, which takes requests apart by the letter.

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        certificates::Certificates,
        frames::{
            CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Heard, PADDED, Peer, RST_STREAM, frame,
            https, request, row,
        },
        http,
        script::Client,
        strict::{End, Strict},
    },
};

/// Whether a body is whole, by what the member saw of it.
fn is_seen(strict: &Strict, target: &str, body: &[u8]) {
    let seen = strict.seen(target);
    assert!(seen.iter().all(|seen| seen.end == End::Whole && seen.body == body), "{target}: {seen:?}");
    assert_eq!(seen.len(), 1, "{target}: {seen:?}");
}

/// Whether a member that saw such a request at all saw that it was not whole.
fn is_not_whole(strict: &Strict, target: &str) {
    let seen = strict.seen(target);
    assert!(seen.iter().all(|seen| seen.end == End::Cut), "{target}: {seen:?}");
}

/// Other clients ask until one request goes where that for `target` went; what comes first on that connection must be it.
fn others_are_served(strict: &Strict, target: &str, ask: impl Fn(&str) -> bool) {
    let connection = strict.seen(target)[0].connection;
    let was_reused = (0..200).any(|number| {
        let other = format!("{target}/other-{number}");
        assert!(ask(&other), "{other}: {:?}", strict.wrong());
        strict.seen(&other)[0].connection == connection
    });
    assert!(was_reused, "{target}: its connection to the member was not kept");
}

struct Shape {
    what: &'static str,
    /// Said of the length.
    length: Option<&'static str>,
    /// Flags of HEADERS beside END_HEADERS.
    flags: u8,
    /// Kind, flags, payload.
    frames: &'static [(u8, u8, &'static [u8])],
    /// What the member is to see; none if the request is not whole.
    body: Option<&'static [u8]>,
}

const fn shape(
    what: &'static str,
    length: Option<&'static str>,
    frames: &'static [(u8, u8, &'static [u8])],
    body: Option<&'static [u8]>,
) -> Shape {
    Shape { what, length, flags: 0, frames, body }
}

/// A trailer's field `a: b`.
const TRAILER: &[u8] = b"\0\x01a\x01b";
/// RST_STREAM's codes NO_ERROR and CANCEL.
const NO_ERROR: &[u8] = &[0, 0, 0, 0];
const CANCEL: &[u8] = &[0, 0, 0, 8];

const SHAPES: [Shape; 26] = [
    Shape { what: "none", length: None, flags: END_STREAM, frames: &[], body: Some(b"") },
    shape("one piece", None, &[(DATA, END_STREAM, b"hello")], Some(b"hello")),
    shape("empty at the end", None, &[(DATA, 0, b"hello"), (DATA, END_STREAM, b"")], Some(b"hello")),
    shape("nothing but empty", None, &[(DATA, END_STREAM, b"")], Some(b"")),
    shape("empty twice", None, &[(DATA, 0, b""), (DATA, END_STREAM, b"")], Some(b"")),
    shape("empty first", None, &[(DATA, 0, b""), (DATA, END_STREAM, b"hello")], Some(b"hello")),
    shape(
        "empty between",
        None,
        &[(DATA, 0, b"he"), (DATA, 0, b""), (DATA, END_STREAM, b"llo")],
        Some(b"hello"),
    ),
    shape("one byte", None, &[(DATA, END_STREAM, b"h")], Some(b"h")),
    shape("one byte and the end", None, &[(DATA, 0, b"h"), (DATA, END_STREAM, b"")], Some(b"h")),
    shape(
        "padding alone",
        None,
        &[(DATA, PADDED, b"\x03\0\0\0"), (DATA, END_STREAM | PADDED, b"\x02\0\0")],
        Some(b""),
    ),
    shape(
        "with padding",
        None,
        &[(DATA, PADDED, b"\x01hello\0"), (DATA, END_STREAM | PADDED, b"\0")],
        Some(b"hello"),
    ),
    shape(
        "trailers",
        None,
        &[(DATA, 0, b"hello"), (HEADERS, END_HEADERS | END_STREAM, TRAILER)],
        Some(b"hello"),
    ),
    shape("trailers alone", None, &[(HEADERS, END_HEADERS | END_STREAM, TRAILER)], Some(b"")),
    shape(
        "trailers behind empty",
        None,
        &[(DATA, 0, b""), (HEADERS, END_STREAM, TRAILER), (CONTINUATION, END_HEADERS, b"")],
        Some(b""),
    ),
    shape("length", Some("5"), &[(DATA, END_STREAM, b"hello")], Some(b"hello")),
    shape(
        "length, empty at the end",
        Some("5"),
        &[(DATA, 0, b"hello"), (DATA, END_STREAM, b"")],
        Some(b"hello"),
    ),
    shape("length, empty first", Some("5"), &[(DATA, 0, b""), (DATA, END_STREAM, b"hello")], Some(b"hello")),
    shape(
        "length, trailers",
        Some("5"),
        &[(DATA, 0, b"hello"), (HEADERS, END_HEADERS | END_STREAM, TRAILER)],
        Some(b"hello"),
    ),
    shape("no length, empty", Some("0"), &[(DATA, END_STREAM, b"")], Some(b"")),
    Shape { what: "no length", length: Some("0"), flags: END_STREAM, frames: &[], body: Some(b"") },
    shape(
        "more than the length",
        Some("5"),
        &[(DATA, 0, b"hello"), (DATA, END_STREAM, b"GET / HTTP/1.1\r\n\r\n")],
        None,
    ),
    shape("less than the length", Some("5"), &[(DATA, END_STREAM, b"hell")], None),
    shape(
        "less, then trailers",
        Some("5"),
        &[(DATA, 0, b"h"), (HEADERS, END_HEADERS | END_STREAM, TRAILER)],
        None,
    ),
    shape("nothing of the length", Some("5"), &[(DATA, END_STREAM, b"")], None),
    shape("given up", None, &[(DATA, 0, b"hello"), (RST_STREAM, 0, CANCEL)], None),
    shape("given up without error", None, &[(DATA, 0, b"hello"), (RST_STREAM, 0, NO_ERROR)], None),
];

/// A listener of HTTPS, one member that is strict.
fn start() -> (Certificates, Balancer, Strict) {
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    let strict = Strict::start(&balancer.network.backends[0]);
    (certificates, balancer, strict)
}

fn ask(peer: &mut Peer, stream: u32, target: &str) -> bool {
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&[(":path", target)])));
    peer.hear(stream) == Heard::Ok
}

#[test]
fn bodies_of_http2_are_one_message_each() {
    let (certificates, balancer, strict) = start();
    let connect = || Peer::connect(&balancer, &certificates, &[]);
    for (number, shape) in SHAPES.iter().enumerate() {
        // In one piece, and each frame when the member has what was before.
        for is_slow in [false, true] {
            let target = format!("/{number}-{is_slow}");
            let mut fields = vec![(":method", "POST"), (":path", &target)];
            fields.extend(shape.length.map(|length| ("content-length", length)));
            let mut frames = vec![frame(HEADERS, END_HEADERS | shape.flags, 1, &request(&fields))];
            frames.extend(shape.frames.iter().map(|(kind, flags, payload)| frame(*kind, *flags, 1, payload)));
            let mut peer = connect();
            if is_slow {
                for frame in frames {
                    peer.send(&frame);
                    thread::sleep(Duration::from_millis(10));
                }
            } else {
                peer.send(&frames.concat());
            }
            let given_up = shape.frames.iter().any(|(kind, ..)| *kind == RST_STREAM);
            match shape.body {
                Some(body) => {
                    assert_eq!(peer.hear(1), Heard::Ok, "{}: {:?}", shape.what, strict.wrong());
                    is_seen(&strict, &target, body);
                    others_are_served(&strict, &target, |other| ask(&mut connect(), 1, other));
                    assert!(ask(&mut peer, 3, "/same"), "{}: {:?}", shape.what, strict.wrong());
                }
                // What is too much may come when the member has answered.
                None if shape.what.starts_with("more") => {
                    peer.hear(1);
                    assert!(strict.seen(&target).iter().all(|seen| b"hello".starts_with(&seen.body)));
                }
                None => {
                    assert!(given_up || peer.hear(1) != Heard::Ok, "{}", shape.what);
                    assert!(ask(&mut peer, 3, "/same"), "{}: {:?}", shape.what, strict.wrong());
                    is_not_whole(&strict, &target);
                }
            }
        }
    }
    assert_eq!(strict.wrong().len(), 0, "{:?}", strict.wrong());
}

/// A client that goes away in the middle, at each place.
#[test]
fn half_a_body_is_not_made_a_whole_one() {
    let (certificates, balancer, strict) = start();
    for number in 0..6 {
        let target = format!("/{number}");
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &request(&[(":method", "POST"), (":path", &target)])));
        for _ in 0..number {
            peer.send(&frame(DATA, 0, 1, b"a"));
        }
        thread::sleep(Duration::from_millis(10));
        drop(peer);
    }
    // A member may not have heard of some at all.
    let ended = || row(&balancer)["connections_open"] == 0;
    wait_for("the end of all", DEADLINE, ended).unwrap();
    (0..6).for_each(|number| is_not_whole(&strict, &format!("/{number}")));
    assert_eq!(strict.wrong().len(), 0, "{:?}", strict.wrong());
}

/// What, the body, and what the member is to see of it.
const CHUNKS: [(&str, &str, Option<&str>); 17] = [
    ("one", "5\r\nhello\r\n0\r\n\r\n", Some("hello")),
    ("two", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", Some("hello")),
    ("none", "0\r\n\r\n", Some("")),
    ("one byte each", "1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", Some("hi")),
    ("zeros", "0005\r\nhello\r\n00\r\n\r\n", Some("hello")),
    ("extensions", "5;a=b;c\r\nhello\r\n0;d\r\n\r\n", Some("hello")),
    ("space", "5 \t;a\r\nhello\r\n0 \r\n\r\n", Some("hello")),
    ("trailers", "5\r\nhello\r\n0\r\na: b\r\nc:\r\n\r\n", Some("hello")),
    ("data like framing", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", Some("0\r\n\r\n")),
    ("a size without a digit", "5\r\nhello\r\n\r\n\r\n", None),
    ("nothing but an extension", "5\r\nhello\r\n;a\r\n\r\n", None),
    ("a bare line feed behind a size", "5\nhello\r\n0\r\n\r\n", None),
    ("a bare line feed behind an extension", "5;a\nhello\r\n0\r\n\r\n", None),
    ("a bare line feed behind a chunk", "5\r\nhello\n0\r\n\r\n", None),
    ("bare line feeds at the end", "5\r\nhello\r\n0\n\n", None),
    ("too long a chunk", "5\r\nhello!\r\n0\r\n\r\n", None),
    ("a trailer that is none", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", None),
];

#[test]
fn bodies_of_http1_are_one_message_each() {
    let balancer = Balancer::start(Settings { pool: "protocol = \"http\"", ..http(1) });
    let strict = Strict::start(&balancer.network.backends[0]);
    let connect = || Client::connect(balancer.network.client(), VIP);
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let mut number = 0;
    for field in ["", "Upgrade: h2c\r\nConnection: upgrade\r\n"] {
        for (what, body, expected) in CHUNKS {
            let head = |target: &str| {
                format!("POST {target} HTTP/1.1\r\nHost: a\r\n{field}Transfer-Encoding: chunked\r\n\r\n")
            };
            // In one piece, and cut in two at each byte.
            for cut in 0..body.len() {
                number += 1;
                let target = format!("/{number}");
                let mut client = connect();
                let (first, second) = body.split_at(cut);
                client.stream().write_all((head(&target) + first).as_bytes()).unwrap();
                if cut > 0 {
                    thread::sleep(Duration::from_millis(3));
                }
                let answer = client.ask(second.as_bytes());
                if let Some(expected) = expected {
                    assert_eq!(answer.status(), 200, "{what}, cut at {cut}: {:?}", strict.wrong());
                    is_seen(&strict, &target, expected.as_bytes());
                    if cut == 0 {
                        others_are_served(&strict, &target, |other| {
                            connect().ask(&get(other)).status() == 200
                        });
                    }
                    assert_eq!(client.ask(&get("/same")).status(), 200, "{what}: {:?}", strict.wrong());
                } else {
                    assert_eq!(answer.status(), 400, "{what}, cut at {cut}");
                    if cut == 0 {
                        // It takes its time to end.
                        let mut rest = Vec::new();
                        let _ = client.stream().read_to_end(&mut rest);
                        assert_eq!(rest, b"", "{what}: the connection goes on");
                    }
                    is_not_whole(&strict, &target);
                }
            }
        }
    }
    // By length: what is behind it is the next request.
    for (number, (length, body, behind)) in
        [("5", "hello", ""), ("0", "", ""), ("5", "hello", "GET /behind HTTP/1.1\r\nHost: a\r\n\r\n")]
            .iter()
            .enumerate()
    {
        let target = format!("/length-{number}");
        let mut client = connect();
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(client.ask((head + body + behind).as_bytes()).status(), 200);
        is_seen(&strict, &target, body.as_bytes());
        if !behind.is_empty() {
            assert_eq!(client.ask(b"").status(), 200);
            is_seen(&strict, "/behind", b"");
        }
    }
    assert_eq!(strict.wrong().len(), 0, "{:?}", strict.wrong());
    let refused = &balancer.ask("status")["http"][0]["refused"]["bad_chunks"];
    let bad: usize =
        CHUNKS.iter().filter(|(.., expected)| expected.is_none()).map(|(_, body, _)| body.len()).sum();
    assert_eq!(refused.as_u64(), Some(2 * bad as u64));
}

/// Such a request never reaches a member: which of the two would it go by?
#[test]
fn two_lengths_of_http2_are_refused_even_if_they_agree() {
    let (certificates, balancer, strict) = start();
    for lengths in [&["5", "5"][..], &["5, 5"], &["+5"], &["5", "6"], &[""]] {
        let mut fields = vec![(":method", "POST"), (":path", "/lengths")];
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &request(&fields)));
        peer.send(&frame(DATA, END_STREAM, 1, b"hello"));
        assert_ne!(peer.hear(1), Heard::Ok, "{lengths:?}");
        assert!(strict.seen("/lengths").is_empty(), "{lengths:?}");
    }
    assert_eq!(strict.wrong().len(), 0, "{:?}", strict.wrong());
}
