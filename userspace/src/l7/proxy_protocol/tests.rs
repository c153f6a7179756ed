//! Headers in both directions, and bytes that are none.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use model::edge::{Forwarded, ProxyVersion};
use proxy_header::{ProxiedAddress, ProxyHeader};

use crate::l7::fixture::{DEADLINE, EdgeSettings, Front, Settings};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// Of version 2: a health check of the balancer in front, which is nobody's connection.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

fn v2(source: &str, destination: &str) -> Vec<u8> {
    let [source, destination] = [source, destination].map(|address| address.parse().unwrap());
    let mut bytes = Vec::new();
    ProxyHeader::with_address(ProxiedAddress::stream(source, destination)).encode_v2(&mut bytes).unwrap();
    bytes
}

fn front(trusted: &str, head: Duration) -> Front {
    let edge = EdgeSettings {
        trusted: [trusted.parse().unwrap()].into(),
        forwarded: Forwarded { port: true, ..Forwarded::default() },
        ..EdgeSettings::default()
    };
    Front::start(Settings { edge, head, ..Settings::default() })
}

fn ask(front: &Front, header: &[u8]) -> String {
    front.ask(&[header, REQUEST.as_bytes()].concat())
}

#[test]
fn members_hear_of_the_client_that_a_trusted_balancer_tells_of() {
    let front = front("127.0.0.0/8", Duration::from_secs(20));
    let with_extras = {
        let mut bytes = v2("198.51.100.7:4711", "203.0.113.10:80");
        // A field that nobody knows, of 300 bytes.
        bytes.extend([0xE0, 1, 44]);
        bytes.extend([7; 300]);
        let length = (bytes.len() as u16 - 16).to_be_bytes();
        bytes[14..16].copy_from_slice(&length);
        bytes
    };
    for (header, client) in [
        (b"PROXY TCP4 198.51.100.1 203.0.113.10 4711 80\r\n".to_vec(), "198.51.100.1"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::10 4711 80\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2("198.51.100.2:4711", "203.0.113.10:80"), "198.51.100.2"),
        (v2("[2001:db8::8]:4711", "[2001:db8::10]:80"), "2001:db8::8"),
        (with_extras, "198.51.100.7"),
        (LOCAL.to_vec(), "127.0.0.1"),
    ] {
        let before = front.sent().len();
        let answer = ask(&front, &header);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{header:?}: {answer}");
        let sent = front.sent()[before..].to_lowercase();
        assert!(sent.contains(&format!("\r\nx-forwarded-for: {client}\r\n")), "{header:?}: {sent}");
        assert!(sent.contains("\r\nx-forwarded-port: 80\r\n"), "{sent}");
    }
}

#[test]
fn what_is_no_header_ends_the_connection_without_an_answer() {
    let front = front("127.0.0.0/8", Duration::from_millis(500));
    let datagrams = [&v2("192.0.2.1:1", "192.0.2.2:2")[..13], b"\x12\0\x0c", &[0; 12]].concat();
    for bytes in [
        b"".as_slice(),
        b"PROXY TCP4 198.51.100.1 203.0.113.10 4711 99999\r\n",
        b"PROXY TCP4 198.51.100.1 203.0.113.10\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::10 4711 80\r\n",
        b"PROXY TCP4 198.51.100.1 203.0.113.10 4711 80 and much more that never comes to an end at all, not after so many bytes\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &datagrams,
        // One that stops half way: the time for it runs out.
        &v2("192.0.2.1:1", "192.0.2.2:2")[..20],
    ] {
        if bytes.len() == 20 {
            assert_eq!(front.ask(bytes), "");
        } else {
            assert_eq!(ask(&front, bytes), "", "{bytes:?}");
        }
    }
    assert_eq!((front.sent(), front.row().requests), (String::new(), 0));
}

/// Else every client could call itself anything.
#[test]
fn from_others_a_header_is_no_request() {
    let front = front("198.51.100.0/24", Duration::from_secs(20));
    assert!(ask(&front, b"").starts_with("HTTP/1.1 200 "));
    let answer = ask(&front, b"PROXY TCP4 198.51.100.1 203.0.113.10 4711 80\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = ask(&front, &v2("198.51.100.1:4711", "203.0.113.10:80"));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[test]
fn members_get_a_header_on_each_connection_and_each_client_connections_of_its_own() {
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let front = Front::start(Settings { to_members: Some(version), ..Settings::default() });
        let mut clients = [front.connect(), front.connect()];
        let sources = clients.each_ref().map(|client| client.local_addr().unwrap());
        let end = Instant::now() + DEADLINE;
        let mut requests = 0;
        // Until one was used again, which a connection that has just become idle need not be.
        while front.connections().len() == requests {
            assert!(Instant::now() < end, "{requests} requests and as many connections");
            for (number, client) in clients.iter_mut().enumerate() {
                requests += 1;
                client.write_all(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
                let mut answer = Vec::new();
                while !answer.ends_with(b"ok\n") {
                    let mut byte = [0];
                    client.read_exact(&mut byte).unwrap();
                    answer.push(byte[0]);
                }
            }
        }
        for bytes in front.connections() {
            let (header, length) = ProxyHeader::parse(&bytes, Default::default()).unwrap();
            let told = header.proxied_address().unwrap();
            assert_eq!(told.destination, SocketAddr::from(([203, 0, 113, 10], 80)));
            assert_eq!(bytes.starts_with(b"PROXY TCP4 "), version == ProxyVersion::V1);
            let number = sources.iter().position(|&source| source == told.source).unwrap();
            let requests = String::from_utf8_lossy(&bytes[length..]).into_owned();
            assert!(requests.starts_with(&format!("GET /{number} HTTP/1.1\r\n")), "{requests}");
            assert!(!requests.contains(&format!("GET /{} ", 1 - number)), "{requests}");
        }
    }
}

/// Nobody else can use it.
#[test]
fn a_connection_to_a_member_does_not_long_outlive_its_clients() {
    let front = Front::start(Settings { to_members: Some(ProxyVersion::V2), ..Settings::default() });
    front.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let end = Instant::now() + DEADLINE;
    while front.open() > 0 {
        assert!(Instant::now() < end, "still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(front.connections().len(), 1);
}
