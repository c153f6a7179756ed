//! Whitelists of listeners, in the style of the OTC guide.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, new_head};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing},
    kinds::{listener::Listener, whitelist::Whitelist},
    view::View,
};

/// The most characters of a list: as many as a body has.
const TEXT: usize = 1 << 20;

/// A network, or an address, which is one of its own. Host bits are cleared.
pub(super) fn network(attribute: &str, text: &str) -> Result<IpNet, Fault> {
    let network = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text
            .parse::<IpNet>()
            .map_err(|_| Fault::value(attribute, text, "It is neither an address nor a network."))?,
    };
    Ok(network.trunc())
}

impl Resource for Whitelist {
    const MANY: &'static str = "whitelists";
    const TRACES: [&'static str; 3] = ["create whitelist", "update whitelist", "delete whitelist"];
    const ONLY_AT_CREATION: &'static [&'static str] = &["listener_id"];
    const HAS_NAME: bool = false;
    const HAS_DESCRIPTION: bool = false;
    const HAS_SWITCH: bool = false;

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let listener = fields.id("listener_id")?.value().ok_or_else(|| missing("listener_id"))?;
        draft.parent::<Listener>("listener_id", listener)?;
        if let Some(other) = draft.records.children::<Self>(listener).next() {
            let other = other.head.id;
            return Err(Fault::conflict(format!("Listener {listener} has whitelist {other} already.")));
        }
        let mut made = Self { head, listener, is_on: true, networks: BTreeSet::new() };
        made.settings(draft, &mut fields)?;
        fields.end()?;
        draft.create(made)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        fields.boolean("enable_whitelist")?.set(&mut self.is_on, true);
        match fields.text("whitelist", TEXT)? {
            Given::Absent => {}
            Given::Null => self.networks.clear(),
            Given::Value(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                self.networks = parts.map(|part| network("whitelist", part)).collect::<Result<_, _>>()?;
            }
        }
        Ok(())
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        draft.touch::<Listener>(self.listener);
        draft.remove::<Self>(self.head.id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, _view: &View<'_>) -> Map<String, Value> {
        let networks: Vec<String> = self.networks.iter().map(|network| text(*network)).collect();
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("listener_id", json!(self.listener));
        put("enable_whitelist", json!(self.is_on));
        put("whitelist", json!(networks.join(",")));
        object
    }

    fn operating_status(&self, _view: &View<'_>) -> &'static str {
        if self.is_on { "ONLINE" } else { "OFFLINE" }
    }
}

/// A single address is written as one.
fn text(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}
