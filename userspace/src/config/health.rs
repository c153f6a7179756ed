//! `health` of a `[[pool]]` or a `[[server_group]]`: how its members are checked.

use std::sync::Arc;

use model::{
    health::{Check, CheckPath, Codes, Get, Pace, Probe},
    id::Id,
    object::{CertificateId, HealthMonitor, Meta},
    tls::MemberTls,
    value::{CheckTime, HostName, Retries},
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    scalar, tls,
};

/// Of a pool.
pub(super) const POOL: Shape = Shape {
    path: "pool.health",
    keys: &["protocol", "port", "host", "path", "codes", "interval", "timeout", "retries"],
};
/// Of a server group.
pub(super) const SERVER_GROUP: Shape = Shape {
    path: "server_group.health",
    keys: &["protocol", "port", "host", "path", "codes", "interval", "timeout", "retries", "tls"],
};
/// Keys that only an HTTP check has.
const HTTP_KEYS: [&str; 3] = ["host", "path", "codes"];

/// What a check depends on beside its own keys.
pub(super) struct References {
    /// The codes of a good answer, unless the check names others.
    pub(super) codes: Codes,
    /// How it speaks TLS.
    pub(super) tls: Tls,
}

/// How a check speaks TLS.
pub(super) enum Tls {
    /// As its pool does, if that does.
    OfPool(Option<MemberTls<CertificateId>>),
    /// As it says itself.
    Own,
}

/// The check in this table, with the key of what it is of; none is fine.
pub(super) fn read<'a>(
    table: &Table<'a>,
    shape: &'static Shape,
    key: &[&str],
    references: &References,
    draft: &mut Draft<'a>,
) -> Option<HealthMonitor> {
    let table = table.table("health", shape)?;
    let id = Id::of_names(key);
    draft.places.stand(id, &table);
    let probe = table.require("protocol").and_then(|value| probe(value, &table, references, draft));
    let port = table.get("port").map(|value| value.number());
    let pace = pace(&table);
    let check = Check {
        probe: probe?,
        port: match port {
            Some(port) => Some(port?),
            None => None,
        },
        pace: pace?,
    };
    Some(HealthMonitor { id, meta: Meta::default(), check: Arc::new(check) })
}

fn pace(table: &Table<'_>) -> Option<Pace> {
    let time = |key, usual| match table.get(key) {
        Some(value) => scalar::time(value, CheckTime::parse),
        None => Some(usual),
    };
    let interval = time("interval", Pace::INTERVAL);
    let timeout = time("timeout", interval.map_or(Pace::TIMEOUT, |interval| interval.min(Pace::TIMEOUT)));
    let retries = table.get("retries").map_or(Some(Pace::RETRIES), |value| value.number::<Retries>());
    let (interval, timeout, retries) = (interval?, timeout?, retries?);
    if timeout > interval
        && let Some(value) = table.get("timeout")
    {
        // As the OTC guide has it, whose own example has such a one (section 10.6.2).
        value.warn(format!("{timeout} is longer than the interval, {interval}, which is taken instead"));
    }
    Pace::new(interval, timeout.min(interval), retries).ok()
}

fn probe(
    protocol: Value<'_>,
    table: &Table<'_>,
    references: &References,
    draft: &Draft<'_>,
) -> Option<Probe<CertificateId>> {
    let words = ["tcp", "http", "https", "udp"].map(|word| (word, word));
    let name = scalar::supported(protocol, &words)?;
    let has_none = format!("a {name} check has none; use it with protocol =");
    if !name.starts_with("http") {
        table.refuse_each(&HTTP_KEYS, &format!("{has_none} \"http\""));
    }
    let tls = match (&references.tls, name) {
        // Whether the pool has some is not asked here.
        (Tls::OfPool(tls), "https") => Some(tls.clone().unwrap_or(tls::unread())),
        (Tls::Own, "https") => Some(tls::members(table, &tls::CHECK, draft).unwrap_or(tls::unread())),
        (Tls::OfPool(_), _) => None,
        (Tls::Own, _) => {
            table.refuse_each(&["tls"], &format!("{has_none} \"https\""));
            None
        }
    };
    match name {
        "tcp" => Some(Probe::Tcp),
        "udp" => Some(Probe::Udp),
        _ => get(table, references, tls).map(Probe::Http),
    }
}

fn get(
    table: &Table<'_>,
    references: &References,
    tls: Option<MemberTls<CertificateId>>,
) -> Option<Get<CertificateId>> {
    let host = table.get("host").map(|value| scalar::text(value, HostName::new));
    let path = table
        .get("path")
        .map_or_else(|| Some(CheckPath::default()), |value| scalar::text(value, CheckPath::new));
    let codes = table
        .get("codes")
        .map_or_else(|| Some(references.codes.clone()), |value| scalar::text(value, Codes::new));
    Some(Get {
        host: match host {
            Some(host) => Some(host?),
            None => None,
        },
        tls,
        path: path?,
        codes: codes?,
    })
}
