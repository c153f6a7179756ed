//! L7 policies.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Resource, ids, new_head};
use crate::api::{
    derive,
    draft::Draft,
    error::Fault,
    fields::{Fields, Given, missing},
    kinds::{
        l7_policy::{ACTIONS, L7Action, L7Policy},
        l7_rule::L7Rule,
        listener::{Listener, Protocol},
        load_balancer::LoadBalancer,
    },
    records::Records,
    view::View,
};

/// The status with which clients are sent elsewhere, unless somebody says otherwise.
const STATUS: u16 = 302;
/// The most characters of a URL.
const URL: usize = 2048;
/// The highest position that may be asked for.
const LAST: u32 = i32::MAX.unsigned_abs();
/// What says where a request goes, and the action that it belongs to.
const TARGETS: [(&str, &str); 4] = [
    ("redirect_pool_id", ACTIONS[1]),
    ("redirect_url", ACTIONS[2]),
    ("redirect_prefix", ACTIONS[3]),
    ("redirect_listener_id", ACTIONS[4]),
];

impl L7Policy {
    /// Those of a listener in their order.
    pub(in crate::api) fn of(records: &Records, listener: Uuid) -> Vec<&Self> {
        let mut all: Vec<_> = records.children::<Self>(listener).collect();
        all.sort_by_key(|policy| policy.position);
        all
    }

    /// Takes it out with its rules; the positions of the others stay.
    pub(in crate::api) fn remove(&self, draft: &mut Draft<'_>) {
        let rules: Vec<Uuid> =
            draft.records.children::<L7Rule>(self.head.id).map(|rule| rule.head.id).collect();
        rules.into_iter().for_each(|rule| draft.remove::<L7Rule>(rule));
        draft.remove::<Self>(self.head.id);
        draft.touch::<Listener>(self.listener);
    }

    /// Gives the listener's other policies between two positions the next or the last one.
    fn shift(&self, draft: &mut Draft<'_>, between: impl Fn(u32) -> bool, is_up: bool) {
        let others = draft.records.children::<Self>(self.listener);
        let others = others.filter(|other| other.head.id != self.head.id && between(other.position));
        for mut other in others.cloned().collect::<Vec<_>>() {
            other.position = if is_up { other.position + 1 } else { other.position.saturating_sub(1) };
            draft.put(other);
        }
    }

    /// Takes what happens to a request. What is not said stays, if it goes with the action.
    fn action(
        &self,
        draft: &Draft<'_>,
        fields: &mut Fields,
        before: Option<&L7Action>,
    ) -> Result<L7Action, Fault> {
        let word = match fields.word("action", &ACTIONS)? {
            Given::Null => return Err(missing("action")),
            given => given.value(),
        };
        let status = fields.integer("redirect_http_code", 301..=308)?;
        let pool = fields.id("redirect_pool_id")?;
        let url = fields.text("redirect_url", URL)?;
        let prefix = fields.text("redirect_prefix", URL)?;
        let listener = fields.id("redirect_listener_id")?;
        let is_given = [
            matches!(pool, Given::Value(_)),
            matches!(url, Given::Value(_)),
            matches!(prefix, Given::Value(_)),
            matches!(listener, Given::Value(_)),
        ];
        let mut given = TARGETS.iter().zip(is_given).filter(|(_, is_given)| *is_given).map(|(it, _)| it);
        // Where it goes says what happens.
        let name = word.as_deref().or_else(|| given.clone().next().map(|(_, action)| *action));
        let name = name.or_else(|| before.map(L7Action::name)).ok_or_else(|| missing("action"))?;
        if let Some((attribute, action)) = given.find(|(_, action)| *action != name) {
            let reason = format!("It goes with action {action}, and this one is {name}.");
            return Err(Fault::invalid(format!("Invalid input for field/attribute {attribute}. {reason}")));
        }
        let status = match (status, before.and_then(L7Action::status)) {
            (Given::Value(_), _) if matches!(name, "REJECT" | "REDIRECT_TO_POOL") => {
                let reason = "It goes with the actions that send the client elsewhere";
                return Err(Fault::value("redirect_http_code", name, format!("{reason}.")));
            }
            (Given::Value(status), _) | (Given::Absent, Some(status)) => status,
            _ => STATUS,
        };
        let action = match (name, before.filter(|before| before.name() == name)) {
            ("REDIRECT_TO_POOL", before) => {
                let id = target(pool, "redirect_pool_id", || before.and_then(L7Action::pool))?;
                self.listener(draft)?.may_use(draft, "redirect_pool_id", id)?;
                L7Action::RedirectToPool(id)
            }
            ("REDIRECT_TO_URL", before) => {
                let before = || match before {
                    Some(L7Action::RedirectToUrl(url, _)) => Some(url.clone()),
                    _ => None,
                };
                L7Action::RedirectToUrl(target(url, "redirect_url", before)?, status)
            }
            ("REDIRECT_PREFIX", before) => {
                let before = || match before {
                    Some(L7Action::RedirectPrefix(prefix, _)) => Some(prefix.clone()),
                    _ => None,
                };
                L7Action::RedirectPrefix(target(prefix, "redirect_prefix", before)?, status)
            }
            ("REDIRECT_TO_LISTENER", before) => {
                let id = target(listener, "redirect_listener_id", || before.and_then(L7Action::listener))?;
                self.may_lead_to(draft, id)?;
                L7Action::RedirectToListener(id, status)
            }
            _ => L7Action::Reject,
        };
        derive::policies::action(&action)?;
        Ok(action)
    }

