//! `[api]`: where clients reach the API, and which VIPs it may give away.

use model::{
    control::{Control, Listen, VipPool},
    host::{Host, overlap},
    value::Network,
};

use super::{
    document::{Shape, Table, Value},
    scalar,
};

pub(super) const API: Shape = Shape { path: "api", keys: &["listen", "vip_pool"] };
pub(super) const VIP_POOL: Shape = Shape { path: "api.vip_pool", keys: &["name", "addresses"] };

/// What the table says; none if it is not there, or says not where to listen.
pub(super) fn read(file: &Table<'_>, host: &Host) -> Option<Control> {
    let table = file.table("api", &API)?;
    let wanted = "an address with a port in quotes, or the path of a socket";
    let listen = table.require("listen").and_then(|value| value.parse(wanted, Listen::new));
    let vip_pools = vip_pools(&table, host);
    Some(Control { listen: listen?, vip_pools })
}

fn vip_pools(table: &Table<'_>, host: &Host) -> Vec<VipPool> {
    let mut pools: Vec<(VipPool, Value<'_>)> = Vec::new();
    for table in table.tables("vip_pool", &VIP_POOL) {
        let name = table.require("name").and_then(|value| Some((scalar::name(value)?, value)));
        let range = table.require("addresses").and_then(|value| Some((scalar::local_range(value)?, value)));
        let (Some((name, at)), Some((range, value))) = (name, range) else { continue };
        if let Some((_, other)) = pools.iter().find(|(other, _)| other.name == name) {
            at.refuse(format!(
                "{:?} is taken on line {}; give each its own name",
                name.as_str(),
                other.line()
            ));
        }
        if let Some((other, at)) = pools.iter().find(|(other, _)| overlap(other.range, range).is_some()) {
            let line = at.line();
            value.refuse(format!(
                "{range} overlaps {} on line {line}; give each address to one pool",
                other.range
            ));
        }
        if let Some(local) = locals(host).find(|local| overlap(*local, range).is_some()) {
            value.refuse(format!("{range} overlaps the local addresses {local}; a VIP must not be one"));
        }
        pools.push((VipPool { name, range }, value));
    }
    pools.into_iter().map(|(pool, _)| pool).collect()
}

fn locals(host: &Host) -> impl Iterator<Item = Network> {
    host.local_addresses.ranges().iter().copied()
}
