//! Listeners.

use std::collections::BTreeSet;

use model::policy::PolicyOrder;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, ids, listener_tls, may_go, new_head, whitelist::network};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing, shown},
    kinds::{
        l7_policy::L7Policy,
        listener::{Listener, Protocol},
        load_balancer::LoadBalancer,
        pool::Pool,
        whitelist::Whitelist,
    },
    record::Head,
    view::View,
};

/// Milliseconds that a client may be silent, unless somebody says otherwise.
const CLIENT_DATA: u32 = 50_000;
/// The same for connecting to a member.
const MEMBER_CONNECT: u32 = 5_000;
/// The same for a member that is silent.
const MEMBER_DATA: u32 = 50_000;
/// The longest of these: a day.
const LONGEST: u32 = 86_400_000;
/// The headers that can be inserted.
const HEADERS: [&str; 3] = ["X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto"];
const PROTOCOLS: [&str; 4] = ["TCP", "UDP", "HTTP", "TERMINATED_HTTPS"];

impl Listener {
    /// A new one that speaks this.
    fn new(head: Head, load_balancer: Uuid, protocol: Protocol, port: u16) -> Self {
        Self {
            head,
            load_balancer,
            protocol,
            port,
            client_data: CLIENT_DATA,
            member_connect: MEMBER_CONNECT,
            member_data: MEMBER_DATA,
            ..Self::default()
        }
    }

    /// Looks whether its requests or connections may go to a pool.
    pub(in crate::api) fn may_use(&self, draft: &Draft<'_>, attribute: &str, id: Uuid) -> Result<(), Fault> {
        let pool = draft.parent::<Pool>(attribute, id)?;
        if pool.load_balancer != Some(self.load_balancer) {
            return Err(Fault::value(attribute, id, "The pool is another load balancer's."));
        }
        if !self.protocol.goes_with(pool.protocol.name()) {
            let reason = match (self.protocol.is_http(), pool.protocol.name()) {
                (false, "PROXY" | "PROXYV2") => {
                    " At Layer 4 members learn the client's address from TOA: use a TCP pool."
                }
                _ => "",
            };
            return Err(Fault::invalid(format!(
                "The pool protocol '{}' is invalid while the listener protocol is '{}'.{reason}",
                pool.protocol.name(),
                self.protocol.name()
            )));
        }
        Ok(())
    }

    /// Takes its policies out.
    pub(in crate::api) fn remove_policies(&self, draft: &mut Draft<'_>) {
        let policies: Vec<L7Policy> =
            L7Policy::of(&draft.records, self.head.id).into_iter().cloned().collect();
        policies.iter().for_each(|policy| policy.remove(draft));
    }

    fn insert_headers(&mut self, fields: &mut Fields) -> Result<(), Fault> {
        let headers = match fields.take("insert_headers") {
            Given::Absent => return Ok(()),
            Given::Null => Map::new(),
            Given::Value(Value::Object(headers)) => headers,
            Given::Value(other) => {
                return Err(Fault::value("insert_headers", shown(&other), "It must be an object."));
            }
        };
        if !headers.is_empty() && !self.protocol.is_http() {
            return Err(Fault::invalid(format!(
                "insert_headers is for HTTP listeners, and this one speaks {}.",
                self.protocol.name()
            )));
        }
        self.insert_headers.clear();
        for (name, value) in headers {
            if !HEADERS.contains(&&*name) {
                let known = HEADERS.join(", ");
                return Err(Fault::value("insert_headers", name, format!("These can be inserted: {known}")));
            }
            match value.as_str() {
                Some(truth @ ("true" | "True" | "false" | "False")) => {
                    self.insert_headers.insert(name, truth.into());
                }
                _ => {
                    return Err(Fault::value(
                        "insert_headers",
                        shown(&value),
                        "Each is \"true\" or \"false\".",
                    ));
                }
            }
        }
        Ok(())
    }

    fn allowed_cidrs(&mut self, draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        let texts = match fields.texts("allowed_cidrs", 64)? {
            Given::Absent => return Ok(()),
            Given::Null => Vec::new(),
            Given::Value(texts) => texts,
        };
        let vips = draft.records.find::<LoadBalancer>(self.load_balancer)?;
        let mut networks = BTreeSet::new();
        for text in texts {
            let network = network("allowed_cidrs", &text)?;
            if !vips.vips.iter().any(|vip| vip.address.is_ipv4() == network.addr().is_ipv4()) {
                return Err(Fault::value(
                    "allowed_cidrs",
                    &text,
                    "No VIP of the load balancer is of this family.",
                ));
            }
            networks.insert(network);
        }
        self.allowed_cidrs = (!networks.is_empty()).then_some(networks);
        Ok(())
    }
}

