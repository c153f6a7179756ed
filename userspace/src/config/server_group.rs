//! `[[server_group]]`, and the members that it or a pool has.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use model::{
    health::Codes,
    id::Id,
    object::{Member, MemberId, ServerGroup},
    value::{Name, Port, Weight},
};

use super::{
    document::{Shape, Table},
    draft::Draft,
    health, meta,
    names::nameless,
    scalar,
};

pub(super) const SERVER_GROUP: Shape =
    Shape { path: "server_group", keys: &["name", "health", "description", "tags", "member"] };
const MEMBER_KEYS: &[&str] = &[
    "address",
    "port",
    "weight",
    "name",
    "enabled",
    "backup",
    "zone",
    "monitor_address",
    "monitor_port",
    "description",
    "tags",
];
/// Of a pool.
pub(super) const POOL_MEMBER: Shape = Shape { path: "pool.member", keys: MEMBER_KEYS };
pub(super) const MEMBER: Shape = Shape { path: "server_group.member", keys: MEMBER_KEYS };

/// Stands before the names of server groups in ids: a pool's own has the pool's name alone.
const KEY: &str = "server_group";

/// Reads those that have a name; pools refer to them.
pub(super) fn read<'a>(file: &Table<'a>, draft: &mut Draft<'a>) {
    for table in file.tables("server_group", &SERVER_GROUP) {
        let named = draft.server_groups.take(&table, &[KEY]);
        draft.places.stand(named.id, &table);
        let key = [KEY, &named.key];
        let references = health::References { codes: Codes::ok(), tls: health::Tls::Own };
        let group = ServerGroup {
            meta: meta::read(&table, named.name),
            members: members(&table, &MEMBER, &key, draft),
            monitor: health::read(&table, &health::SERVER_GROUP, &key, &references, draft),
        };
        draft.objects.server_groups.insert(named.id, Arc::new(group));
    }
}

/// The members in this table; `key` stands before their own in their ids.
pub(super) fn members<'a>(
    table: &Table<'a>,
    shape: &'static Shape,
    key: &[&str],
    draft: &mut Draft<'a>,
) -> BTreeMap<MemberId, Arc<Member>> {
    let mut members = BTreeMap::new();
    for table in table.tables("member", shape) {
        let address = table.require("address").and_then(|value| scalar::address(value, "member"));
        let port = table.require("port").and_then(|value| value.number::<Port>());
        let name = |key| table.get(key).and_then(scalar::name).unwrap_or_default();
        let flag = |key, usual| table.get(key).and_then(|value| value.boolean()).unwrap_or(usual);
        let weight = table.get("weight").and_then(|value| value.number()).unwrap_or(Weight::literal(1));
        let monitor_address = table.get("monitor_address");
        let monitor_address = monitor_address.and_then(|value| scalar::address(value, "monitor address"));
        let monitor_port = table.get("monitor_port").and_then(|value| value.number());
        let (enabled, backup) = (flag("enabled", true), flag("backup", false));
        let (zone, meta): (Name, _) = (name("zone"), meta::read(&table, name("name")));
        let Some(address) = address else { continue };
        let own = port.map(|port| SocketAddr::new(address.get(), port.get()).to_string());
        let id = |own: &str| Id::of_names(&[key, &[own]].concat());
        // Of two with the same address and port, and of those without a port, each is known by where it stands.
        let id = own.map(|own| id(&own)).filter(|id| !members.contains_key(id));
        let id = id.unwrap_or_else(|| Id::of_names(&[key, &[&nameless(&table)]].concat()));
        draft.places.stand(id, &table);
        if port.is_none() {
            draft.places.doubt(id);
        }
        let port = port.unwrap_or(Port::literal(1));
        let member =
            Member { meta, address, port, weight, enabled, backup, zone, monitor_address, monitor_port };
        members.insert(id, Arc::new(member));
    }
    members
}
