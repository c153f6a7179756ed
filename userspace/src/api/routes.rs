//! Paths and methods.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, header},
    middleware::{self, Next},
    response::Response,
    routing::get,
};

use super::{
    error::Fault,
    handlers::{members, objects, others, status},
    kinds::{health_monitor::HealthMonitor, listener::Listener, load_balancer::LoadBalancer, pool::Pool},
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
        .route("/loadbalancers/{id}/status", get(status::show))
        .route("/loadbalancers/{id}/statuses", get(status::show))
        .route("/pools/{pool}/members", get(members::list).post(members::create).put(members::replace))
        .route("/pools/{pool}/members/{id}", get(members::show).put(members::update).delete(members::delete))
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
