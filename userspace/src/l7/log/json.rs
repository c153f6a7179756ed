//! A record as a JSON object on one line, its keys those of the OTC guide's table 7-1; null for what is not known.
//! Times are seconds; what one request has several of is a list in `upstream`, one entry for each member tried.

use std::{borrow::Cow, net::SocketAddr, time::Duration};

use serde::{Serialize, Serializer};

use super::{
    escape::text,
    record::{Attempt, Record},
};

#[derive(Serialize)]
struct Object<'a> {
    time_iso8601: String,
    #[serde(serialize_with = "seconds")]
    msec: Duration,
    remote_addr: Option<SocketAddr>,
    status: u16,
    request_method: Cow<'a, str>,
    scheme: &'static str,
    host: Cow<'a, str>,
    request_uri: Cow<'a, str>,
    server_protocol: Cow<'a, str>,
    request_length: u64,
    bytes_sent: u64,
    body_bytes_sent: u64,
    #[serde(serialize_with = "seconds")]
    request_time: Duration,
    upstream: Vec<Upstream>,
    http_user_agent: Option<Cow<'a, str>>,
    http_referer: Option<Cow<'a, str>>,
    http_x_forwarded_for: Option<Cow<'a, str>>,
    lb_name: &'a str,
    listener_name: &'a str,
    pool_name: Option<&'a str>,
    eip_address: SocketAddr,
    ssl_protocol: Option<&'a str>,
    ssl_cipher: Option<&'a str>,
    sni_domain_name: Option<&'a str>,
    tcpinfo_rtt: Option<u32>,
}

#[derive(Serialize)]
struct Upstream {
    addr: SocketAddr,
    status: Option<u16>,
    #[serde(serialize_with = "maybe_seconds")]
    connect_time: Option<Duration>,
    #[serde(serialize_with = "maybe_seconds")]
    header_time: Option<Duration>,
    #[serde(serialize_with = "maybe_seconds")]
    response_time: Option<Duration>,
}

impl From<&Attempt> for Upstream {
    fn from(attempt: &Attempt) -> Self {
        Self {
            addr: attempt.member,
            status: attempt.status,
            connect_time: attempt.connect,
            header_time: attempt.header,
            response_time: attempt.response,
        }
    }
}

/// Appends the record's line, newline included.
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let at = record.at.timestamp();
    let object = Object {
        time_iso8601: record.at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        msec: Duration::try_from(at.as_duration()).unwrap_or_default(),
        remote_addr: record.client,
        status: record.status,
        request_method: text(record.method),
        scheme: if record.https { "https" } else { "http" },
        host: text(record.host),
        request_uri: text(record.target),
        server_protocol: text(record.version),
        request_length: record.request_length,
        bytes_sent: record.bytes_sent,
        body_bytes_sent: record.body_bytes_sent,
        request_time: record.request_time,
        upstream: record.attempts.iter().map(Upstream::from).collect(),
        http_user_agent: record.user_agent.map(text),
        http_referer: record.referer.map(text),
        http_x_forwarded_for: record.forwarded_for.as_deref().map(text),
        lb_name: record.load_balancer,
        listener_name: record.listener,
        pool_name: record.pool,
        eip_address: record.vip,
        ssl_protocol: record.tls.map(|tls| tls.protocol),
        ssl_cipher: record.tls.map(|tls| tls.cipher),
        sni_domain_name: record.tls.and_then(|tls| tls.sni),
        tcpinfo_rtt: record.rtt_us,
    };
    // Writing to a Vec cannot fail, and no key or value here can be refused.
    let _ = serde_json::to_writer(&mut *out, &object);
    out.push(b'\n');
}

/// Milliseconds are all that a log tells.
fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_millis() as f64 / 1e3)
}

fn maybe_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}
