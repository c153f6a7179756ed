//! HTTP/2 as no library would speak it: a client of frames made by hand, over TLS.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use openssl::ssl::{SslConnector, SslMethod, SslStream};
use serde_json::Value;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{certificates::Certificates, http},
};

/// Kinds of frames and flags (RFC 9113, section 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const ACK: u8 = 1;
/// Index of `:status: 200` in HPACK's static table, as one byte.
const STATUS_200: u8 = 0x88;

/// An HTTPS listener with these lines, in front of so many backends.
pub fn https(backends: usize, lines: &str, pool: &'static str) -> (Certificates, Settings) {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!("certificates = \"shop\"\n{lines}\n{}", certificates.server("shop"));
    (certificates, Settings { protocol: "https", listener, pool, ..http(backends) })
}

/// What is counted of the listener.
pub fn row(balancer: &Balancer) -> Value {
    balancer.ask("status")["http"][0].clone()
}

/// What of an answer matters here.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Status 200.
    Ok,
    /// Another status, by its digits.
    Status(String),
    /// The request alone was refused.
    Reset,
    /// The connection was: the code, or none if it just ended.
    End(Option<u32>),
}

/// A client.
pub struct Peer(SslStream<TcpStream>);

impl Peer {
    /// A connection that has sent the preface and these settings.
    pub fn connect(balancer: &Balancer, certificates: &Certificates, settings: &[u8]) -> Self {
        Self::connect_at(VIP, balancer, certificates, settings)
    }

    /// The same elsewhere.
    pub fn connect_at(
        at: SocketAddr,
        balancer: &Balancer,
        certificates: &Certificates,
        settings: &[u8],
    ) -> Self {
        let mut peer = Self::open(at, balancer, certificates);
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, settings)[..]].concat();
        assert!(peer.send(&preface));
        peer
    }

    /// One that has said nothing but that it will speak HTTP/2.
    pub fn open(at: SocketAddr, balancer: &Balancer, certificates: &Certificates) -> Self {
        let stream = balancer.network.client().enter(|| TcpStream::connect(at)).unwrap().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
        connector.set_ca_file(certificates.path("ca.crt")).unwrap();
        connector.set_alpn_protos(b"\x02h2").unwrap();
        Self(connector.build().connect("shop.example", stream).unwrap())
    }

    /// Whether the other side took it.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).is_ok()
    }

    /// The next frame: kind, flags, stream, payload.
    pub fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        Some((head[3], head[4], stream, payload))
    }

    /// What becomes of the request on this stream.
    pub fn hear(&mut self, stream: u32) -> Heard {
        while let Some((kind, flags, of, payload)) = self.next() {
            match kind {
                HEADERS if of == stream && payload[0] == STATUS_200 => return Heard::Ok,
                HEADERS if of == stream => return Heard::Status(status(&payload)),
                RST_STREAM if of == stream => return Heard::Reset,
                GOAWAY => return Heard::End(Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))),
                SETTINGS if flags & ACK == 0 => drop(self.send(&frame(SETTINGS, ACK, 0, &[]))),
                _ => {}
            }
        }
        Heard::End(None)
    }

    /// Whether the connection is over, whatever else still comes.
    pub fn is_over(&mut self) -> bool {
        while let Some((kind, ..)) = self.next() {
            if kind == GOAWAY {
                return true;
            }
        }
        // Not because nothing came for so long.
        let mut byte = [0];
        match self.0.get_mut().read(&mut byte) {
            Ok(count) => count == 0,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block: each field by its text, none remembered.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| {
        assert!(text.len() < 127);
        [&[text.len() as u8], text.as_bytes()].concat()
    };
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// The header block of a GET of `/`, but for what is in `more`.
pub fn request(more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.example"), (":path", "/")];
    let own = |name: &str| more.iter().any(|(other, _)| *other == name);
    let pseudo: Vec<_> = pseudo.into_iter().filter(|(name, _)| !own(name)).collect();
    block(&[&pseudo[..], more].concat())
}

/// The status that begins an answer: one of the static table's, or three digits behind one of its names.
pub fn status(payload: &[u8]) -> String {
    match payload[0] {
        STATUS_200 => "200".into(),
        0x89 => "204".into(),
        0x8a => "206".into(),
        0x8b => "304".into(),
        0x8c => "400".into(),
        0x8d => "404".into(),
        0x8e => "500".into(),
        _ => {
            let length = usize::from(payload[1] & 0x7f);
            let text = &payload[2..2 + length];
            if payload[1] & 0x80 == 0 { String::from_utf8_lossy(text).into() } else { digits(text) }
        }
    }
}

/// Huffman's code for digits: five bits each for 0 to 2, six for the others.
fn digits(bytes: &[u8]) -> String {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| u32::from(byte >> bit & 1)));
    let mut text = String::new();
    while text.len() < 3 {
        let code = (0..5).fold(0, |code, _| code << 1 | bits.next().unwrap());
        let digit = if code <= 2 { code } else { (code << 1 | bits.next().unwrap()) - 0x19 + 3 };
        text.push(char::from_digit(digit, 10).unwrap());
    }
    text
}
