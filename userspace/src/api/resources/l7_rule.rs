//! Rules of L7 policies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{MOST, Resource, new_head};
use crate::api::{
    conditions,
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing},
    kinds::{
        l7_policy::L7Policy,
        l7_rule::{COMPARES, KINDS, L7Rule},
    },
    view::View,
};

/// The most rules of one policy.
const RULES: usize = 50;
/// What Octavia can compare, and the API cannot.
const NOT_HERE: [&str; 3] = ["SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"];

impl Resource for L7Rule {
    const MANY: &'static str = "rules";
    const TRACED: &'static str = "l7rule";
    const TRACES: [&'static str; 3] =
        ["create forwarding rule", "update forwarding rule", "delete forwarding rule"];
    const ONLY_AT_CREATION: &'static [&'static str] = &[];
    const HAS_NAME: bool = false;
    const HAS_DESCRIPTION: bool = false;

    fn create(draft: &mut Draft<'_>, parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let policy = parent.ok_or_else(|| missing("l7policy_id"))?;
        draft.parent::<L7Policy>("l7policy_id", policy)?;
        if draft.records.children::<Self>(policy).count() >= RULES {
            return Err(Fault::conflict(format!(
                "L7Policy {policy} has {RULES} rules, and there is room for no more."
            )));
        }
        for name in ["type", "compare_type", "value"] {
            if fields.clone().take(name) == Given::Absent {
                return Err(missing(name));
            }
        }
        let mut made = Self { head, policy, ..Self::default() };
        made.settings(draft, &mut fields)?;
        fields.end()?;
        draft.touch::<L7Policy>(policy);
        draft.create(made)
    }

    fn settings(&mut self, _draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        let kinds: Vec<&str> = KINDS.iter().map(|(name, _)| *name).chain(NOT_HERE).collect();
        match fields.word("type", &kinds)? {
            Given::Absent => {}
            Given::Null => return Err(missing("type")),
            Given::Value(word) => {
                let known = KINDS.iter().find(|(name, _)| *name == word);
                let reason = "Not supported here yet: clients' certificates say nothing to policies.";
                (_, self.kind) = *known.ok_or_else(|| Fault::value("type", &word, reason))?;
            }
        }
        match fields.word("compare_type", &COMPARES.map(|(name, _)| name))? {
            Given::Absent => {}
            Given::Null => return Err(missing("compare_type")),
            Given::Value(word) => {
                let known = COMPARES.iter().find(|(name, _)| *name == word);
                (_, self.compare) = *known.ok_or_else(|| missing("compare_type"))?;
            }
        }
        match fields.text("key", MOST)? {
            // The one that it had is another type's.
            Given::Absent if !self.kind.has_key() => self.key = None,
            given => given.set_option(&mut self.key),
        }
        fields.text("value", MOST)?.set_required(&mut self.value, "value")?;
        fields.boolean("invert")?.set(&mut self.invert, false);
        let (kind, compare) = (self.kind.name(), self.compare.name());
        match &self.key {
            None if self.kind.has_key() => Err(missing("key")),
            Some(key) if !self.kind.has_key() => {
                Err(Fault::value("key", key, format!("There is only one {kind}: leave it out.")))
            }
            _ if !self.kind.goes_with(self.compare) => {
                Err(Fault::value("compare_type", compare, format!("{kind} knows EQUAL_TO and REGEX.")))
            }
            _ => conditions::said(self).map(drop),
        }
    }

    fn change(self, draft: &mut Draft<'_>, fields: Fields) -> Result<(), Fault> {
        draft.touch::<L7Policy>(self.policy);
        super::change(self, draft, fields)
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        draft.touch::<L7Policy>(self.policy);
        draft.remove::<Self>(self.head.id);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, _view: &View<'_>) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("type", json!(self.kind.name()));
        put("compare_type", json!(self.compare.name()));
        put("key", json!(self.key));
        put("value", json!(self.value));
        put("invert", json!(self.invert));
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        let policy = view.records.get::<L7Policy>(self.policy);
        let is_on = self.head.is_enabled && policy.is_some_and(|it| it.operating_status(view) == "ONLINE");
        if is_on { "ONLINE" } else { "OFFLINE" }
    }
}
