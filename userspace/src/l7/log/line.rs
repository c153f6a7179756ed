//! A record as the line of the OTC Elastic Load Balance user guide: the fields of its table 7-1, one space between two,
//! unknown ones a hyphen.
//!
//! ```text
//! msec access_log_topic_id [time_iso8601] log_ver remote_addr:remote_port status "request_method
//! scheme://host router_request_uri server_protocol" request_length bytes_sent body_bytes_sent request_time
//! "upstream_status" "upstream_connect_time" "upstream_header_time" "upstream_response_time" "upstream_addr"
//! "http_user_agent" "http_referer" "http_x_forwarded_for" lb_name listener_name listener_id pool_name "member_name"
//! tenant_id eip_address:eip_port "upstream_addr_priv" certificate_id ssl_protocol ssl_cipher sni_domain_name
//! tcpinfo_rtt
//! ```
//!
//! Evenkeel's objects have names and no ids: a name stands where the OTC guide has an id, and topic and tenant are hyphens, as
//! is the certificate, which the OTC guide does not support yet.
//! What the OTC guide does not say is as nginx does it: several attempts with `, ` between, `-` for what one did not come
//! to, hosts without port, bytes that could spoil the line as `\x22`.

use std::{io::Write, time::Duration};

use super::{
    escape,
    record::{Attempt, Record},
};

/// The format's version, the OTC guide's first.
pub(super) const VERSION: &str = "elb_01";

/// Appends the record's line, newline included.
pub(super) fn write(record: &Record<'_>, out: &mut Vec<u8>) {
    let at = record.at.timestamp();
    put(out, format_args!("{}.{:03} - [", at.as_second(), at.subsec_millisecond()));
    put(out, format_args!("{}", record.at.strftime("%Y-%m-%dT%H:%M:%S%:z")));
    put(out, format_args!("] {VERSION} "));
    match record.client {
        Some(client) => put(out, format_args!("{client} ")),
        None => out.extend(b"-:- "),
    }
    put(out, format_args!("{} \"", record.status));
    escape::bare(out, record.method);
    out.extend(if record.https { b" https://".as_slice() } else { b" http://" });
    escape::bare(out, record.host);
    escape::bare(out, record.target);
    out.push(b' ');
    escape::bare(out, record.version);
    put(out, format_args!("\" {} {} {} ", record.request_length, record.bytes_sent, record.body_bytes_sent));
    time(out, record.request_time);
    out.push(b' ');
    let attempts = record.attempts;
    each(out, attempts, |out, attempt| match attempt.status {
        Some(status) => put(out, format_args!("{status}")),
        None => out.push(b'-'),
    });
    each(out, attempts, |out, attempt| known_time(out, attempt.connect));
    each(out, attempts, |out, attempt| known_time(out, attempt.header));
    each(out, attempts, |out, attempt| known_time(out, attempt.response));
    each(out, attempts, |out, attempt| put(out, format_args!("{}", attempt.member)));
    header(out, record.user_agent);
    header(out, record.referer);
    header(out, record.forwarded_for.as_deref());
    named(out, "loadbalancer_", Some(record.load_balancer));
    named(out, "listener_", Some(record.listener));
    named(out, "", Some(record.listener));
    named(out, "pool_", record.pool);
    put(out, format_args!("\"-\" - {} ", record.vip));
    each(out, attempts, |out, attempt| put(out, format_args!("{}", attempt.member)));
    out.extend(b"- ");
    let tls = record.tls;
    named(out, "", tls.map(|tls| tls.protocol));
    named(out, "", tls.map(|tls| tls.cipher));
    named(out, "", tls.and_then(|tls| tls.sni));
    match record.rtt_us {
        Some(rtt) => put(out, format_args!("{rtt}\n")),
        None => out.extend(b"-\n"),
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A Vec takes everything.
    let _ = out.write_fmt(text);
}

/// Seconds with milliseconds.
fn time(out: &mut Vec<u8>, time: Duration) {
    put(out, format_args!("{}.{:03}", time.as_secs(), time.subsec_millis()));
}

fn known_time(out: &mut Vec<u8>, known: Option<Duration>) {
    match known {
        Some(known) => time(out, known),
        None => out.push(b'-'),
    }
}

/// A quoted field with a value for each attempt.
fn each(out: &mut Vec<u8>, attempts: &[Attempt], value: impl Fn(&mut Vec<u8>, &Attempt)) {
    out.push(b'"');
    for (number, attempt) in attempts.iter().enumerate() {
        if number > 0 {
            out.extend(b", ");
        }
        value(out, attempt);
    }
    if attempts.is_empty() {
        out.push(b'-');
    }
    out.extend(b"\" ");
}

/// A quoted field with a header's value.
fn header(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.push(b'"');
    escape::quoted(out, value.unwrap_or(b"-"));
    out.extend(b"\" ");
}

/// A field between spaces.
fn named(out: &mut Vec<u8>, prefix: &str, name: Option<&str>) {
    match name {
        Some(name) => {
            out.extend(prefix.as_bytes());
            escape::bare(out, name.as_bytes());
        }
        None => out.push(b'-'),
    }
    out.push(b' ');
}
