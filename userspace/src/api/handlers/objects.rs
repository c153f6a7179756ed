//! Objects of every kind: listed, shown, created, changed, deleted.

use axum::{
    body::Bytes,
    extract::{OriginalUri, Path, RawQuery},
    http::{HeaderMap, StatusCode, Uri},
    response::IntoResponse,
};
use model::object::PoolId;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::common::{Answered, App, Caller, base, id_of, json_answer, ok, read};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::Fields,
    kinds::{
        load_balancer::LoadBalancer,
        member::Member,
        pool::{Pool, served_as},
    },
    list::Query,
    record::Record,
    records::Records,
    resources::{Resource, shown},
    shared::{Message, Shared},
    trace::Asked,
    view::{Health, View},
    write::{Answer, Made, Write, show, tell},
};

/// The pools whose members' health matters for an object.
pub fn pools<T: Resource>(records: &Records, id: Uuid) -> Vec<PoolId> {
    let pools: Vec<&Pool> = match T::KIND {
        LoadBalancer::KIND => records.children::<Pool>(id).collect(),
        Pool::KIND => records.get::<Pool>(id).into_iter().collect(),
        Member::KIND => records
            .get::<Member>(id)
            .and_then(|member| records.get::<Pool>(member.pool))
            .into_iter()
            .collect(),
        _ => Vec::new(),
    };
    pools.into_iter().flat_map(served_as).collect()
}

pub async fn health<T: Resource>(app: &Shared, id: Uuid) -> Result<Health, Fault> {
    app.health(pools::<T>(&app.state().records, id)).await
}

pub async fn list<T: Resource>(
    app: App,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    listed::<T>(&app, &headers, &uri, query, |_| true).await
}

pub async fn listed<T: Resource>(
    app: &Shared,
    headers: &HeaderMap,
    uri: &Uri,
    query: Option<String>,
    is_wanted: impl Fn(&T) -> bool,
) -> Answered {
    let state = app.state();
    let mut query = Query::new(query.as_deref().unwrap_or_default());
    let with_member = match T::KIND {
        LoadBalancer::KIND => query.take("member_address"),
        _ => None,
    };
    let all: Vec<PoolId> = match T::KIND {
        LoadBalancer::KIND | Pool::KIND | Member::KIND => {
            state.records.all::<Pool>().flat_map(served_as).collect()
        }
        _ => Vec::new(),
    };
    let health = app.health(all).await?;
    let view = View { records: &state.records, health: &health, control: &state.control };
    let has_member = |record: &T| {
        with_member.as_ref().is_none_or(|address| {
            let pools = state.records.children::<Pool>(record.head().id);
            let mut members = pools.flat_map(|pool| state.records.children::<Member>(pool.head().id));
            members.any(|member| address.parse() == Ok(member.socket().ip()))
        })
    };
    let wanted = state.records.all::<T>().filter(|record| is_wanted(record) && has_member(record));
    let objects = wanted.map(|record| shown(record, &view)).collect();
    let path = format!("{}{}", base(headers), uri.path());
    ok(&query.page(objects, &shown(&T::sample(), &view), T::MANY, &path)?)
}

pub async fn show_one<T: Resource>(app: App, Path(id): Path<String>, RawQuery(query): RawQuery) -> Answered {
    let id = id_of::<T>(&id)?;
    let health = health::<T>(&app, id).await?;
    let state = app.state();
    let view = View { records: &state.records, health: &health, control: &state.control };
    let object = shown(state.records.find::<T>(id)?, &view);
    let query = Query::new(query.as_deref().unwrap_or_default());
    ok(&wrapped::<T>(query.only(object).into()))
}

pub async fn create<T: Resource>(app: App, caller: Caller, headers: HeaderMap, body: Bytes) -> Answered {
    created::<T>(&app, caller, None, read(&headers, &body)).await
}

pub async fn created<T: Resource>(
    app: &Shared,
    caller: Caller,
    parent: Option<Uuid>,
    body: Result<Value, Fault>,
) -> Answered {
    let asked = caller.asks::<T>(T::TRACES[0], None);
    let fields = body.and_then(fields_of::<T>);
    let answer = made(app, asked, Health::new(), move |draft, health| {
        let id = T::create(draft, parent, fields.clone()?)?;
        let after = show::<T>(draft, id, health);
        let mut told = tell::<T>(draft, id, health);
        told.iter_mut().for_each(created_just_now);
        let name = draft.records.find::<T>(id)?.head().name.clone();
        let answer = Answer { status: StatusCode::CREATED, body: told.map(wrapped::<T>) };
        Ok(Made { answer, resource: Some((id, name)), before: None, after })
    });
    answered(answer.await?)
}

