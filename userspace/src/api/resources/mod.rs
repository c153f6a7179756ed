//! One file per kind of object: what is stored of it, how a request makes and changes it, how it is shown.

pub mod health_monitor;
pub mod listener;
mod listener_tls;
pub mod load_balancer;
pub mod member;
mod nested;
pub mod pool;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    draft::Draft,
    error::Fault,
    fields::Fields,
    record::{Head, Record},
    view::View,
};

/// The most characters of names, descriptions, tags and the like.
const MOST: usize = 255;

/// What clients can do with a kind of object.
pub trait Resource: Record {
    /// Its name in bodies where there are several.
    const MANY: &'static str;
    /// Its names in traces: created, updated, deleted (OTC guide, table 9-1).
    const TRACES: [&'static str; 3];

    /// Makes one of a request's attributes; `parent` is what the path says that it is made in.
    ///
    /// # Errors
    /// What is wrong.
    fn create(draft: &mut Draft<'_>, parent: Option<Uuid>, fields: Fields) -> Result<Uuid, Fault>;

    /// Changes it.
    ///
    /// # Errors
    /// What is wrong.
    fn change(self, draft: &mut Draft<'_>, fields: Fields) -> Result<(), Fault>;

    /// Deletes it with all that goes along.
    ///
    /// # Errors
    /// What it is needed for.
    fn delete(&self, draft: &mut Draft<'_>, cascade: bool) -> Result<(), Fault>;

    /// Any one: it has every attribute that all have.
    fn sample() -> Self;

    /// All that is shown of it, the head aside.
    fn show(&self, view: &View<'_>) -> Map<String, Value>;

    /// All that is told of it when it has been created.
    fn tell(&self, view: &View<'_>) -> Map<String, Value> {
        shown(self, view)
    }

    /// How it is.
    fn operating_status(&self, view: &View<'_>) -> &'static str;

    /// Whether it has a description.
    const HAS_DESCRIPTION: bool = true;
}

/// Takes what every object has.
fn head(head: &mut Head, fields: &mut Fields, has_description: bool) -> Result<(), Fault> {
    fields.text("name", MOST)?.set(&mut head.name, String::new());
    if has_description {
        fields.text("description", MOST)?.set(&mut head.description, String::new());
    }
    // Octavia's null means no here.
    fields.boolean("admin_state_up")?.set(&mut head.is_enabled, false);
    if let Some(tags) = fields.texts("tags", MOST)?.value() {
        head.tags = tags;
    }
    Ok(())
}

/// The head of an object that is created.
fn new_head(fields: &mut Fields, draft: &Draft<'_>, has_description: bool) -> Result<Head, Fault> {
    let mut made = Head { is_enabled: true, project: draft.project.clone(), ..Head::default() };
    for name in ["tenant_id", "project_id"] {
        if let Some(project) = fields.text(name, MOST)?.value() {
            made.project = project;
        }
    }
    head(&mut made, fields, has_description)?;
    Ok(made)
}

/// An object as it is shown.
pub fn shown<T: Resource>(record: &T, view: &View<'_>) -> Map<String, Value> {
    let head = record.head();
    let mut object = record.show(view);
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(head.id));
    put("name", json!(head.name));
    if T::HAS_DESCRIPTION {
        put("description", json!(head.description));
    }
    put("admin_state_up", json!(head.is_enabled));
    put("project_id", json!(head.project));
    put("tenant_id", json!(head.project));
    put("created_at", json!(head.created));
    put("updated_at", json!(head.updated));
    put("tags", json!(head.tags));
    put("provisioning_status", json!("ACTIVE"));
    put("operating_status", json!(record.operating_status(view)));
    object
}

/// References as they are shown.
fn ids(ids: impl IntoIterator<Item = Uuid>) -> Value {
    ids.into_iter().map(|id| json!({ "id": id })).collect()
}
