//! Pools.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, ids, may_go, new_head};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing},
    kinds::{
        health_monitor::HealthMonitor,
        l7_policy::L7Policy,
        listener::Listener,
        load_balancer::LoadBalancer,
        member::Member,
        pool::{ALGORITHMS, PROTOCOLS, Persistence, Pool, PoolAlgorithm},
    },
    records::Records,
    view::View,
};

/// What members' weights can be to `SOURCE_IP`: ours, no attribute of Octavia's.
const WEIGHTS: [&str; 2] = ["COUNT", "IGNORE"];

impl Pool {
    /// Listeners that send to it.
    pub(in crate::api) fn listeners<'a>(&self, records: &'a Records) -> Vec<&'a Listener> {
        let id = self.head.id;
        let all = records.all::<Listener>().filter(|listener| listener.default_pool == Some(id));
        all.collect()
    }

    /// Policies that send to it.
    fn policies<'a>(&self, records: &'a Records) -> impl Iterator<Item = &'a L7Policy> {
        let id = self.head.id;
        records.all::<L7Policy>().filter(move |policy| policy.action.pool() == Some(id))
    }

    fn persistence(&mut self, fields: &mut Fields) -> Result<(), Fault> {
        let value = match fields.take("session_persistence") {
            Given::Absent => return Ok(()),
            Given::Null => {
                self.persistence = None;
                return Ok(());
            }
            Given::Value(value) => value,
        };
        let mut fields = Fields::of_value(value, "session_persistence")?;
        if fields.is_empty() {
            return Ok(());
        }
        let before = self.persistence.clone();
        let kind = fields.word("type", &["SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"])?.value();
        let kind = kind.or_else(|| before.as_ref().map(|before| before.kind.clone()));
        let kind = kind.ok_or_else(|| missing("session_persistence.type"))?;
        let mut made = Persistence { kind, cookie_name: None, timeout: None };
        // What is not said stays, if it goes with the type.
        let before = before.filter(|before| before.kind == made.kind);
        made.cookie_name = before.as_ref().and_then(|before| before.cookie_name.clone());
        made.timeout = before.and_then(|before| before.timeout);
        fields.text("cookie_name", 64)?.set_option(&mut made.cookie_name);
        match fields.integer("persistence_timeout", 60..=3600)? {
            Given::Absent => {}
            Given::Null => made.timeout = None,
            Given::Value(seconds) if seconds % 60 != 0 => {
                return Err(Fault::value(
                    "persistence_timeout",
                    seconds,
                    "Use whole minutes, 60 to 3600 seconds.",
                ));
            }
            Given::Value(seconds) => made.timeout = Some(seconds),
        }
        fields.unsupported(
            "persistence_granularity",
            &[],
            "clients are told apart by their whole addresses",
        )?;
        fields.end()?;
        let is_http = self.protocol.is_http();
        let wrong = match (&*made.kind, is_http) {
            ("APP_COOKIE", true) if made.cookie_name.is_none() => "APP_COOKIE needs cookie_name.",
            ("HTTP_COOKIE" | "SOURCE_IP", _) if made.cookie_name.is_some() => {
                "Only APP_COOKIE has a cookie_name."
            }
            ("HTTP_COOKIE" | "APP_COOKIE", false) => {
                "Cookies are for HTTP pools: at Layer 4 nothing of a connection is read. Use SOURCE_IP."
            }
            ("SOURCE_IP", false) => "",
            _ if made.timeout.is_some() => "Only SOURCE_IP at Layer 4 has a persistence_timeout.",
            _ => "",
        };
        if !wrong.is_empty() {
            return Err(Fault::invalid(format!("Invalid session_persistence. {wrong}")));
        }
        self.persistence = Some(made);
        Ok(())
    }

    /// Looks whether algorithm, weights and persistence go together.
    fn together(&self) -> Result<(), Fault> {
        let kind = self.persistence.as_ref().map(|it| &*it.kind);
        if self.ignores_weights
            && !matches!((self.algorithm, kind), (PoolAlgorithm::SourceIp, _) | (_, Some("SOURCE_IP")))
        {
            return Err(Fault::invalid(
                "weights IGNORE goes with SOURCE_IP only: the other algorithms share by weights.",
            ));
        }
        match (self.algorithm, kind) {
            (PoolAlgorithm::LeastConnections, Some(kind)) => Err(Fault::invalid(format!(
                "session_persistence {kind} does not go with LEAST_CONNECTIONS, which may choose another member each \
                 time. Use ROUND_ROBIN."
            ))),
            (PoolAlgorithm::SourceIp, Some(kind @ ("HTTP_COOKIE" | "APP_COOKIE"))) => {
                Err(Fault::invalid(format!(
                    "session_persistence {kind} does not go with SOURCE_IP, which keeps a client by its address. Use \
                 ROUND_ROBIN."
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Resource for Pool {
    const MANY: &'static str = "pools";
    const TRACES: [&'static str; 3] =
        ["create backend member group", "update backend member group", "delete backend member group"];
    const HAS_PROTECTION: bool = true;
    const ONLY_AT_CREATION: &'static [&'static str] = &["loadbalancer_id", "listener_id", "protocol"];

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let listener = fields.id("listener_id")?.value();
        let mut load_balancer = fields.id("loadbalancer_id")?.value();
        let listener = match listener {
            Some(id) => {
                let listener = draft.edit::<Listener>(id)?;
                if load_balancer.is_some_and(|given| given != listener.load_balancer) {
                    return Err(Fault::value("listener_id", id, "The listener is another load balancer's."));
                }
                if listener.default_pool.is_some() {
                    return Err(Fault::conflict(format!("Listener {id} already has a default pool.")));
                }
                load_balancer = Some(listener.load_balancer);
                Some(listener)
            }
            None => None,
        };
        let Some(load_balancer) = load_balancer else {
            return Err(Fault::invalid("Must provide at least one of: loadbalancer_id, listener_id"));
        };
        draft.parent::<LoadBalancer>("loadbalancer_id", load_balancer)?;
        let names: Vec<&str> = PROTOCOLS.iter().map(|(name, _)| *name).chain(["SCTP"]).collect();
        let word = fields.word("protocol", &names)?.value().ok_or_else(|| missing("protocol"))?;
        let protocol = PROTOCOLS.iter().find(|(name, _)| *name == word);
        let (_, protocol) = *protocol.ok_or_else(|| {
            Fault::value("protocol", &word, "Not supported here: TCP and UDP are balanced.")
        })?;
        let mut made = Self { head, load_balancer: Some(load_balancer), protocol, ..Self::default() };
        if fields.clone().take("lb_algorithm") == Given::Absent {
            return Err(missing("lb_algorithm"));
        }
        made.settings(draft, &mut fields)?;
        for nested in ["members", "healthmonitor"] {
            fields.unsupported(nested, &[json!([])], "create what is inside one by one, after the pool")?;
        }
        fields.end()?;
        let id = draft.create(made)?;
        if let Some(mut listener) = listener {
            listener.may_use(draft, "listener_id", id)?;
            listener.default_pool = Some(id);
            draft.update(listener);
        }
        Ok(id)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        let names: Vec<&str> = ALGORITHMS.iter().map(|(name, _)| *name).chain(["SOURCE_IP_PORT"]).collect();
        match fields.word("lb_algorithm", &names)? {
            Given::Absent => {}
            Given::Null => return Err(missing("lb_algorithm")),
            Given::Value(word) => {
                let known = ALGORITHMS.iter().find(|(name, _)| *name == word);
                let (_, algorithm) = known.ok_or_else(|| {
                    Fault::value(
                        "lb_algorithm",
                        &word,
                        "Not supported here: use SOURCE_IP, which leaves ports out.",
                    )
                })?;
                self.algorithm = *algorithm;
            }
        }
        match fields.word("weights", &WEIGHTS)? {
            Given::Absent => {}
            given => self.ignores_weights = given.value().is_some_and(|word| word == WEIGHTS[1]),
        }
        self.persistence(fields)?;
        fields.boolean("tls_enabled")?.set(&mut self.tls_enabled, false);
        if self.tls_enabled && !self.protocol.is_http() {
            return Err(Fault::invalid(
                "tls_enabled is for HTTP pools: what passes through at Layer 4 is not encrypted here.",
            ));
        }
        let reason = "the API verifies no members yet; the configuration file's pools do";
        for name in ["tls_container_ref", "ca_tls_container_ref", "crl_container_ref", "tls_ciphers"] {
            fields.unsupported(name, &[], reason)?;
        }
        fields.unsupported("tls_versions", &[json!([])], reason)?;
        fields.unsupported("alpn_protocols", &[json!([])], reason)?;
        self.together()
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        may_go(self)?;
        let id = self.head.id;
        if let Some(policy) = self.policies(&draft.records).next() {
            return Err(Fault::conflict(format!(
                "Pool {id} is in use: L7Policy {} sends requests there.",
                policy.head.id
            )));
        }
        let listeners: Vec<Listener> = self.listeners(&draft.records).into_iter().cloned().collect();
        for mut listener in listeners {
            listener.default_pool = None;
            draft.update(listener);
        }
        let members: Vec<_> = draft.records.children::<Member>(id).cloned().collect();
        members.iter().try_for_each(|member| member.delete(draft, true))?;
        let monitors: Vec<_> = draft.records.children::<HealthMonitor>(id).cloned().collect();
        monitors.iter().try_for_each(|monitor| monitor.delete(draft, true))?;
        draft.remove::<Self>(id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, view: &View<'_>) -> Map<String, Value> {
        let id = self.head.id;
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("protocol", json!(self.protocol.name()));
        let algorithm = ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == self.algorithm);
        put("lb_algorithm", json!(algorithm.map(|(name, _)| name)));
        put("weights", json!(WEIGHTS[usize::from(self.ignores_weights)]));
        let persistence = self.persistence.as_ref().map(|it| {
            json!({
                "type": it.kind,
                "cookie_name": it.cookie_name,
                "persistence_timeout": it.timeout,
                "persistence_granularity": null,
            })
        });
        put("session_persistence", json!(persistence));
        let records = view.records;
        put("loadbalancers", ids(self.load_balancer));
        let listeners = self.listeners(records).into_iter().map(|listener| listener.head.id);
        let listeners = listeners.chain(self.policies(records).map(|policy| policy.listener));
        put("listeners", ids(listeners.collect::<BTreeSet<_>>()));
        put("members", ids(records.children::<Member>(id).map(|member| member.head.id)));
        put("healthmonitor_id", json!(records.children::<HealthMonitor>(id).next().map(|it| it.head.id)));
        put("tls_enabled", json!(self.tls_enabled));
        for name in ["tls_container_ref", "ca_tls_container_ref", "crl_container_ref", "tls_ciphers"] {
            put(name, Value::Null);
        }
        put("tls_versions", json!([]));
        put("alpn_protocols", json!([]));
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        if !self.head.is_enabled {
            return "OFFLINE";
        }
        let members = view.records.children::<Member>(self.head.id);
        let (mut serve, mut fail) = (0, 0);
        for member in members {
            match member.operating_status(view) {
                "ERROR" => fail += 1,
                "OFFLINE" => {}
                _ => serve += 1,
            }
        }
        match (serve, fail) {
            (_, 0) => "ONLINE",
            (0, _) => "ERROR",
            _ => "DEGRADED",
        }
    }
}
