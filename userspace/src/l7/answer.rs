//! What happens to a request: a member answers it, or this process does.

use std::{borrow::Cow, sync::Arc};

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use model::{policy::Action, served::Redirect};
use pingora::{
    Result,
    http::{RequestHeader, ResponseHeader},
};

use super::{
    pools::Pool,
    route::{Head, redirect},
    snapshot::Snapshot,
    target,
};

/// A redirect's target is not one that could stand in a header.
const BAD_REQUEST: u16 = 400;
/// There is no pool.
const NO_POOL: u16 = 503;

/// What happens to a request.
pub enum Decision {
    /// This pool's members are asked.
    Forward(Arc<Pool>),
    /// It is answered here: with a status, or with another address.
    Answer(Box<ResponseHeader>),
}

/// What the listener's settings say about a request.
///
/// # Errors
/// None that is known: statuses are checked with the configuration.
pub fn decide(snapshot: &Snapshot, request: &RequestHeader) -> Result<Decision> {
    let host = target::authority(request).and_then(|host| str::from_utf8(host).ok());
    let host = host.map_or_else(|| Cow::from(snapshot.edge.host()), Cow::from);
    let path = target::path(request);
    let elsewhere = |redirect| elsewhere(redirect, &host, &path);
    if let Some(redirect) = &snapshot.http.redirect {
        return elsewhere(redirect);
    }
    let head = Head { host: &host, target: &String::from_utf8_lossy(&path), headers: &request.headers };
    let pool = match snapshot.routes.decide(&head).map(|policy| &policy.action) {
        None => snapshot.default_pool(),
        Some(Action::Pool(id)) => snapshot.pool(*id),
        Some(Action::Reject(status)) => return refuse(status.get()),
        Some(Action::Redirect(redirect)) => return elsewhere(redirect),
    };
    pool.map_or_else(|| refuse(NO_POOL), |pool| Ok(Decision::Forward(pool)))
}

fn elsewhere(redirect: &Redirect, host: &str, path: &[u8]) -> Result<Decision> {
    let Some(location) = redirect::location(redirect, host, path) else { return refuse(BAD_REQUEST) };
    let mut response = empty(redirect.status.get())?;
    response.insert_header(LOCATION, location)?;
    Ok(Decision::Answer(Box::new(response)))
}

fn refuse(status: u16) -> Result<Decision> {
    refusal(status).map(Box::new).map(Decision::Answer)
}

/// An answer that nobody may keep for another time.
///
/// # Errors
/// This is no status.
pub fn refusal(status: u16) -> Result<ResponseHeader> {
    let mut response = empty(status)?;
    response.insert_header(CACHE_CONTROL, "private, no-store")?;
    Ok(response)
}

fn empty(status: u16) -> Result<ResponseHeader> {
    let mut response = ResponseHeader::build(status, Some(2))?;
    response.insert_header(CONTENT_LENGTH, "0")?;
    Ok(response)
}
