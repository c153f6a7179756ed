//! What happens to a request: a member answers it, or this process does.

use std::sync::Arc;

use http::{HeaderValue, header};
use pingora::http::{RequestHeader, ResponseHeader};

use super::{
    exchange,
    route::{Head, redirect},
    snapshot::{Pool, Snapshot},
};
use crate::model::policy::{Action, Redirect};

/// A redirect's target is not one that could stand in a header.
const BAD_REQUEST: u16 = 400;
/// There is no pool.
const NO_POOL: u16 = 503;

/// What happens to a request.
pub enum Decision {
    /// This pool's members are asked.
    Forward(Arc<Pool>),
    /// It is answered with this status.
    Status(u16),
    /// It is answered with another address.
    Elsewhere(Box<ResponseHeader>),
}

/// What the listener's settings say about a request.
pub fn decide(snapshot: &Snapshot, request: &RequestHeader) -> Decision {
    let target = String::from_utf8_lossy(exchange::target(request));
    let head = Head { host: host(request), target: &target, headers: &request.headers };
    if let Some(redirect) = &snapshot.http.redirect {
        return elsewhere(redirect, &head);
    }
    let pool = match snapshot.routes.decide(&head).map(|policy| &policy.action) {
        None => snapshot.default_pool(),
        Some(Action::Pool(name)) => snapshot.pools.get(name),
        Some(Action::Reject(status)) => return Decision::Status(*status),
        Some(Action::Redirect(redirect)) => return elsewhere(redirect, &head),
    };
    pool.map_or(Decision::Status(NO_POOL), |pool| Decision::Forward(pool.clone()))
}

fn elsewhere(redirect: &Redirect, head: &Head<'_>) -> Decision {
    let response = redirect::location(redirect, head).and_then(|location| {
        let mut response = ResponseHeader::build(redirect.status, Some(2)).ok()?;
        response.insert_header(header::LOCATION, location).ok()?;
        response.insert_header(header::CONTENT_LENGTH, HeaderValue::from_static("0")).ok()?;
        Some(response)
    });
    response.map_or(Decision::Status(BAD_REQUEST), |response| Decision::Elsewhere(Box::new(response)))
}

/// Whom the request is for, as it says; empty if it does not.
fn host(request: &RequestHeader) -> &str {
    let said = request.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    request.uri.authority().map(|authority| authority.as_str()).or(said).unwrap_or_default()
}