impl Resource for Listener {
    const MANY: &'static str = "listeners";
    const TRACES: [&'static str; 3] = ["create listener", "update listener", "delete listener"];
    const HAS_PROTECTION: bool = true;
    const ONLY_AT_CREATION: &'static [&'static str] = &["loadbalancer_id", "protocol", "protocol_port"];

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let load_balancer =
            fields.id("loadbalancer_id")?.value().ok_or_else(|| missing("loadbalancer_id"))?;
        draft.parent::<LoadBalancer>("loadbalancer_id", load_balancer)?;
        let protocol = protocol(&mut fields)?;
        let port =
            fields.integer("protocol_port", 1..=u16::MAX)?.value().ok_or_else(|| missing("protocol_port"))?;
        let mut made = Self::new(head, load_balancer, protocol, port);
        let is_udp = |protocol| protocol == Protocol::Udp;
        let clashes = |other: &Self| other.port == made.port && is_udp(other.protocol) == is_udp(protocol);
        if draft.records.children::<Self>(load_balancer).any(clashes) {
            return Err(Fault::conflict(format!(
                "Another Listener on this Load Balancer is already using protocol_port {port}"
            )));
        }
        made.settings(draft, &mut fields)?;
        fields.unsupported("default_pool", &[], "create the pool first and give its default_pool_id")?;
        fields.unsupported("l7policies", &[json!([])], "create them one by one, after the listener")?;
        fields.end()?;
        draft.create(made)
    }

    fn settings(&mut self, draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        match fields.integer("connection_limit", -1..=i64::from(u32::MAX))? {
            Given::Absent => {}
            Given::Null => self.connection_limit = None,
            Given::Value(limit) => self.connection_limit = u32::try_from(limit).ok(),
        }
        for (name, time, usual) in [
            ("timeout_client_data", &mut self.client_data, CLIENT_DATA),
            ("timeout_member_connect", &mut self.member_connect, MEMBER_CONNECT),
            ("timeout_member_data", &mut self.member_data, MEMBER_DATA),
        ] {
            match fields.integer(name, 1..=LONGEST)? {
                Given::Absent => {}
                Given::Null => *time = usual,
                Given::Value(_) if name != "timeout_client_data" && !self.protocol.is_http() => {
                    let reason = "at Layer 4 packets pass between client and member, and only timeout_client_data counts";
                    return Err(Fault::invalid(format!("{name} is for HTTP listeners: {reason}.")));
                }
                Given::Value(milliseconds) => *time = milliseconds,
            }
        }
        self.insert_headers(fields)?;
        self.allowed_cidrs(draft, fields)?;
        match fields.word("policy_order", &PolicyOrder::ALL.map(PolicyOrder::name))? {
            Given::Absent => {}
            Given::Null => self.is_specific = false,
            Given::Value(_) if !self.protocol.is_http() => {
                return Err(Fault::invalid("policy_order is for HTTP listeners, which have policies."));
            }
            Given::Value(word) => self.is_specific = word == PolicyOrder::Specific.name(),
        }
        let zero = [json!(0)];
        fields.unsupported("timeout_tcp_inspect", &zero, "nothing of a TCP connection is waited for")?;
        if self.protocol == Protocol::TerminatedHttps {
            listener_tls::settings(&mut self.tls, draft, fields)?;
        } else {
            listener_tls::refuse(fields)?;
        }
        match fields.id("default_pool_id")? {
            Given::Absent => {}
            Given::Null => self.default_pool = None,
            Given::Value(id) => {
                self.may_use(draft, "default_pool_id", id)?;
                self.default_pool = Some(id);
            }
        }
        Ok(())
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        may_go(self)?;
        let id = self.head.id;
        let leads_here = |policy: &&L7Policy| policy.action.listener() == Some(id);
        if let Some(policy) = draft.records.all::<L7Policy>().find(leads_here) {
            return Err(Fault::conflict(format!(
                "Listener {id} is in use: L7Policy {} sends clients there.",
                policy.head.id
            )));
        }
        self.remove_policies(draft);
        let whitelists: Vec<_> = draft.records.children::<Whitelist>(id).cloned().collect();
        whitelists.iter().try_for_each(|whitelist| whitelist.delete(draft, true))?;
        draft.remove::<Self>(id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, view: &View<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("protocol", json!(self.protocol.name()));
        put("protocol_port", json!(self.port));
        put("connection_limit", json!(self.connection_limit.map_or(-1, i64::from)));
        put("default_pool_id", json!(self.default_pool));
        put("loadbalancers", ids([self.load_balancer]));
        put("insert_headers", json!(self.insert_headers));
        let cidrs = self.allowed_cidrs.as_ref();
        put("allowed_cidrs", json!(cidrs.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())));
        put("timeout_client_data", json!(self.client_data));
        put("timeout_member_connect", json!(self.member_connect));
        put("timeout_member_data", json!(self.member_data));
        put("timeout_tcp_inspect", json!(0));
        let order = if self.is_specific { PolicyOrder::Specific } else { PolicyOrder::Position };
        put("policy_order", json!(order.name()));
        let policies = L7Policy::of(view.records, self.head.id);
        put("l7policies", ids(policies.into_iter().map(|policy| policy.head.id)));
        let tls = (self.protocol == Protocol::TerminatedHttps).then_some(&self.tls);
        listener_tls::show(tls, &mut object);
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        let load_balancer = view.records.get::<LoadBalancer>(self.load_balancer);
        let is_enabled = self.head.is_enabled && load_balancer.is_none_or(|it| it.head.is_enabled);
        // At Layer 4 there is no pool that its packets could go to.
        let has_nobody = self.default_pool.is_none() && !self.protocol.is_http();
        if is_enabled && !has_nobody { "ONLINE" } else { "OFFLINE" }
    }
}

fn protocol(fields: &mut Fields) -> Result<Protocol, Fault> {
    let words = ["TCP", "UDP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "SCTP", "PROMETHEUS"];
    let word = fields.word("protocol", &words)?.value().ok_or_else(|| missing("protocol"))?;
    let protocol = match &*word {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "HTTP" => Protocol::Http,
        "HTTPS" => Protocol::Https,
        "TERMINATED_HTTPS" => Protocol::TerminatedHttps,
        other => {
            let known = PROTOCOLS.join(", ");
            let reason = format!(
                "Not supported by the API of this version; it has {known} and HTTPS (passed through)"
            );
            return Err(Fault::value("protocol", other, reason));
        }
    };
    Ok(protocol)
}
