//! A load balancer that is created with all that is in it: listeners, pools, their members and monitors, at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, shown};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, missing},
    kinds::{
        health_monitor::HealthMonitor, l7_policy::L7Policy, l7_rule::L7Rule, listener::Listener,
        load_balancer::LoadBalancer, member::Member, pool::Pool,
    },
    record::Record,
    view::View,
};

/// Pools by name; within one request each has its own.
type Named = BTreeMap<String, Uuid>;

/// Creates what a request has inside of a load balancer.
pub fn create(
    draft: &mut Draft<'_>,
    load_balancer: Uuid,
    listeners: Vec<Value>,
    pools: Vec<Value>,
) -> Result<(), Fault> {
    let mut named = Named::new();
    for value in pools {
        pool(draft, load_balancer, Fields::of_value(value, "pools")?, &mut named)?;
    }
    for value in listeners {
        let mut fields = Fields::of_value(value, "listeners")?;
        if let Some(inner) = fields.object("default_pool")?.value() {
            let id = known_or_new(draft, load_balancer, "default_pool", inner, &mut named)?;
            fields.insert("default_pool_id", id.to_string());
        }
        fields.insert("loadbalancer_id", load_balancer.to_string());
        let policies = fields.list("l7policies")?.value().unwrap_or_default();
        let listener = Listener::create(draft, None, fields)?;
        for value in policies {
            let mut fields = Fields::of_value(value, "l7policies")?;
            if let Some(inner) = fields.object("redirect_pool")?.value() {
                let id = known_or_new(draft, load_balancer, "redirect_pool", inner, &mut named)?;
                fields.insert("redirect_pool_id", id.to_string());
            }
            fields.insert("listener_id", listener.to_string());
            L7Policy::create(draft, None, fields)?;
        }
    }
    Ok(())
}

/// The pool of the request that a name alone means, or another one, created.
fn known_or_new(
    draft: &mut Draft<'_>,
    load_balancer: Uuid,
    attribute: &str,
    mut fields: Fields,
    named: &mut Named,
) -> Result<Uuid, Fault> {
    let name =
        fields.text("name", super::MOST)?.value().ok_or_else(|| missing(format!("{attribute}.name")))?;
    match (named.get(&name), fields.is_empty()) {
        (Some(id), true) => Ok(*id),
        (None, true) => Err(Fault::value(attribute, &name, "No pool of the request has this name.")),
        (_, false) => {
            fields.insert("name", name);
            pool(draft, load_balancer, fields, named)
        }
    }
}

/// Creates one pool with its members and its monitor.
fn pool(
    draft: &mut Draft<'_>,
    load_balancer: Uuid,
    mut fields: Fields,
    named: &mut Named,
) -> Result<Uuid, Fault> {
    let members = fields.list("members")?.value().unwrap_or_default();
    let monitor = fields.object("healthmonitor")?.value();
    fields.insert("loadbalancer_id", load_balancer.to_string());
    let id = Pool::create(draft, None, fields)?;
    let name = draft.records.find::<Pool>(id)?.head().name.clone();
    if name.is_empty() {
        return Err(missing("pools.name"));
    }
    if named.insert(name.clone(), id).is_some() {
        return Err(Fault::value("pools.name", &name, "Each pool of the request needs a name of its own."));
    }
    for value in members {
        Member::create(draft, Some(id), Fields::of_value(value, "members")?)?;
    }
    if let Some(mut monitor) = monitor {
        monitor.insert("pool_id", id.to_string());
        HealthMonitor::create(draft, None, monitor)?;
    }
    Ok(id)
}

/// A load balancer with all that is in it, as it is told when it has been created.
pub fn tell(load_balancer: &LoadBalancer, view: &View<'_>) -> Map<String, Value> {
    let id = load_balancer.head().id;
    let pool = |pool: &Pool| {
        let mut object = shown(pool, view);
        let members = view.records.children::<Member>(pool.head().id).map(|member| shown(member, view));
        object.insert("members".into(), members.collect());
        let monitor = view.records.children::<HealthMonitor>(pool.head().id).next();
        object.insert("healthmonitor".into(), json!(monitor.map(|monitor| shown(monitor, view))));
        object
    };
    let listeners = view.records.children::<Listener>(id).map(|listener| {
        let mut object = shown(listener, view);
        let default = listener.default_pool.and_then(|id| view.records.get::<Pool>(id));
        object.insert("default_pool".into(), json!(default.map(pool)));
        let policies = L7Policy::of(view.records, listener.head().id).into_iter().map(|policy| {
            let mut object = shown(policy, view);
            let rules = view.records.children::<L7Rule>(policy.head().id).map(|rule| shown(rule, view));
            object.insert("rules".into(), rules.collect());
            object
        });
        object.insert("l7policies".into(), policies.collect());
        object
    });
    let mut object = shown(load_balancer, view);
    object.insert("listeners".into(), listeners.collect());
    object.insert("pools".into(), view.records.children::<Pool>(id).map(pool).collect());
    object
}
