//! The memory that a connection takes while nothing happens on it: after one request, before the next; or in the middle
//! of a large answer that its client does not read.
//!
//! That is the processes' own; what the kernel has for a socket is the same for all.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use crate::subjects::{HUGE, Setup, Subject};

/// How many are open when memory is read first: what is made for the first connections is there by then.
const FIRST: usize = 300;
/// How many more are open then.
const MORE: usize = 2000;
/// How many more of those that do not read.
const SLOW: usize = 200;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";

/// A kind of connection.
pub struct Kind {
    /// What it is.
    pub what: &'static str,
    /// How many more are open then than at first.
    more: usize,
    open: fn(&Subject) -> Box<dyn Connection>,
}

/// All kinds.
pub const KINDS: [Kind; 5] = [
    Kind { what: "idle HTTP connection", more: MORE, open: |subject| used(connect(subject.http)) },
    Kind {
        what: "idle HTTPS connection",
        more: MORE,
        open: |subject| used(connect_with_tls(subject.https, b"")),
    },
    Kind {
        what: "idle HTTP/2 connection",
        more: MORE,
        open: |subject| asked_in_http2(connect_with_tls(subject.https, b"\x02h2"), &[], "/"),
    },
    Kind { what: "slow reader, HTTP", more: SLOW, open: |subject| unread(connect(subject.http)) },
    Kind {
        what: "slow reader, HTTP/2",
        more: SLOW,
        open: |subject| {
            // SETTINGS_INITIAL_WINDOW_SIZE: nothing.
            asked_in_http2(connect_with_tls(subject.https, b"\x02h2"), &[0, 4, 0, 0, 0, 0], HUGE)
        },
    },
];

trait Connection: Send {}

impl<T: Send> Connection for T {}

/// KB for each connection.
pub fn kilobytes(setup: &Setup, subject: &Subject, kind: &Kind) -> f64 {
    let connections =
        |count| -> Vec<Box<dyn Connection>> { (0..count).map(|_| (kind.open)(subject)).collect() };
    let client = setup.balancer.network.client();
    let measure = || {
        let _first = connections(FIRST.min(kind.more));
        let before = settled(subject);
        let _more = connections(kind.more);
        (settled(subject) - before) / kind.more as f64
    };
    client.enter(measure).unwrap()
}

/// KB of memory once it does not grow any more.
fn settled(subject: &Subject) -> f64 {
    let mut kilobytes = subject.group.kilobytes();
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = subject.group.kilobytes();
        if now <= kilobytes * 1.001 {
            return now;
        }
        kilobytes = now;
    }
}

/// In the middle of a large answer, of which nothing but the beginning is read.
fn unread(mut connection: TcpStream) -> Box<dyn Connection> {
    write!(connection, "GET {HUGE} HTTP/1.1\r\nHost: bench.example\r\n\r\n").unwrap();
    connection.read_exact(&mut [0; 12]).unwrap();
    Box::new(connection)
}

/// After a request of HTTP/2 and the head of its answer.
fn asked_in_http2(
    mut connection: impl Read + Write + Send + 'static,
    settings: &[u8],
    path: &str,
) -> Box<dyn Connection> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let field = |name: &str, value: &str| {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
    };
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "bench.example"), (":path", path)];
    let head: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    let first = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &frame(SETTINGS, 0, 0, settings)[..],
        &frame(HEADERS, 5, 1, &head),
    ];
    connection.write_all(&first.concat()).unwrap();
    loop {
        let mut frame = [0; 9];
        connection.read_exact(&mut frame).unwrap();
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]) as usize;
        connection.read_exact(&mut vec![0; length]).unwrap();
        if frame[3] == HEADERS {
            return Box::new(connection);
        }
    }
}

/// After a request and its answer.
fn used(mut connection: impl Read + Write + Send + 'static) -> Box<dyn Connection> {
    connection.write_all(REQUEST).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(crate::subjects::BODY.as_bytes()) {
        let mut part = [0; 4096];
        let count = connection.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    Box::new(connection)
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}

/// With these protocols, if any, as ALPN has them.
fn connect_with_tls(address: SocketAddr, protocols: &[u8]) -> impl Read + Write + Send + use<> {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    // What all balancers know: the key of a hybrid exchange would be kept, and by those only that know one.
    connector.set_groups_list("X25519").unwrap();
    if !protocols.is_empty() {
        connector.set_alpn_protos(protocols).unwrap();
    }
    connector.build().connect("bench.example", connect(address)).unwrap()
}
