//! The status tree: a load balancer with all that is in it, and how each is; and what listeners have had to do.

use std::collections::BTreeSet;

use axum::extract::Path;
use model::id::Id;
use serde_json::{Map, Value, json};

use super::{
    common::{Answered, App, id_of, ok},
    objects::health,
};
use crate::api::{
    kinds::{
        health_monitor::HealthMonitor, l7_policy::L7Policy, listener::Listener, load_balancer::LoadBalancer,
        member::Member, pool::Pool,
    },
    record::Record,
    resources::{Resource, shown},
    view::View,
};

/// A load balancer with all that is in it, and how each is.
pub async fn show(app: App, Path(id): Path<String>) -> Answered {
    let id = id_of::<LoadBalancer>(&id)?;
    let health = health::<LoadBalancer>(&app, id).await?;
    let state = app.state();
    let records = &state.records;
    let view = View { records, health: &health, control: &state.control };
    let load_balancer = records.find::<LoadBalancer>(id)?;
    let pool = |pool: &Pool| {
        let mut tree = brief(pool, &view);
        let members = records.children::<Member>(pool.head().id).map(|member| {
            let mut tree = brief(member, &view);
            tree.insert("address".into(), json!(member.socket().ip()));
            tree.insert("protocol_port".into(), json!(member.socket().port()));
            tree
        });
        tree.insert("members".into(), members.collect::<Vec<_>>().into());
        let monitor = records.children::<HealthMonitor>(pool.head().id).next();
        let monitor = monitor.map(|monitor| {
            let mut tree = brief(monitor, &view);
            tree.insert("type".into(), shown(monitor, &view)["type"].clone());
            tree
        });
        tree.insert("health_monitor".into(), json!(monitor.unwrap_or_default()));
        tree
    };
    let listeners = records.children::<Listener>(id).map(|listener| {
        let mut tree = brief(listener, &view);
        let policies = L7Policy::of(records, listener.head().id).into_iter();
        let ids = listener.default_pool.into_iter().chain(policies.filter_map(|policy| policy.action.pool()));
        let ids = ids.collect::<BTreeSet<_>>().into_iter();
        let pools = ids.filter_map(|id| records.get::<Pool>(id)).map(pool);
        tree.insert("pools".into(), pools.collect::<Vec<_>>().into());
        tree
    });
    let mut tree = brief(load_balancer, &view);
    tree.insert("listeners".into(), listeners.collect::<Vec<_>>().into());
    // Those that no listener uses, too.
    tree.insert("pools".into(), records.children::<Pool>(id).map(pool).collect::<Vec<_>>().into());
    ok(&json!({ "statuses": { "loadbalancer": tree } }))
}

/// What a listener has had to do.
pub async fn of_listener(app: App, Path(id): Path<String>) -> Answered {
    let id = id_of::<Listener>(&id)?;
    app.state().records.find::<Listener>(id)?;
    ok(&json!({ "stats": app.stats([Id::from_uuid(id)].into()).await? }))
}

/// What all listeners of a load balancer have had to do.
pub async fn of_load_balancer(app: App, Path(id): Path<String>) -> Answered {
    let id = id_of::<LoadBalancer>(&id)?;
    let state = app.state();
    state.records.find::<LoadBalancer>(id)?;
    let listeners = state.records.children::<Listener>(id).map(|it| Id::from_uuid(it.head().id));
    ok(&json!({ "stats": app.stats(listeners.collect()).await? }))
}

/// What a status tree says of each object.
pub fn brief<T: Resource>(record: &T, view: &View<'_>) -> Map<String, Value> {
    let head = record.head();
    let pairs = [
        ("id", json!(head.id)),
        ("name", json!(head.name)),
        ("operating_status", json!(record.operating_status(view))),
        ("provisioning_status", json!("ACTIVE")),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
