//! `[[load_balancer.listener.policy]]`, and a listener's `redirect`.

use std::sync::Arc;

use model::{
    id::kind,
    object::{ListenerId, Policy},
    policy::{Action, Condition, Domain, PathMatch, Redirect, RedirectStatus, RedirectTo},
    value::{RejectStatus, Url, UrlPrefix},
};

use super::{
    document::{Shape, Table, Value},
    draft::Draft,
    meta,
    names::{Names, unknown},
    rule, scalar,
};

pub(super) const POLICY: Shape = Shape {
    path: "load_balancer.listener.policy",
    keys: &[
        "name",
        "domain",
        "path",
        "header",
        "cookie",
        "pool",
        "reject",
        "redirect",
        "description",
        "tags",
    ],
};
pub(super) const PATH: Shape =
    Shape { path: "load_balancer.listener.policy.path", keys: &["exact", "prefix", "regex"] };
pub(super) const POLICY_REDIRECT: Shape =
    Shape { path: "load_balancer.listener.policy.redirect", keys: &["url", "prefix", "listener", "status"] };
pub(super) const LISTENER_REDIRECT: Shape =
    Shape { path: "load_balancer.listener.redirect", keys: &["listener", "status"] };

/// Keys of `[[load_balancer.listener]]` that are read here.
pub(super) const LISTENER_KEYS: [&str; 2] = ["policy", "redirect"];

/// The policies of an HTTP listener, in order; `key` is what it is known by, `siblings` are its load balancer's listeners.
pub(super) fn read<'a>(
    listener: &Table<'a>,
    key: [&str; 2],
    siblings: &Names<kind::Listener>,
    draft: &mut Draft<'a>,
) -> Vec<Arc<Policy>> {
    let mut names = Names::default();
    let mut policies = Vec::new();
    for table in listener.tables("policy", &POLICY) {
        let named = names.take(&table, &key);
        draft.places.stand(named.id, &table);
        let meta = meta::read(&table, named.name);
        let condition = condition(&table);
        // Where it leads to does not matter for what it is for.
        let action = action(&table, siblings, draft).unwrap_or(Action::Reject(RejectStatus::literal(403)));
        let policy =
            condition.map(|condition| Policy { id: named.id, meta, condition: Arc::new(condition), action });
        policies.extend(policy.map(Arc::new));
    }
    policies
}

/// Where a listener sends all its requests.
pub(super) fn redirect(
    listener: &Table<'_>,
    siblings: &Names<kind::Listener>,
) -> Option<Redirect<ListenerId>> {
    let table = listener.table("redirect", &LISTENER_REDIRECT)?;
    let to = table.require("listener").and_then(|value| to_listener(value, siblings));
    let status = status(&table);
    Some(Redirect { status: status?, to: to? })
}

fn condition(table: &Table<'_>) -> Option<Condition> {
    let domain = table.get("domain").map(|value| scalar::text(value, Domain::new));
    let path = table.get("path").map(|_| table.table("path", &PATH).and_then(|table| path(&table)));
    let rules = rule::read(table);
    if domain.is_none() && path.is_none() {
        table.refuse(
            "has neither domain nor path; give one of them, such as path = { prefix = \"/\" } for any path",
        );
        return None;
    }
    // `None` outside: not there. Inside: not right.
    Some(Condition {
        domain: domain.map_or(Some(None), |domain| domain.map(Some))?,
        path: path.map_or(Some(None), |path| path.map(Some))?,
        rules: rules?,
    })
}

fn path(table: &Table<'_>) -> Option<PathMatch> {
    let value = table.one_of(PATH.keys)?;
    match value.key() {
        "exact" => scalar::text(value, PathMatch::exact),
        "prefix" => scalar::text(value, PathMatch::prefix),
        _ => scalar::pattern(value).map(PathMatch::Regex),
    }
}

fn action(
    table: &Table<'_>,
    siblings: &Names<kind::Listener>,
    draft: &Draft<'_>,
) -> Option<Action<ListenerId>> {
    let value = table.one_of(&["pool", "reject", "redirect"])?;
    match value.key() {
        "pool" => Some(Action::Pool(draft.pools.refer(value).unwrap_or_else(unknown))),
        "reject" => value.number().map(Action::Reject),
        _ => {
            let table = table.table("redirect", &POLICY_REDIRECT)?;
            let status = status(&table);
            let to = table.one_of(&["url", "prefix", "listener"]).and_then(|value| match value.key() {
                "url" => scalar::text(value, Url::new).map(RedirectTo::Url),
                "prefix" => scalar::text(value, UrlPrefix::new).map(RedirectTo::Prefix),
                _ => to_listener(value, siblings),
            });
            Some(Action::Redirect(Redirect { status: status?, to: to? }))
        }
    }
}

fn status(table: &Table<'_>) -> Option<RedirectStatus> {
    let Some(value) = table.get("status") else { return Some(RedirectStatus::default()) };
    let number = u16::try_from(value.integer("a status to redirect with", 100..=999)?).ok()?;
    RedirectStatus::new(number).map_err(|invalid| value.refuse(invalid)).ok()
}

fn to_listener(value: Value<'_>, siblings: &Names<kind::Listener>) -> Option<RedirectTo<ListenerId>> {
    let name = value.string()?;
    let found = siblings.find(name);
    if found.is_none() {
        value.refuse(format!(
            "no listener of this load balancer is named {name:?}; name one with protocol = \"https\""
        ));
    }
    found.map(RedirectTo::Listener)
}