/// The attributes in a body.
fn fields_of<T: Resource>(body: Value) -> Result<Fields, Fault> {
    if T::IS_WRAPPED { Fields::of_body(body, T::KIND) } else { Fields::of_bare_body(body, T::KIND) }
}

/// A body with an object.
fn wrapped<T: Resource>(object: Value) -> Value {
    if T::IS_WRAPPED { json!({ T::KIND: object }) } else { object }
}

/// What clients expect of an object that has been created, and of those inside.
fn created_just_now(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (name, status) in [("provisioning_status", "PENDING_CREATE"), ("operating_status", "OFFLINE")]
            {
                if let Some(place) = object.get_mut(name) {
                    *place = status.into();
                }
            }
            object.values_mut().for_each(created_just_now);
        }
        Value::Array(list) => list.iter_mut().for_each(created_just_now),
        _ => {}
    }
}

fn set(object: &mut Option<Value>, name: &str, value: &str) {
    if let Some(Value::Object(object)) = object {
        object.insert(name.into(), value.into());
    }
}

pub async fn update<T: Resource>(
    app: App,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    updated::<T>(&app, caller, id_of::<T>(&id)?, None, read(&headers, &body)).await
}

pub async fn updated<T: Resource>(
    app: &Shared,
    caller: Caller,
    id: Uuid,
    parent: Option<Uuid>,
    body: Result<Value, Fault>,
) -> Answered {
    let asked = caller.asks::<T>(T::TRACES[1], Some(id));
    let fields = body.and_then(fields_of::<T>);
    let health = health::<T>(app, id).await?;
    let answer = made(app, asked, health, move |draft, health| {
        let record = draft.edit::<T>(id)?;
        of_parent(&record, parent)?;
        let name = record.head().name.clone();
        let before = show::<T>(draft, id, health);
        record.change(draft, fields.clone()?)?;
        let after = show::<T>(draft, id, health);
        let mut told = after.clone();
        set(&mut told, "provisioning_status", "PENDING_UPDATE");
        let answer = Answer { status: StatusCode::OK, body: told.map(wrapped::<T>) };
        Ok(Made { answer, resource: Some((id, name)), before, after })
    });
    answered(answer.await?)
}

/// What is in another object than the path says is not there.
pub fn of_parent<T: Resource>(record: &T, parent: Option<Uuid>) -> Result<(), Fault> {
    match parent {
        Some(_) if record.parent() != parent => Err(Fault::not_found(T::NAME, record.head().id)),
        _ => Ok(()),
    }
}

pub async fn delete<T: Resource>(
    app: App,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answered {
    let cascade = Query::new(query.as_deref().unwrap_or_default()).is_true("cascade");
    deleted::<T>(&app, caller, id_of::<T>(&id)?, None, cascade).await
}

pub async fn deleted<T: Resource>(
    app: &Shared,
    caller: Caller,
    id: Uuid,
    parent: Option<Uuid>,
    cascade: bool,
) -> Answered {
    let asked = caller.asks::<T>(T::TRACES[2], Some(id));
    let answer = made(app, asked, Health::new(), move |draft, health| {
        let record = draft.edit::<T>(id)?;
        of_parent(&record, parent)?;
        let before = show::<T>(draft, id, health);
        record.delete(draft, cascade)?;
        let answer = Answer { status: StatusCode::NO_CONTENT, body: None };
        Ok(Made { answer, resource: Some((id, record.head().name.clone())), before, after: None })
    });
    answered(answer.await?)
}

/// There is nothing to fail over to or from: whatever the load balancer has is in force at every answer, so nothing is done.
pub async fn fail_over(app: App, caller: Caller, Path(id): Path<String>) -> Answered {
    let id = id_of::<LoadBalancer>(&id)?;
    let asked = caller.asks::<LoadBalancer>("failover loadbalancer", Some(id));
    let answer = made(&app, asked, Health::new(), move |draft, _| {
        let name = draft.edit::<LoadBalancer>(id)?.head().name.clone();
        let answer = Answer { status: StatusCode::ACCEPTED, body: None };
        Ok(Made { answer, resource: Some((id, name)), before: None, after: None })
    });
    answered(answer.await?)
}

/// Has the loop make a change.
pub async fn made(
    app: &Shared,
    asked: Asked,
    health: Health,
    make: impl Fn(&mut Draft<'_>, &Health) -> Result<Made, Fault> + Send + 'static,
) -> Result<Answer, Fault> {
    let (reply, answer) = oneshot::channel();
    app.send(Message::Write(Write { asked, make: Box::new(make), health, reply }))?;
    answer.await.map_err(|_| Fault::unavailable("The daemon is ending."))?
}

pub fn answered(Answer { status, body }: Answer) -> Answered {
    Ok(match body {
        Some(body) => json_answer(status, &body),
        None => (status, [("x-openstack-request-id", format!("req-{}", Uuid::new_v4()))]).into_response(),
    })
}
