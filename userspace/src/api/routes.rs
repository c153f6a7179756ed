//! Paths and methods.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, put},
};

use super::{
    error::Fault,
    handlers::{inside, members, objects, others, quotas, status},
    kinds::{
        certificate::Certificate, health_monitor::HealthMonitor, l7_policy::L7Policy, l7_rule::L7Rule,
        listener::Listener, load_balancer::LoadBalancer, member::Member, pool::Pool, whitelist::Whitelist,
    },
    resources::Resource,
    shared::Shared,
};

/// The most bytes of a request's body.
pub const MOST: usize = 1 << 20;

/// Everything that can be asked.
pub fn routes(shared: Arc<Shared>) -> Router {
    let lbaas = Router::new()
        .merge(resource::<LoadBalancer>())
        .merge(resource::<Listener>())
        .merge(resource::<Pool>())
        .merge(resource::<HealthMonitor>())
        .merge(resource::<Certificate>())
        .route("/loadbalancers/{id}/status", get(status::show))
        .route("/loadbalancers/{id}/statuses", get(status::show))
        .route("/loadbalancers/{id}/stats", get(status::of_load_balancer))
        .route("/listeners/{id}/stats", get(status::of_listener))
        .merge(resource::<L7Policy>())
        .merge(inside::<Pool, Member>())
        .route("/pools/{parent}/members", put(members::replace))
        .merge(inside::<L7Policy, L7Rule>())
        .merge(resource::<Whitelist>())
        .route("/loadbalancers/{id}/failover", put(objects::fail_over))
        .route("/quotas", get(quotas::list))
        .route("/quotas/defaults", get(quotas::defaults))
        .route("/quotas/{project}", get(quotas::show).put(quotas::update).delete(quotas::delete))
        .route("/quotas/{project}/default", get(quotas::defaults))
        .route("/providers", get(others::providers))
        .route("/traces", get(others::traces));
    let router = Router::new()
        .route("/", get(others::versions))
        .route("/v2.0/networks", get(others::list_networks))
        .route("/v2.0/subnets", get(others::list_subnets))
        .route("/v2.0/floatingips", get(others::floating_ips));
    ["/v2", "/v2.0"]
        .into_iter()
        .fold(router, |router, prefix| {
            router
                .route(prefix, get(others::version))
                .route(&format!("{prefix}/"), get(others::version))
                .route(&format!("{prefix}/lbaas"), get(others::version))
                .nest(&format!("{prefix}/lbaas"), lbaas.clone())
        })
        .fallback(|| async { Fault::no_path() })
        .method_not_allowed_fallback(|| async { Fault::no_method() })
        .layer(middleware::from_fn(only_json))
        .with_state(shared)
}

/// The paths of a kind of object that is asked for by its id alone.
fn resource<T: Resource>() -> Router<Arc<Shared>> {
    Router::new().route(&format!("/{}", T::MANY), get(objects::list::<T>).post(objects::create::<T>)).route(
        &format!("/{}/{{id}}", T::MANY),
        get(objects::show_one::<T>).put(objects::update::<T>).delete(objects::delete::<T>),
    )
}

/// The paths of a kind of object that is below another one's.
fn inside<P: Resource, T: Resource>() -> Router<Arc<Shared>> {
    let all = format!("/{}/{{parent}}/{}", P::MANY, T::MANY);
    Router::new().route(&all, get(inside::list::<P, T>).post(inside::create::<P, T>)).route(
        &format!("{all}/{{id}}"),
        get(inside::show::<P, T>).put(inside::update::<P, T>).delete(inside::delete::<P, T>),
    )
}

/// HEAD is not answered, as Octavia does; and what is not JSON is neither read nor written.
async fn only_json(request: Request, next: Next) -> Result<Response, Fault> {
    if request.method() == Method::HEAD {
        return Err(Fault::no_method());
    }
    let accepts =
        request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    if !["json", "*/*", "application/*"].iter().any(|good| accepts.contains(good)) {
        return Err(Fault::request(StatusCode::NOT_ACCEPTABLE, "Answers are application/json."));
    }
    Ok(next.run(request).await)
}
