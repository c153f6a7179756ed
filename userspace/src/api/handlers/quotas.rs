//! Quotas: how many objects of each kind a project may have.

use axum::{
    body::Bytes,
    extract::{OriginalUri, Path, RawQuery},
    http::{HeaderMap, StatusCode},
};
use serde_json::{Map, Value, json};

use super::{
    common::{Answered, App, Caller, base, ok, read},
    objects::{answered, made},
};
use crate::api::{
    error::Fault,
    fields::{Fields, Given},
    kinds::quota::{LIMITED, Quota},
    list::Query,
    record::{Head, Record},
    view::Health,
    write::{Answer, Made},
};

/// The most characters of a project's id.
const PROJECT: usize = 255;

/// What a project may have; `own` is what was set for it.
fn shown(own: Option<&Quota>) -> Map<String, Value> {
    let all = LIMITED.iter().flat_map(|limited| limited.names.iter().map(move |name| (limited.kind, name)));
    let limit = |kind| Quota::limit(own, kind).map_or(-1, i64::from);
    all.map(|(kind, name)| ((*name).to_owned(), json!(limit(kind)))).collect()
}

/// Those that were set, each with its project.
pub async fn list(
    app: App,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Answered {
    let of = |project: &str, own: Option<&Quota>| {
        let mut object = shown(own);
        for name in ["id", "project_id", "tenant_id"] {
            object.insert(name.into(), json!(project));
        }
        object
    };
    let state = app.state();
    let all = state.records.all::<Quota>().map(|quota| of(&quota.head.project, Some(quota))).collect();
    let query = Query::new(query.as_deref().unwrap_or_default());
    ok(&query.page(all, &of("", None), "quotas", &format!("{}{}", base(&headers), uri.path()))?)
}

/// What a project may have for which nothing was set.
pub async fn defaults() -> Answered {
    ok(&json!({ "quota": shown(None) }))
}

/// What a project may have.
pub async fn show(app: App, Path(project): Path<String>) -> Answered {
    let state = app.state();
    ok(&json!({ "quota": shown(state.records.get::<Quota>(Quota::id(&project))) }))
}

/// Sets what a project may have. What it has beyond that stays.
pub async fn update(
    app: App,
    caller: Caller,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answered {
    let asked = caller.asks_of("update quota", Quota::KIND, Some(Quota::id(&project)));
    let fields = read(&headers, &body).and_then(|body| Fields::of_body(body, Quota::KIND));
    let answer = made(&app, asked, Health::new(), move |draft, _| {
        let mut fields = fields.clone()?;
        if fields.is_empty() {
            return Err(Fault::invalid("There is nothing to change. Name a kind of object."));
        }
        if project.chars().count() > PROJECT || project.contains(char::is_control) {
            let reason = format!("It must have at most {PROJECT} characters that can be printed.");
            return Err(Fault::invalid(format!("Invalid project. {reason}")));
        }
        let id = Quota::id(&project);
        let before = draft.records.get::<Quota>(id).cloned();
        let mut quota = before.clone().unwrap_or_default();
        for limited in &LIMITED {
            for name in limited.names {
                match fields.integer(name, -1..=i64::from(i32::MAX))? {
                    Given::Absent => {}
                    Given::Null => _ = quota.limits.remove(limited.kind),
                    Given::Value(limit) => {
                        quota.limits.insert(limited.kind.into(), u32::try_from(limit).ok());
                    }
                }
            }
        }
        fields.end()?;
        quota.head = Head { id, project: project.clone(), is_enabled: true, ..quota.head };
        quota.head.created.get_or_insert_with(|| draft.now.clone());
        quota.head.updated = before.is_some().then(|| draft.now.clone());
        let told = json!(shown(Some(&quota)));
        draft.put(quota);
        Ok(Made {
            answer: Answer { status: StatusCode::ACCEPTED, body: Some(json!({ "quota": told.clone() })) },
            resource: Some((id, project.clone())),
            before: Some(json!(shown(before.as_ref()))),
            after: Some(told),
        })
    });
    answered(answer.await?)
}

/// Forgets what was set for a project.
pub async fn delete(app: App, caller: Caller, Path(project): Path<String>) -> Answered {
    let asked = caller.asks_of("delete quota", Quota::KIND, Some(Quota::id(&project)));
    let answer = made(&app, asked, Health::new(), move |draft, _| {
        let id = Quota::id(&project);
        let before = draft.records.get::<Quota>(id).ok_or_else(|| {
            Fault::not_found("Quota of project", project.chars().take(80).collect::<String>())
        })?;
        let before = json!(shown(Some(before)));
        draft.remove::<Quota>(id);
        let answer = Answer { status: StatusCode::ACCEPTED, body: None };
        Ok(Made { answer, resource: Some((id, project.clone())), before: Some(before), after: None })
    });
    answered(answer.await?)
}
