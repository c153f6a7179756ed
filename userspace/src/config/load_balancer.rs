//! `[[load_balancer]]`.

use std::sync::Arc;

use model::object::{AccessLogId, LoadBalancer};

use super::{
    document::{Shape, Table},
    draft::Draft,
    edge,
    listener::{self, LISTENER},
    meta,
    names::Names,
    scalar,
};

pub(super) const LOAD_BALANCER: Shape = Shape {
    path: "load_balancer",
    keys: &["name", "vip", "bandwidth_mbit", "access_log", "description", "tags", "listener"],
};

/// Reads the load balancers with their listeners.
pub(super) fn read<'a>(file: &Table<'a>, draft: &mut Draft<'a>) {
    let mut names = Names::default();
    for table in file.tables("load_balancer", &LOAD_BALANCER) {
        let named = names.take(&table, &[]);
        draft.places.stand(named.id, &table);
        let vips = table.require("vip").map(|value| value.string_or_list()).unwrap_or_default();
        let vips = vips.into_iter().filter_map(|value| Some((scalar::address(value, "VIP")?, value)));
        let (vips, values) = vips.unzip();
        draft.places.list(named.id, "vip", values);
        let access_log = edge::access_log(&table).map(|log| {
            let id = AccessLogId::of_names(&[&named.key]);
            draft.objects.access_logs.insert(id, Arc::new(log));
            id
        });
        let load_balancer = LoadBalancer {
            meta: meta::read(&table, named.name.clone()),
            vips,
            bandwidth: table.get("bandwidth_mbit").and_then(|value| value.number()),
            access_log,
        };
        draft.objects.load_balancers.insert(named.id, Arc::new(load_balancer));

        let mut siblings = Names::default();
        // Each may name the others.
        let tables = table.tables("listener", &LISTENER).into_iter();
        let listeners: Vec<_> = tables.map(|table| (siblings.take(&table, &[&named.key]), table)).collect();
        for (own, table) in listeners {
            draft.places.stand(own.id, &table);
            listener::read(&table, &named, own, &siblings, draft);
        }
    }
}
