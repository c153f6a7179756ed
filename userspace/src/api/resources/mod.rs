//! One file per kind of object: what is stored of it, how a request makes and changes it, how it is shown.

pub mod certificate;
pub mod health_monitor;
pub mod l7_policy;
pub mod l7_rule;
pub mod listener;
mod listener_tls;
pub mod load_balancer;
pub mod member;
mod nested;
pub mod pool;
pub mod whitelist;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    derive,
    draft::Draft,
    error::Fault,
    fields::Fields,
    record::{Head, Record},
    view::View,
};

/// The most characters of names, descriptions, tags and the like.
const MOST: usize = 255;

/// The names of what says whose an object is: Octavia's older clients have the first.
const PROJECT: [&str; 2] = ["tenant_id", "project_id"];

/// The name of what protects an object from being deleted.
const PROTECTION: &str = "deletion_protection_enable";

/// What clients can do with a kind of object.
pub trait Resource: Record {
    /// Its name in bodies where there are several.
    const MANY: &'static str;
    /// Its kind in traces.
    const TRACED: &'static str = Self::KIND;
    /// Its names in traces: created, updated, deleted (OTC guide, table 9-1).
    const TRACES: [&'static str; 3];
    /// What only a request that creates one may say, its project aside.
    const ONLY_AT_CREATION: &'static [&'static str];
    /// Whether bodies have it below its name.
    const IS_WRAPPED: bool = true;
    /// Whether it has a name.
    const HAS_NAME: bool = true;
    /// Whether it can be switched off.
    const HAS_SWITCH: bool = true;
    /// Whether it can be protected from being deleted.
    const HAS_PROTECTION: bool = false;
    /// Whether it has a description.
    const HAS_DESCRIPTION: bool = true;

    /// Makes one of a request's attributes; `parent` is what the path says that it is made in.
    ///
    /// # Errors
    /// What is wrong.
    fn create(draft: &mut Draft<'_>, parent: Option<Uuid>, fields: Fields) -> Result<Uuid, Fault>;

    /// Takes what may be said at its creation and be changed later, the head aside.
    ///
    /// # Errors
    /// What is wrong.
    fn settings(&mut self, draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault>;

    /// Changes it.
    ///
    /// # Errors
    /// What is wrong.
    fn change(self, draft: &mut Draft<'_>, fields: Fields) -> Result<(), Fault> {
        change(self, draft, fields)
    }

    /// Deletes it with all that goes along.
    ///
    /// # Errors
    /// What it is needed for.
    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        draft.remove::<Self>(self.head().id);
        Ok(())
    }

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
}

/// Changes an object as all kinds are.
fn change<T: Resource>(mut record: T, draft: &mut Draft<'_>, mut fields: Fields) -> Result<(), Fault> {
    fields.only_at_creation(T::ONLY_AT_CREATION)?;
    fields.only_at_creation(&PROJECT)?;
    head::<T>(record.head_mut(), &mut fields)?;
    record.settings(draft, &mut fields)?;
    fields.end()?;
    draft.update(record);
    Ok(())
}

/// Takes what every object has.
fn head<T: Resource>(head: &mut Head, fields: &mut Fields) -> Result<(), Fault> {
    if T::HAS_NAME {
        fields.text("name", MOST)?.set(&mut head.name, String::new());
    }
    if T::HAS_DESCRIPTION {
        fields.text("description", MOST)?.set(&mut head.description, String::new());
    }
    // Octavia's null means no here.
    fields.boolean("admin_state_up")?.set(&mut head.is_enabled, false);
    if !T::HAS_SWITCH && !head.is_enabled {
        return Err(Fault::value("admin_state_up", false, format!("Not supported here: of a {}.", T::KIND)));
    }
    if T::HAS_PROTECTION {
        fields.boolean(PROTECTION)?.set(&mut head.is_protected, false);
    }
    if let Some(tags) = fields.texts("tags", MOST)?.value() {
        head.tags = tags;
    }
    derive::common::meta(head).map(drop)
}

/// Refuses to delete what is protected from it.
fn may_go<T: Resource>(record: &T) -> Result<(), Fault> {
    let head = record.head();
    if head.is_protected {
        let (name, id) = (T::NAME, head.id);
        return Err(Fault::conflict(format!(
            "{name} {id} is protected from being deleted; set its {PROTECTION} to false first."
        )));
    }
    Ok(())
}

/// The head of an object that is created.
fn new_head<T: Resource>(fields: &mut Fields, draft: &Draft<'_>) -> Result<Head, Fault> {
    let mut made = Head { is_enabled: true, project: draft.project.clone(), ..Head::default() };
    for name in PROJECT {
        if let Some(project) = fields.text(name, MOST)?.value() {
            made.project = project;
        }
    }
    head::<T>(&mut made, fields)?;
    Ok(made)
}

/// An object as it is shown.
pub fn shown<T: Resource>(record: &T, view: &View<'_>) -> Map<String, Value> {
    let head = record.head();
    let mut object = record.show(view);
    let mut put = |name: &str, value: Value| object.insert(name.into(), value);
    put("id", json!(head.id));
    if T::HAS_NAME {
        put("name", json!(head.name));
    }
    if T::HAS_DESCRIPTION {
        put("description", json!(head.description));
    }
    put("admin_state_up", json!(head.is_enabled));
    if T::HAS_PROTECTION {
        put(PROTECTION, json!(head.is_protected));
    }
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
