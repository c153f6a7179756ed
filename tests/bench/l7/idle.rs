//! The memory that a connection takes while nothing happens on it: after one request, before the next.
//!
//! That is the processes' own; what the kernel has for a socket is the same for all.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};

use crate::subjects::{Setup, Subject};

/// How many are open when memory is read first: what is made for the first connections is there by then.
const FIRST: usize = 300;
/// How many more are open then.
const MORE: usize = 2000;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n";

/// A kind of connection.
pub struct Kind {
    /// What it is.
    pub what: &'static str,
    open: fn(&Subject) -> Box<dyn Connection>,
}

/// All kinds.
pub const KINDS: [Kind; 2] = [
    Kind { what: "idle HTTP connection", open: |subject| Box::new(connect(subject.http)) },
    Kind { what: "idle HTTPS connection", open: |subject| Box::new(connect_with_tls(subject.https)) },
];

trait Connection: Read + Write + Send {}

impl<T: Read + Write + Send> Connection for T {}

/// KB for each connection.
pub fn kilobytes(setup: &Setup, subject: &Subject, kind: &Kind) -> f64 {
    let connections =
        |count| -> Vec<Box<dyn Connection>> { (0..count).map(|_| used((kind.open)(subject))).collect() };
    let client = setup.balancer.network.client();
    let measure = || {
        let _first = connections(FIRST);
        let before = subject.group.kilobytes();
        let _more = connections(MORE);
        (subject.group.kilobytes() - before) / MORE as f64
    };
    client.enter(measure).unwrap()
}

/// After a request and its answer.
fn used(mut connection: Box<dyn Connection>) -> Box<dyn Connection> {
    connection.write_all(REQUEST).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(crate::subjects::BODY.as_bytes()) {
        let mut part = [0; 4096];
        let count = connection.read(&mut part).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&part[..count]);
    }
    connection
}

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).unwrap()
}

fn connect_with_tls(address: SocketAddr) -> impl Connection {
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    // What all balancers know: the key of a hybrid exchange would be kept, and by those only that know one.
    connector.set_groups_list("X25519").unwrap();
    connector.build().connect("bench.example", connect(address)).unwrap()
}
