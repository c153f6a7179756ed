//! What is read and is no object: versions, VIP pools, traces.

use axum::{
    extract::{OriginalUri, RawQuery, State as Given},
    http::{HeaderMap, Uri},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use super::common::{Answered, App, base, ok};
use crate::{
    api::{discovery, error::Fault, kinds::load_balancer::PROVIDERS, list::Query, networks},
    store::TraceFilter,
};

/// The most traces of one answer.
const TRACES: u32 = 1000;

pub async fn versions(headers: HeaderMap) -> Answered {
    ok(&discovery::versions(&base(&headers)))
}

pub async fn version(headers: HeaderMap) -> Answered {
    ok(&discovery::version(&base(&headers)))
}

pub async fn providers() -> Answered {
    let provider = |name| json!({ "name": name, "description": "XDP at Layer 4, Pingora at Layer 7" });
    let all = PROVIDERS.map(provider);
    ok(&json!({ "providers": all, "providers_links": [] }))
}

pub async fn list_networks(
    app: App,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    neutron("networks", networks::networks(app.state().control()), &headers, &uri, query)
}

pub async fn list_subnets(
    app: App,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    neutron("subnets", networks::subnets(app.state().control()), &headers, &uri, query)
}

pub fn neutron(
    many: &'static str,
    all: Vec<Value>,
    headers: &HeaderMap,
    uri: &Uri,
    query: Option<String>,
) -> Answered {
    let query = Query::new(query.as_deref().unwrap_or_default());
    let objects: Vec<_> = all.into_iter().filter_map(|value| value.as_object().cloned()).collect();
    let Some(known) = objects.first().cloned() else { return ok(&json!({ many: [] })) };
    ok(&query.page(objects, &known, many, &format!("{}{}", base(headers), uri.path()))?)
}

/// There are none: who asks has to be content with the VIP.
pub async fn floating_ips() -> Answered {
    ok(&json!({ "floatingips": [] }))
}

/// What was done.
pub async fn traces(app: App, RawQuery(query): RawQuery) -> Answered {
    let mut query = Query::new(query.as_deref().unwrap_or_default());
    let number = |text: Option<String>, name| {
        let read = text
            .map(|text| text.parse().map_err(|_| Fault::value(name, text, "Give milliseconds since 1970.")));
        read.transpose()
    };
    let filter = TraceFilter {
        name: query.take("trace_name"),
        resource_type: query.take("resource_type"),
        resource_id: query.take("resource_id"),
        resource_name: query.take("resource_name"),
        user: query.take("user"),
        rating: query.take("trace_rating"),
        project: None,
        from: number(query.take("from"), "from")?,
        to: number(query.take("to"), "to")?,
        limit: match query.take("limit") {
            None => TRACES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=TRACES).contains(limit))
                .ok_or_else(|| Fault::value("limit", text, format!("Use 1 to {TRACES}.")))?,
        },
    };
    query.end()?;
    let Given(app) = app;
    let found = spawn_blocking(move || app.with_store(|store| store.traces(&filter))).await;
    let found = found.map_err(|_| Fault::unavailable("The daemon is ending."))?;
    let found = found.map_err(|error| Fault::unavailable(error.to_string()))?;
    let traces: Vec<Value> =
        found.iter().filter_map(|trace| serde_json::from_str(&trace.body).ok()).collect();
    ok(&json!({ "traces": traces }))
}
