//! Health monitors of pools.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, ids, new_head};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing},
    kinds::{
        health_monitor::{HealthMonitor, KINDS, MonitorKind},
        pool::{Pool, PoolProtocol},
    },
    view::View,
};

/// The longest times of a health check (OTC guide, table 5-1).
const LONGEST: u32 = 50;
const RETRIES_DOWN: u8 = 3;
const PATH: &str = "/";
const CODES: &str = "200";

impl Resource for HealthMonitor {
    const MANY: &'static str = "healthmonitors";
    const TRACES: [&'static str; 3] =
        ["create healthmonitor", "update healthmonitor", "delete healthmonitor"];
    const ONLY_AT_CREATION: &'static [&'static str] = &["pool_id", "type"];
    const HAS_DESCRIPTION: bool = false;

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let pool = fields.id("pool_id")?.value().ok_or_else(|| missing("pool_id"))?;
        let protocol = draft.parent::<Pool>("pool_id", pool)?.protocol;
        if draft.records.children::<Self>(pool).next().is_some() {
            return Err(Fault::conflict(format!("Pool {pool} already has a health monitor.")));
        }
        let more = ["PING", "TLS-HELLO", "SCTP"];
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).chain(more).collect();
        let word = fields.word("type", &names)?.value().ok_or_else(|| missing("type"))?;
        let kind = KINDS.iter().find(|(name, _)| *name == word);
        let (_, kind) = *kind.ok_or_else(|| {
            Fault::value("type", &word, "Not supported here; use TCP, HTTP, HTTPS or UDP-CONNECT.")
        })?;
        let udp = PoolProtocol::Udp;
        if (protocol == udp) != (kind == MonitorKind::UdpConnect) && !(protocol == udp && kind.is_http()) {
            return Err(Fault::invalid(format!(
                "A monitor of type {word} cannot ask members of a {} pool.",
                protocol.name()
            )));
        }
        let mut made = Self {
            head,
            pool,
            kind,
            max_retries_down: RETRIES_DOWN,
            url_path: PATH.into(),
            expected_codes: CODES.into(),
            ..Self::default()
        };
        for name in ["delay", "timeout", "max_retries"] {
            if matches!(fields.clone().take(name), Given::Absent | Given::Null) {
                return Err(missing(name));
            }
        }
        made.settings(draft, &mut fields)?;
        fields.end()?;
        draft.create(made)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        for (name, time) in [("delay", &mut self.delay), ("timeout", &mut self.timeout)] {
            fields.integer(name, 1..=LONGEST)?.set_required(time, name)?;
        }
        fields.integer("max_retries", 1..=10)?.set_required(&mut self.max_retries, "max_retries")?;
        fields.integer("max_retries_down", 1..=10)?.set(&mut self.max_retries_down, RETRIES_DOWN);
        if !self.kind.is_http() {
            for name in ["url_path", "expected_codes", "domain_name", "http_method", "http_version"] {
                let reason = "only monitors of the types HTTP and HTTPS have it";
                fields.unsupported(name, &[], reason)?;
            }
            return Ok(());
        }
        fields.text("url_path", 255)?.set(&mut self.url_path, PATH.into());
        fields.text("expected_codes", 64)?.set(&mut self.expected_codes, CODES.into());
        fields.text("domain_name", 255)?.set_option(&mut self.domain_name);
        fields.unsupported("http_method", &[json!("GET")], "members are asked by GET")?;
        match fields.take("http_version") {
            Given::Absent => {}
            Given::Null => self.http_version = None,
            Given::Value(value) if value == json!(1.1) || value == json!("1.1") => {
                self.http_version = Some("1.1".into());
            }
            Given::Value(value) => {
                return Err(Fault::value(
                    "http_version",
                    value,
                    "Not supported here: members are asked by HTTP/1.1.",
                ));
            }
        }
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, _view: &View<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("type", json!(self.kind.name()));
        put("delay", json!(self.delay));
        put("timeout", json!(self.timeout));
        put("max_retries", json!(self.max_retries));
        put("max_retries_down", json!(self.max_retries_down));
        put("pools", ids([self.pool]));
        let is_http = self.kind.is_http();
        put("http_method", json!(is_http.then_some("GET")));
        put("url_path", json!(is_http.then_some(&self.url_path)));
        put("expected_codes", json!(is_http.then_some(&self.expected_codes)));
        put("domain_name", json!(self.domain_name));
        let version = self.http_version.as_ref().and_then(|version| version.parse::<f64>().ok());
        put("http_version", json!(version));
        object
    }

    fn operating_status(&self, _view: &View<'_>) -> &'static str {
        if self.head.is_enabled { "ONLINE" } else { "OFFLINE" }
    }
}
