//! Does a client get a member's answer whole, or learn that it did not, whatever the member sends? Odd answers as a table,
//! for clients of both protocols; and the next request is answered as if nothing had been.

use std::{
    io::{BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
};

use testbed::{Network, Size};

use crate::{
    balancer::{Balancer, VIP},
    l7::{
        differential,
        frames::{
            DATA, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, frame, https, request,
            status as status_of,
        },
        script::{Client, head, ok, serve_connections},
    },
};

/// What a client is to make of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Made {
    /// All of it: its status and body.
    Whole(u16, &'static str),
    /// As much of it, and that it is not all.
    Cut(&'static str),
}

use Made::{Cut, Whole};

/// Nothing of the member's.
const BAD: Made = Whole(502, "");

/// What, the member's bytes, whether it then closes the connection, and what is made of it.
type Case = (&'static str, &'static str, bool, Made);

/// Behind `HTTP/1.1 200 OK`.
const BODIES: [Case; 43] = [
    ("length", "Content-Length: 5\r\n\r\nhello", false, Whole(200, "hello")),
    ("no body", "Content-Length: 0\r\n\r\n", false, Whole(200, "")),
    ("length twice", "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false, Whole(200, "hello")),
    (
        "length three times",
        "Content-Length: 5\r\nContent-Length: 5, 5\r\n\r\nhello",
        false,
        Whole(200, "hello"),
    ),
    ("length in a list", "Content-Length: 5,5\r\n\r\nhello", false, Whole(200, "hello")),
    ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", true, BAD),
    ("two lengths in a list", "Content-Length: 5, 6\r\n\r\nhello", true, BAD),
    ("negative", "Content-Length: -5\r\n\r\nhello", true, BAD),
    ("with a sign", "Content-Length: +5\r\n\r\nhello", true, BAD),
    ("empty length", "Content-Length:\r\n\r\nhello", true, BAD),
    ("hexadecimal", "Content-Length: 0x5\r\n\r\nhello", true, BAD),
    ("22 digits", "Content-Length: 1111111111111111111111\r\n\r\nhello", true, BAD),
    ("space before the colon", "Content-Length : 5\r\n\r\nhello", true, BAD),
    ("folded", "X-A: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", true, BAD),
    ("no colon", "X-A\r\nContent-Length: 5\r\n\r\nhello", true, BAD),
    ("line feeds alone", "Content-Length: 5\n\nhello", false, Whole(200, "hello")),
    ("more than the length", "Content-Length: 5\r\n\r\nhello, world", false, Whole(200, "hello")),
    ("less than the length", "Content-Length: 9\r\n\r\nhello", true, Cut("hello")),
    ("nothing of the length", "Content-Length: 9\r\n\r\n", true, Cut("")),
    ("until the end", "\r\nhello", true, Whole(200, "hello")),
    (
        "chunks",
        "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        false,
        Whole(200, "hello"),
    ),
    ("no chunks", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, Whole(200, "")),
    (
        "extensions",
        "Transfer-Encoding: chunked\r\n\r\n5;a=b;c\r\nhello\r\n0;d\r\n\r\n",
        false,
        Whole(200, "hello"),
    ),
    (
        "trailers",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\n",
        false,
        Whole(200, "hello"),
    ),
    ("one chunk short", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, Cut("hello")),
    ("half a chunk", "Transfer-Encoding: chunked\r\n\r\n9\r\nhello", true, Cut("hello")),
    ("half an end", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", true, Cut("hello")),
    ("no digit", "Transfer-Encoding: chunked\r\n\r\n\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true, BAD),
    ("a no-digit end", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\r\n\r\n", true, BAD),
    ("an extension alone", "Transfer-Encoding: chunked\r\n\r\n;a\r\n\r\n", true, BAD),
    (
        "chunk sizes of 22 digits",
        "Transfer-Encoding: chunked\r\n\r\n0000000000000000000005\r\nhello\r\n0\r\n\r\n",
        true,
        BAD,
    ),
    ("a huge chunk", "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nhello", true, Cut("hello")),
    ("too huge a chunk", "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello", true, BAD),
    ("a negative chunk", "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n", true, BAD),
    ("a bare line feed behind a size", "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", true, BAD),
    ("a bare line feed behind a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", true, BAD),
    (
        "a bare line feed in an extension",
        "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n",
        true,
        BAD,
    ),
    ("too long a chunk", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", true, BAD),
    (
        "both",
        "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        false,
        Whole(200, "hello"),
    ),
    ("another coding", "Transfer-Encoding: gzip\r\n\r\nhello", true, BAD),
    ("another coding first", "Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true, BAD),
    ("chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, BAD),
    ("identity", "Transfer-Encoding: identity\r\n\r\nhello", true, BAD),
];

/// All of it.
const WHOLE: [Case; 19] = [
    ("204 with a length", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", true, Whole(204, "")),
    (
        "204 in chunks",
        "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        true,
        Whole(204, ""),
    ),
    ("204 with a body", "HTTP/1.1 204 No Content\r\n\r\nhello", true, Whole(204, "")),
    ("304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false, Whole(304, "")),
    (
        "304 in chunks",
        "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
        Whole(304, ""),
    ),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", true, Whole(200, "hello")),
    (
        "HTTP/1.0 with a length",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        true,
        Whole(200, "hello"),
    ),
    ("another version", "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", true, BAD),
    ("no version", "hello", true, BAD),
    ("no status", "HTTP/1.1\r\n\r\n", true, BAD),
    ("99", "HTTP/1.1 99 Odd\r\nContent-Length: 0\r\n\r\n", true, BAD),
    ("1000", "HTTP/1.1 1000 Odd\r\nContent-Length: 0\r\n\r\n", true, BAD),
    ("nothing", "", true, BAD),
    ("half a status line", "HTTP/1.1 20", true, BAD),
    ("half a head", "HTTP/1.1 200 OK\r\nContent-Le", true, BAD),
    (
        "an unasked 101",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        false,
        BAD,
    ),
    (
        "an empty line first",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        false,
        Whole(200, "hello"),
    ),
    (
        "interim answers",
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        false,
        Whole(200, "hello"),
    ),
    ("nothing but an interim one", "HTTP/1.1 102 Processing\r\n\r\n", true, BAD),
];

fn cases() -> Vec<(String, String, bool, Made)> {
    let bodies = BODIES.into_iter().map(|(what, rest, closes, made)| {
        (what.to_owned(), format!("HTTP/1.1 200 OK\r\n{rest}"), closes, made)
    });
    let whole = WHOLE
        .into_iter()
        .map(|(what, bytes, closes, made)| (what.to_owned(), bytes.to_owned(), closes, made));
    let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(200);
    bodies.chain(whole).chain([("interim answers without end".into(), interim, false, BAD)]).collect()
}

/// Answers `/N` as case N says, in one piece or, for `/N/slow`, in single bytes; all else with `ok`.
fn answer(mut stream: TcpStream) -> Option<()> {
    let cases = cases();
    let mut input = BufReader::new(stream.try_clone().ok()?);
    loop {
        let head = Some(head(&mut input)).filter(|head| head.ends_with("\r\n\r\n"))?;
        let mut parts = head.split([' ', '/']).skip_while(|part| *part != "case");
        let case = parts.nth(1).and_then(|number| cases.get(number.parse::<usize>().ok()?));
        let Some((_, bytes, closes, _)) = case else {
            stream.write_all(&ok("ok")).ok()?;
            continue;
        };
        if head.contains("/slow") {
            stream.set_nodelay(true).ok()?;
            for byte in bytes.bytes() {
                stream.write_all(&[byte]).ok()?;
                thread::yield_now();
            }
        } else {
            stream.write_all(bytes.as_bytes()).ok()?;
        }
        if *closes {
            stream.shutdown(Shutdown::Write).ok()?;
            let _ = input.read_to_end(&mut Vec::new());
            return None;
        }
    }
}

/// What a client of HTTP/1.1 makes of these bytes, up to the end of its connection: status, body, and whether that is
/// whole; interim answers are passed over.
pub(super) fn made_of(bytes: &[u8]) -> (u16, Vec<u8>, bool) {
    let mut rest = bytes;
    loop {
        let Some(end) = rest.windows(4).position(|part| part == b"\r\n\r\n") else {
            return (0, Vec::new(), false);
        };
        let (head, body) = rest.split_at(end + 4);
        let head = String::from_utf8_lossy(head).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        if (100..200).contains(&status) && status != 101 {
            rest = body;
            continue;
        }
        let field = |name: &str| {
            let mut values = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            (values.next().map(str::to_owned), values.next().is_some())
        };
        let (length, several) = field("content-length");
        let (encoding, _) = field("transfer-encoding");
        // RFC 9110, section 8.6, and RFC 9112, section 6.1.
        let is_odd = several || (length.is_some() && encoding.is_some());
        if status == 204 || status == 304 {
            let is_odd = is_odd || encoding.is_some() || (status == 204 && length.is_some());
            return (status, body.to_vec(), body.is_empty() && !is_odd);
        }
        if is_odd {
            return (status, body.to_vec(), false);
        }
        if let Some(length) = length {
            return (status, body.to_vec(), body.len().to_string() == length);
        }
        if encoding.as_deref() != Some("chunked") {
            // Until the end of the connection, which nobody does here who can help it.
            return (status, body.to_vec(), encoding.is_none());
        }
        let (mut left, mut content) = (body, Vec::new());
        loop {
            let Some(end) = left.windows(2).position(|part| part == b"\r\n") else {
                return (status, content, false);
            };
            let size = usize::from_str_radix(str::from_utf8(&left[..end]).unwrap(), 16).unwrap();
            left = &left[end + 2..];
            if size == 0 {
                return (status, content, left == b"\r\n");
            }
            content.extend(&left[..size.min(left.len())]);
            if left.len() < size + 2 {
                return (status, content, false);
            }
            left = &left[size + 2..];
        }
    }
}

/// What a client of HTTP/2 makes of the answer on this stream.
pub(super) fn heard(peer: &mut Peer, stream: u32) -> (u16, Vec<u8>, bool) {
    let (mut status, mut body) = (0, Vec::new());
    while let Some((kind, flags, of, payload)) = peer.next() {
        if of != stream {
            continue;
        }
        match kind {
            HEADERS if status < 200 => status = status_of(&payload).parse().unwrap(),
            DATA => body.extend(payload),
            RST_STREAM => return (status, body, false),
            _ => {}
        }
        if flags & END_STREAM != 0 && matches!(kind, HEADERS | DATA) {
            return (status, body, true);
        }
    }
    (status, body, false)
}

/// Whether this is what should be made of it.
fn agrees(made: &Made, (status, body, is_whole): &(u16, Vec<u8>, bool), is_slow: bool) -> bool {
    match made {
        // What comes after the head of a bad one can only be cut then.
        &BAD if is_slow && *status == 200 => !is_whole,
        Whole(expected, text) => expected == status && text.as_bytes() == body && *is_whole,
        Cut(text) => *status == 200 && text.as_bytes() == body && !is_whole,
    }
}

#[test]
fn odd_answers_are_whole_or_known_not_to_be() {
    let (certificates, mut settings) = https(1, "", "protocol = \"http\"");
    settings.listener +=
        "\n[[load_balancer.listener]]\nname = \"plain\"\nprotocol = \"http\"\nport = 8080\npool = \"web\"\n";
    let balancer = Balancer::start(settings);
    serve_connections(&balancer.network.backends[0], answer);
    let plain = SocketAddr::new(VIP.ip(), 8080);
    let mut failures = String::new();
    for (number, (what, _, _, made)) in cases().iter().enumerate() {
        for is_slow in [false, true] {
            let path = format!("/case/{number}{}", if is_slow { "/slow" } else { "/" });
            let mut client = Client::connect(balancer.network.client(), plain);
            let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.stream().write_all(get.as_bytes()).unwrap();
            let mut bytes = Vec::new();
            let end = client.stream().read_to_end(&mut bytes);
            let one = made_of(&bytes);
            let mut peer = Peer::connect(&balancer, &certificates, &[]);
            peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[(":path", &path)])));
            let two = heard(&mut peer, 1);
            for (version, come) in [("HTTP/1.1", &one), ("HTTP/2", &two)] {
                if !agrees(made, come, is_slow) {
                    failures +=
                        &format!("{what}, slow {is_slow}, {version}: {made:?}, not {come:?} ({end:?})\n");
                }
            }
            // What comes behind it is the next request's own.
            peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &request(&[(":path", "/next")])));
            let next = heard(&mut peer, 3);
            if next != (200, b"ok".to_vec(), true) {
                failures += &format!("{what}, slow {is_slow}: the next one: {next:?}\n");
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// What becomes of each case at this address, for a client of HTTP/1.1.
fn made_at(network: &Network, at: SocketAddr) -> Vec<(u16, Vec<u8>, bool)> {
    let ask = |number| {
        let mut client = Client::connect(network.client(), at);
        let get = format!("GET /case/{number}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.stream().write_all(get.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let _ = client.stream().read_to_end(&mut bytes);
        made_of(&bytes)
    };
    (0..cases().len()).map(ask).collect()
}

/// Where both of them take more, and why not we.
const STRICTER: [(&str, &str); 6] = [
    ("chunk sizes of 22 digits", "more than 15 digits Pingora may count wrong, and nobody sends"),
    ("a bare line feed behind a size", "RFC 9112, 7.1: chunks end with CR LF; Pingora goes by that"),
    ("a bare line feed behind a chunk", "the same"),
    ("a bare line feed in an extension", "the same"),
    ("another version", "RFC 9112, 2.3: there is no such version of what is spoken here"),
    ("99", "RFC 9110, 15: no status is below 100"),
];

/// The table above against those who have done this for decades: what both of them refuse is refused, and what both hand on
/// as the same whole is handed on so.
#[test]
fn odd_answers_are_taken_as_nginx_and_haproxy_take_them() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    serve_connections(&network.backends[0], answer);
    let directory = tempfile::tempdir().unwrap();
    let server = "server { listen 8081; location / { proxy_pass http://one; proxy_read_timeout 5s; } }";
    let (_nginx, nginx) = differential::nginx(&network, directory.path(), server);
    let (_haproxy, haproxy) = differential::haproxy(&network, directory.path());
    let (nginx, haproxy) = (made_at(&network, nginx), made_at(&network, haproxy));
    let mut failures = String::new();
    for ((what, _, _, made), (nginx, haproxy)) in cases().iter().zip(nginx.iter().zip(&haproxy)) {
        let refused = |(status, _, is_whole): &(u16, Vec<u8>, bool)| *status >= 500 || !is_whole;
        let ours_refuses = !matches!(made, Whole(200..=399, _));
        let is_wrong = if refused(nginx) && refused(haproxy) {
            !ours_refuses
        } else {
            let is_stricter = ours_refuses && STRICTER.iter().any(|(stricter, _)| stricter == what);
            nginx == haproxy && nginx.2 && !agrees(made, nginx, false) && !is_stricter
        };
        if is_wrong {
            failures += &format!("{what}: {made:?}, but nginx {nginx:?} and HAProxy {haproxy:?}\n");
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}
