//! Members, which are below their pool.

use axum::{
    body::Bytes,
    extract::{OriginalUri, Path, RawQuery},
    http::HeaderMap,
};
use uuid::Uuid;

use super::{
    common::{Answered, App, Caller, id_of, read},
    objects::{created, deleted, listed, of_parent, show_one, updated},
};
use crate::api::{
    error::Fault,
    kinds::{member::Member, pool::Pool},
    shared::Shared,
};

/// The pool in a path under which members are.
pub fn pool_of(app: &Shared, text: &str) -> Result<Uuid, Fault> {
    let id = id_of::<Pool>(text)?;
    app.state().records.find::<Pool>(id)?;
    Ok(id)
}

pub async fn list(
    app: App,
    Path(pool): Path<String>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    let pool = pool_of(&app, &pool)?;
    listed::<Member>(&app, &headers, &uri, query, |member| member.pool == pool).await
}

pub async fn create(
    app: App,
    caller: Caller,
    Path(pool): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let pool = pool_of(&app, &pool)?;
    created::<Member>(&app, caller, Some(pool), read(&headers, &body)).await
}

pub async fn show(app: App, Path((pool, id)): Path<(String, String)>, query: RawQuery) -> Answered {
    let (pool, member) = (pool_of(&app, &pool)?, id_of::<Member>(&id)?);
    of_parent(app.state().records.find::<Member>(member)?, Some(pool))?;
    show_one::<Member>(app, Path(id), query).await
}

pub async fn update(
    app: App,
    caller: Caller,
    Path((pool, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let (pool, id) = (pool_of(&app, &pool)?, id_of::<Member>(&id)?);
    updated::<Member>(&app, caller, id, Some(pool), read(&headers, &body)).await
}

pub async fn delete(app: App, caller: Caller, Path((pool, id)): Path<(String, String)>) -> Answered {
    let (pool, id) = (pool_of(&app, &pool)?, id_of::<Member>(&id)?);
    deleted::<Member>(&app, caller, id, Some(pool), false).await
}
