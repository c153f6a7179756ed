//! `[[pool]]`.

use std::sync::Arc;

use model::{
    health::Codes,
    id::Id,
    id::kind,
    object::{Pool, PoolKind, ServerGroup, ServerGroupId},
    served::OnDown,
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    health, http,
    http::Speaks,
    meta,
    names::{Named, unknown},
    picking, scalar, server_group,
};

pub(super) const POOL: Shape = Shape {
    path: "pool",
    keys: &[
        "name",
        "protocol",
        "http2",
        "proxy_protocol",
        "tls",
        "algorithm",
        "weights",
        "sticky",
        "slow_start",
        "ejection",
        "health",
        "drain_timeout",
        "on_down",
        "server_group",
        "description",
        "tags",
        "member",
    ],
};

/// Reads the pools, each with its own server group or with one of those that have a name.
pub(super) fn read<'a>(file: &Table<'a>, draft: &mut Draft<'a>) {
    for table in file.tables("pool", &POOL) {
        let named = draft.pools.take(&table, &[]);
        draft.places.stand(named.id, &table);
        let speaks = http::pool(&table, draft);
        let server_group = match table.get("server_group") {
            Some(value) => {
                let reason = "is the server group's; leave this out, or \"server_group\"";
                table.refuse_each(&["health", "member"], reason);
                draft.server_groups.refer(value).unwrap_or_else(unknown)
            }
            None => own_group(&table, &named, speaks.as_ref(), draft),
        };
        let meta = meta::read(&table, named.name);
        let Some(speaks) = speaks else { continue };
        let drain_timeout = table.get("drain_timeout");
        let kind = match speaks {
            Speaks::Layer4 => PoolKind::Layer4 {
                algorithm: picking::layer4(&table),
                drain_timeout: drain_timeout.and_then(scalar::seconds),
            },
            Speaks::Http(http) => {
                if let Some(value) = drain_timeout {
                    value.refuse("is for connections of Layer 4; leave it out");
                }
                PoolKind::Layer7 {
                    algorithm: picking::layer7(&table),
                    http,
                    ejection: picking::ejection(&table),
                }
            }
        };
        let weights = picking::weights(&table, kind.algorithm());
        let on_down = table.get("on_down").and_then(read_on_down).unwrap_or_default();
        let pool = Pool { meta, server_group, weights, on_down, kind };
        draft.objects.pools.insert(named.id, Arc::new(pool));
    }
}

fn read_on_down(value: Value<'_>) -> Option<OnDown> {
    let words = OnDown::ALL.map(|word| (word.name(), word));
    scalar::word(value, "is not something to do", &words)
}

/// The server group that is a pool's own.
fn own_group<'a>(
    table: &Table<'a>,
    pool: &Named<kind::Pool>,
    speaks: Option<&Speaks>,
    draft: &mut Draft<'a>,
) -> ServerGroupId {
    let (codes, tls) = match speaks {
        Some(Speaks::Http(http)) => (Codes::http(), http.tls.clone()),
        Some(Speaks::Layer4) | None => (Codes::ok(), None),
    };
    let references = health::References { codes, tls: health::Tls::OfPool(tls) };
    let key = [&*pool.key];
    let id = Id::of_names(&key);
    draft.places.stand(id, table);
    let group = ServerGroup {
        members: server_group::members(table, &server_group::POOL_MEMBER, &key, draft),
        monitor: health::read(table, &health::POOL, &key, &references, draft),
        ..ServerGroup::default()
    };
    draft.objects.server_groups.insert(id, Arc::new(group));
    id
}
