//! Members as a list.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use axum::{
    body::Bytes,
    extract::{Path, RawQuery},
    http::{HeaderMap, StatusCode},
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    common::{Answered, App, Caller, read},
    inside::parent_of,
    objects::{answered, made},
};
use crate::api::{
    draft::Draft,
    error::Fault,
    fields::{Fields, missing},
    kinds::{member::Member, pool::Pool},
    list::Query,
    record::Record,
    resources::Resource,
    view::Health,
    write::{self, Answer, Made},
};

/// Puts a list of members in the place of those that a pool has, or, if `additive_only` says so, beside them. Members are
/// told apart by address and port; one that is there already keeps its id, its name and its tags.
pub async fn replace(
    app: App,
    caller: Caller,
    Path(pool): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let pool = parent_of::<Pool>(&app, &pool)?;
    let is_additive = Query::new(query.as_deref().unwrap_or_default()).is_true("additive_only");
    let asked = Caller::asks::<Member>(caller, Member::TRACES[1], None);
    let body = read(&headers, &body).and_then(|body| match body {
        Value::Object(mut body) if body.len() == 1 => match body.remove("members") {
            Some(Value::Array(members)) => Ok(members),
            _ => Err(missing("members")),
        },
        _ => Err(missing("members")),
    });
    let answer = made(&app, asked, Health::new(), move |draft, health| {
        let name = draft.parent::<Pool>("pool_id", pool)?.head().name.clone();
        let before = all(draft, pool, health);
        let mut left: BTreeMap<SocketAddr, Member> =
            draft.records.children::<Member>(pool).map(|member| (member.socket(), member.clone())).collect();
        let mut seen = BTreeSet::new();
        for value in body.clone()? {
            let fields = Fields::of_value(value, "members")?;
            match fields.socket().and_then(|socket| left.remove(&socket)) {
                Some(member) => {
                    seen.insert(member.socket());
                    member.replace(draft, fields)?;
                }
                None if fields.socket().is_some_and(|socket| seen.contains(&socket)) => {
                    return Err(Fault::invalid("Member is in the list more than once."));
                }
                None => drop(Member::create(draft, Some(pool), fields)?),
            }
        }
        if !is_additive {
            left.values().try_for_each(|member| member.delete(draft, false))?;
        }
        let after = all(draft, pool, health);
        let answer = Answer { status: StatusCode::ACCEPTED, body: None };
        Ok(Made { answer, resource: Some((pool, name)), before: Some(before), after: Some(after) })
    });
    answered(answer.await?)
}

/// A pool's members as a trace shows them.
fn all(draft: &Draft<'_>, pool: Uuid, health: &Health) -> Value {
    let ids = draft.records.children::<Member>(pool).map(|member| member.head().id);
    ids.filter_map(|id| write::show::<Member>(draft, id, health)).collect()
}
