//! `health` of a `[[pool]]`: how its members are checked.

use std::time::Duration;

use super::{
    document::{Shape, Table, Value},
    scalar,
};
use crate::{
    health::check::{Codes, Get, Health, Probe},
    model::tls::MemberTls,
};

const HEALTH: Shape = Shape {
    path: "pool.health",
    keys: &["protocol", "port", "host", "path", "codes", "interval", "timeout", "retries"],
};
/// Keys that only an HTTP check has.
const HTTP_KEYS: [&str; 3] = ["host", "path", "codes"];

const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(3);
const LONGEST: Duration = Duration::from_secs(50);
const RETRIES: u8 = 3;
const PATH: &str = "/";
const LONGEST_PATH: usize = 80;
const LONGEST_HOST: usize = 100;

/// What a check depends on beside its own keys.
pub(super) struct Members<'a> {
    /// Codes of a good answer, unless the check names others.
    pub(super) codes: Codes,
    /// Whether they speak TLS.
    pub(super) https: bool,
    /// How, if that is known.
    pub(super) tls: Option<&'a MemberTls>,
    /// Whether connections to them begin with a PROXY protocol header, which a check does not send.
    pub(super) proxy_protocol: bool,
}

/// The pool's check; none is fine.
pub(super) fn read(pool: &Table<'_>, members: &Members<'_>) -> Option<Health> {
    let table = pool.table("health", &HEALTH)?;
    let probe = table.require("protocol").and_then(|value| probe(value, &table, members));
    let port = table.get("port").map(scalar::port);
    let interval = duration(&table, "interval").unwrap_or(Some(INTERVAL));
    let timeout = match (duration(&table, "timeout"), interval) {
        (Some(Some(timeout)), Some(interval)) if timeout > interval => {
            table.get("timeout")?.refuse(format!(
                "{} is longer than the interval, {}; use at most that",
                humantime::format_duration(timeout),
                humantime::format_duration(interval)
            ));
            None
        }
        (Some(timeout), _) => timeout,
        (None, interval) => interval.map(|interval| TIMEOUT.min(interval)),
    };
    let retries = match table.get("retries") {
        Some(value) => value.integer("a number of retries", 1..=10).and_then(|number| number.try_into().ok()),
        None => Some(RETRIES),
    };
    Some(Health {
        probe: probe?,
        port: match port {
            Some(port) => Some(port?),
            None => None,
        },
        interval: interval?,
        timeout: timeout?,
        retries: retries?,
    })
}

fn probe(protocol: Value<'_>, table: &Table<'_>, members: &Members<'_>) -> Option<Probe> {
    let name = protocol.string()?;
    if members.proxy_protocol && name.starts_with("http") && table.get("port").is_none() {
        protocol.refuse(
            "the members want a PROXY protocol header first, which a check does not send; use \"tcp\", or give the \
             port on which they answer without",
        );
    }
    let probe = match name {
        "http" => {
            if members.https && table.get("port").is_none() {
                protocol.refuse(
                    "the members speak TLS on their ports; use \"https\", or give the port on which they answer \
                     without",
                );
            }
            return get(table, &members.codes, None).map(Probe::Http);
        }
        "https" => {
            if !members.https {
                protocol.refuse(
                    "only members of a pool with protocol = \"https\" are asked over TLS; use \"http\"",
                );
            }
            return get(table, &members.codes, members.tls).map(Probe::Http);
        }
        "tcp" => Probe::Tcp,
        "udp" => Probe::Udp,
        other => {
            protocol.refuse(format!(
                "{other:?} is not supported by this version; use \"tcp\", \"http\", \"https\" or \"udp\""
            ));
            return None;
        }
    };
    for value in HTTP_KEYS.into_iter().filter_map(|key| table.get(key)) {
        value.refuse(format!("a {probe} check has none; use it with protocol = \"http\""));
    }
    Some(probe)
}

fn get(table: &Table<'_>, usual: &Codes, tls: Option<&MemberTls>) -> Option<Get> {
    let host = table.get("host").map(host);
    let path = table.get("path").map_or_else(|| Some(PATH.into()), path);
    let codes = table.get("codes").map_or_else(|| Some(usual.clone()), codes);
    Some(Get {
        host: match host {
            Some(host) => Some(host?),
            None => None,
        },
        tls: tls.cloned(),
        path: path?,
        codes: codes?,
    })
}

fn host(value: Value<'_>) -> Option<String> {
    let text = value.string()?;
    let first = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if !first || !rest || text.len() > LONGEST_HOST {
        value.refuse(format!(
            "{text:?} is not a host name; use 1 to {LONGEST_HOST} letters, digits, dots and hyphens, the first a letter or digit"
        ));
        return None;
    }
    Some(text.into())
}

fn path(value: Value<'_>) -> Option<String> {
    let text = value.string()?;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.starts_with('/') || !visible || text.len() > LONGEST_PATH {
        value.refuse(format!(
            "{text:?} is not a path; use 1 to {LONGEST_PATH} visible ASCII characters, the first a slash"
        ));
        return None;
    }
    Some(text.into())
}

fn codes(value: Value<'_>) -> Option<Codes> {
    let text = value.string()?;
    let codes = Codes::parse(text);
    if codes.is_none() {
        value.refuse(format!(
            "{text:?} is not a list of HTTP codes; use codes from 200 to 599 and ranges, such as \"200,202,401\" or \"200-299\""
        ));
    }
    codes
}

/// The duration under `key`, and `Some(None)` if it is wrong.
fn duration(table: &Table<'_>, key: &'static str) -> Option<Option<Duration>> {
    let value = table.get(key)?;
    let duration = scalar::duration(value);
    if duration.is_some_and(|duration| duration > LONGEST) {
        value.refuse("longer than a health check may have; use \"1s\" to \"50s\"");
        return Some(None);
    }
    Some(duration)
}
