//! Members of pools.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use model::value::HostAddress;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, new_head};
use crate::{
    api::{
        draft::Draft,
        error::{Fault, invalid},
        fields::{Fields, Given, missing},
        kinds::{
            member::Member,
            pool::{Pool, served_as},
        },
        record::Head,
        view::View,
    },
    engine::standings::State,
    health::judge::Verdict,
};

const WEIGHT: u16 = 1;
/// Where clouds answer their guests' questions about themselves: no member is there (as Octavia has it).
const METADATA: &str = "169.254.169.254";

impl Member {
    /// Changes it as an entry of a list of members does: what is not said is usual again, but for its name and its tags.
    pub(in crate::api) fn replace(mut self, draft: &mut Draft<'_>, mut fields: Fields) -> Result<(), Fault> {
        for name in ["address", "protocol_port"] {
            fields.take(name);
        }
        let subnet = fields.id("subnet_id")?.value();
        if subnet.is_some() && subnet != self.subnet {
            return Err(Fault::invalid(
                "Unknown attribute for argument: subnet_id. A member's cannot be changed.",
            ));
        }
        (self.weight, self.is_backup, self.head.is_enabled) = (WEIGHT, false, true);
        (self.monitor_address, self.monitor_port) = (None, None);
        self.change(draft, fields)
    }

    /// Where it is.
    pub(in crate::api) fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// The address of a member. IPv6 is one address however it is spelled.
fn address(attribute: &'static str, text: &str) -> Result<IpAddr, Fault> {
    if text == METADATA {
        return Err(Fault::value(attribute, text, "It is not an address of a member."));
    }
    Ok(HostAddress::parse(text, "member").map_err(invalid(attribute))?.get())
}

impl Resource for Member {
    const MANY: &'static str = "members";
    const TRACES: [&'static str; 3] = ["add backend ecs", "update backend ecs", "remove backend ecs"];
    const ONLY_AT_CREATION: &'static [&'static str] = &["address", "protocol_port", "subnet_id"];
    const HAS_DESCRIPTION: bool = false;

    fn create(draft: &mut Draft<'_>, parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let pool = parent.ok_or_else(|| missing("pool_id"))?;
        draft.parent::<Pool>("pool_id", pool)?;
        let text = fields.text("address", 64)?.value().ok_or_else(|| missing("address"))?;
        let port =
            fields.integer("protocol_port", 1..=u16::MAX)?.value().ok_or_else(|| missing("protocol_port"))?;
        let subnet = fields.id("subnet_id")?.value();
        let mut made = Self {
            head,
            pool,
            address: address("address", &text)?,
            port,
            weight: WEIGHT,
            is_backup: false,
            subnet,
            monitor_address: None,
            monitor_port: None,
        };
        made.settings(draft, &mut fields)?;
        fields.unsupported("vnic_type", &[json!("normal")], "members have no ports here")?;
        fields.unsupported("request_sriov", &[json!(false)], "members have no ports here")?;
        fields.end()?;
        if draft.records.children::<Self>(pool).any(|other| other.socket() == made.socket()) {
            return Err(Fault::conflict(format!(
                "Another member on this pool is already using ip {} on protocol_port {port}",
                made.address
            )));
        }
        draft.create(made)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        fields.integer("weight", 0..=256)?.set(&mut self.weight, WEIGHT);
        fields.boolean("backup")?.set(&mut self.is_backup, false);
        match fields.text("monitor_address", 64)? {
            Given::Absent => {}
            Given::Null => self.monitor_address = None,
            Given::Value(text) => self.monitor_address = Some(address("monitor_address", &text)?),
        }
        fields.integer("monitor_port", 1..=u16::MAX)?.set_option(&mut self.monitor_port);
        Ok(())
    }

    fn sample() -> Self {
        Self {
            head: Head::default(),
            pool: Uuid::nil(),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: 0,
            weight: WEIGHT,
            is_backup: false,
            subnet: None,
            monitor_address: None,
            monitor_port: None,
        }
    }

    fn show(&self, _view: &View<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("address", json!(self.address));
        put("protocol_port", json!(self.port));
        put("weight", json!(self.weight));
        put("backup", json!(self.is_backup));
        put("subnet_id", json!(self.subnet));
        put("monitor_address", json!(self.monitor_address));
        put("monitor_port", json!(self.monitor_port));
        put("vnic_type", json!("normal"));
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        let pool = view.records.get::<Pool>(self.pool);
        if !self.head.is_enabled || pool.is_some_and(|pool| !pool.head.is_enabled) {
            return "OFFLINE";
        }
        let known = pool.and_then(|pool| {
            let mut known = served_as(pool).into_iter();
            known.find_map(|id| view.health.get(&(id, self.socket())))
        });
        match known.map(|known| known.state) {
            Some(State::Known(Verdict::Down)) => "ERROR",
            _ if self.weight == 0 => "DRAINING",
            Some(State::Known(Verdict::Up)) => "ONLINE",
            // Its first check is not over.
            Some(State::Unknown) => "OFFLINE",
            Some(State::Unchecked) | None => "NO_MONITOR",
        }
    }
}