    fn listener<'a>(&self, draft: &'a Draft<'_>) -> Result<&'a Listener, Fault> {
        draft.records.find::<Listener>(self.listener)
    }

    /// Looks whether clients may be sent to a listener.
    fn may_lead_to(&self, draft: &Draft<'_>, id: Uuid) -> Result<(), Fault> {
        let to = draft.parent::<Listener>("redirect_listener_id", id)?;
        let is_sibling = to.load_balancer == self.listener(draft)?.load_balancer;
        if id == self.listener || !is_sibling || to.protocol != Protocol::TerminatedHttps {
            let reason = "It must be another listener of the load balancer, with protocol TERMINATED_HTTPS.";
            return Err(Fault::value("redirect_listener_id", id, reason));
        }
        Ok(())
    }
}

/// What a request says of where it goes, or what was said before.
fn target<T>(given: Given<T>, name: &str, before: impl FnOnce() -> Option<T>) -> Result<T, Fault> {
    match given {
        Given::Value(value) => Ok(value),
        Given::Null => Err(missing(name)),
        Given::Absent => before().ok_or_else(|| missing(name)),
    }
}

impl Resource for L7Policy {
    const MANY: &'static str = "l7policies";
    const TRACES: [&'static str; 3] =
        ["create forwarding policy", "update forwarding policy", "delete forwarding policy"];
    const ONLY_AT_CREATION: &'static [&'static str] = &["listener_id"];

    fn create(draft: &mut Draft<'_>, _parent: Option<Uuid>, mut fields: Fields) -> Result<Uuid, Fault> {
        let head = new_head::<Self>(&mut fields, draft)?;
        let id = fields.id("listener_id")?.value().ok_or_else(|| missing("listener_id"))?;
        let listener = draft.parent::<Listener>("listener_id", id)?;
        if !listener.protocol.is_http() {
            return Err(Fault::value(
                "listener_id",
                id,
                format!(
                    "It speaks {}: nothing of its connections is read. Policies are for HTTP and TERMINATED_HTTPS.",
                    listener.protocol.name()
                ),
            ));
        }
        let last = u32::try_from(draft.records.children::<Self>(id).count()).unwrap_or(LAST) + 1;
        let position = fields.integer("position", 1..=LAST)?.value().unwrap_or(LAST).min(last);
        let mut made = Self { head, listener: id, position, action: L7Action::default() };
        made.action = made.action(draft, &mut fields, None)?;
        let rules = fields.list("rules")?.value().unwrap_or_default();
        fields.end()?;
        made.shift(draft, |at| at >= position, true);
        let id = draft.create(made)?;
        for rule in rules {
            L7Rule::create(draft, Some(id), Fields::of_value(rule, "rules")?)?;
        }
        Ok(id)
    }

    fn settings(&mut self, draft: &Draft<'_>, fields: &mut Fields) -> Result<(), Fault> {
        self.action = self.action(draft, fields, Some(&self.action))?;
        Ok(())
    }

    fn change(mut self, draft: &mut Draft<'_>, mut fields: Fields) -> Result<(), Fault> {
        if fields.is_empty() {
            return Err(Fault::invalid("There is nothing to change. Name an attribute."));
        }
        if let Given::Value(to) = fields.integer("position", 1..=LAST)? {
            let count = draft.records.children::<Self>(self.listener).count();
            let (from, to) = (self.position, to.min(u32::try_from(count).unwrap_or(LAST)));
            self.shift(draft, |at| (to..from).contains(&at), true);
            self.shift(draft, |at| at > from && at <= to, false);
            self.position = to;
        }
        super::change(self, draft, fields)
    }

    fn delete(&self, draft: &mut Draft<'_>, _cascade: bool) -> Result<(), Fault> {
        self.remove(draft);
        self.shift(draft, |at| at > self.position, false);
        Ok(())
    }

    fn sample() -> Self {
        Self::default()
    }

    fn show(&self, view: &View<'_>) -> Map<String, Value> {
        let (mut url, mut prefix) = (None, None);
        match &self.action {
            L7Action::RedirectToUrl(text, _) => url = Some(text),
            L7Action::RedirectPrefix(text, _) => prefix = Some(text),
            L7Action::Reject | L7Action::RedirectToPool(_) | L7Action::RedirectToListener(..) => {}
        }
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| object.insert(name.into(), value);
        put("listener_id", json!(self.listener));
        put("position", json!(self.position));
        put("action", json!(self.action.name()));
        put("redirect_pool_id", json!(self.action.pool()));
        put("redirect_url", json!(url));
        put("redirect_prefix", json!(prefix));
        put("redirect_listener_id", json!(self.action.listener()));
        put("redirect_http_code", json!(self.action.status()));
        put("rules", ids(view.records.children::<L7Rule>(self.head.id).map(|rule| rule.head.id)));
        object
    }

    fn operating_status(&self, view: &View<'_>) -> &'static str {
        let listener = view.records.get::<Listener>(self.listener);
        let load_balancer = listener.and_then(|it| view.records.get::<LoadBalancer>(it.load_balancer));
        let is_served = listener.is_some_and(|it| it.head.is_enabled)
            && load_balancer.is_some_and(|it| it.head.is_enabled);
        let mut rules = view.records.children::<L7Rule>(self.head.id);
        let acts = self.head.is_enabled && is_served && rules.any(|rule| rule.head.is_enabled);
        if acts { "ONLINE" } else { "OFFLINE" }
    }
}
