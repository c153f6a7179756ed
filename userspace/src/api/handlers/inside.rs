//! Objects that are below another one's path: members of a pool, rules of a policy.

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
use crate::api::{error::Fault, resources::Resource, shared::Shared};

/// The object in a path under which others are.
pub fn parent_of<P: Resource>(app: &Shared, text: &str) -> Result<Uuid, Fault> {
    let id = id_of::<P>(text)?;
    app.state().records.find::<P>(id)?;
    Ok(id)
}

pub async fn list<P: Resource, T: Resource>(
    app: App,
    Path(parent): Path<String>,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    let parent = parent_of::<P>(&app, &parent)?;
    listed::<T>(&app, &headers, &uri, query, |one| one.parent() == Some(parent)).await
}

pub async fn create<P: Resource, T: Resource>(
    app: App,
    caller: Caller,
    Path(parent): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let parent = parent_of::<P>(&app, &parent)?;
    created::<T>(&app, caller, Some(parent), read(&headers, &body)).await
}

pub async fn show<P: Resource, T: Resource>(
    app: App,
    Path((parent, id)): Path<(String, String)>,
    query: RawQuery,
) -> Answered {
    let (parent, one) = (parent_of::<P>(&app, &parent)?, id_of::<T>(&id)?);
    of_parent(app.state().records.find::<T>(one)?, Some(parent))?;
    show_one::<T>(app, Path(id), query).await
}

pub async fn update<P: Resource, T: Resource>(
    app: App,
    caller: Caller,
    Path((parent, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let (parent, id) = (parent_of::<P>(&app, &parent)?, id_of::<T>(&id)?);
    updated::<T>(&app, caller, id, Some(parent), read(&headers, &body)).await
}

pub async fn delete<P: Resource, T: Resource>(
    app: App,
    caller: Caller,
    Path((parent, id)): Path<(String, String)>,
) -> Answered {
    let (parent, id) = (parent_of::<P>(&app, &parent)?, id_of::<T>(&id)?);
    deleted::<T>(&app, caller, id, Some(parent), false).await
}
