//! One request and its answer, as a log line tells it. Made by `l7/exchange`; next: `line` and `json`.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use jiff::Zoned;

/// What is known of one request when it is over. Bytes are as the client sent them.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When it was over, in local time.
    pub at: &'a Zoned,
    /// The client, if it had an address.
    pub client: Option<SocketAddr>,
    /// The answer's status; 499 if the client went away first.
    pub status: u16,
    /// The request's method; empty if it could not be read, as the next two.
    pub method: &'a [u8],
    /// Whether it came over TLS.
    pub https: bool,
    /// The host that was asked for, without port.
    pub host: &'a [u8],
    /// Path and query.
    pub target: &'a [u8],
    /// Such as `HTTP/1.1`; empty if it could not be read.
    pub version: &'a [u8],
    /// Bytes of head and body that came from the client.
    pub request_length: u64,
    /// Bytes that went to the client, and those of them that were the body.
    pub bytes_sent: u64,
    /// See `bytes_sent`.
    pub body_bytes_sent: u64,
    /// From the request's first byte to the answer's last.
    pub request_time: Duration,
    /// Every member that was tried, in order.
    pub attempts: &'a [Attempt],
    /// User-Agent.
    pub user_agent: Option<&'a [u8]>,
    /// Referer.
    pub referer: Option<&'a [u8]>,
    /// X-Forwarded-For as the client sent it, several with commas between.
    pub forwarded_for: Option<Cow<'a, [u8]>>,
    /// The load balancer's name.
    pub load_balancer: &'a str,
    /// The listener's name.
    pub listener: &'a str,
    /// The name of the pool that was to answer.
    pub pool: Option<&'a str>,
    /// VIP and port that the client came to.
    pub vip: SocketAddr,
    /// Of a connection over TLS.
    pub tls: Option<TlsRecord<'a>>,
    /// The kernel's estimate of the round-trip time to the client, µs.
    pub rtt_us: Option<u32>,
}

/// What a log line tells of a TLS connection.
#[derive(Clone, Copy, Debug)]
pub struct TlsRecord<'a> {
    /// Such as `TLSv1.3`.
    pub protocol: &'a str,
    /// The cipher suite in OpenSSL's words.
    pub cipher: &'a str,
    /// The name that the client asked for.
    pub sni: Option<&'a str>,
}

/// One member that was tried. Times are from the beginning of the attempt; none if it did not come to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The member.
    pub member: SocketAddr,
    /// The status that it answered with, or that its failure means.
    pub status: Option<u16>,
    /// Until there was a connection; zero if there was one already.
    pub connect: Option<Duration>,
    /// Until the head of the answer was there.
    pub header: Option<Duration>,
    /// Until the answer or the attempt ended.
    pub response: Option<Duration>,
}
