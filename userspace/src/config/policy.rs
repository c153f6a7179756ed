//! `[[load_balancer.listener.policy]]`, and a listener's `redirect`.

use std::collections::HashMap;

use super::{
    document::{Shape, Table, Value},
    load_balancer,
    pool::Pools,
    rule, scalar,
};
use crate::model::{
    path::plain,
    policy::{Action, Condition, Domain, MAX_POLICIES, PathMatch, Pattern, Policy, Redirect, RedirectTo},
};

const POLICY: Shape = Shape {
    path: "load_balancer.listener.policy",
    keys: &["name", "domain", "path", "header", "cookie", "pool", "reject", "redirect"],
};
const PATH: Shape = Shape { path: "load_balancer.listener.policy.path", keys: &["exact", "prefix", "regex"] };
const POLICY_REDIRECT: Shape =
    Shape { path: "load_balancer.listener.policy.redirect", keys: &["url", "prefix", "listener", "status"] };
const LISTENER_REDIRECT: Shape =
    Shape { path: "load_balancer.listener.redirect", keys: &["listener", "status"] };

/// Keys of `[[load_balancer.listener]]` that are read here.
pub(super) const LISTENER_KEYS: [&str; 2] = ["policy", "redirect"];

/// The most bytes of a path and of a URL.
const MAX_PATH: usize = 1024;
const MAX_URL: usize = 2048;

/// What a listener's policies may name.
pub(super) struct Around<'a> {
    pub(super) pools: &'a Pools<'a>,
    /// The listener's own name.
    pub(super) listener: &'a str,
    /// The load balancer's listeners with their lines.
    pub(super) named: &'a HashMap<String, usize>,
    /// Those of them without problems; with their port if they are HTTPS listeners.
    pub(super) good: &'a HashMap<String, Option<u16>>,
}

/// The policies of an HTTP listener, in order.
pub(super) fn read(listener: &Table<'_>, around: &Around<'_>) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut names = HashMap::new();
    let mut lines: HashMap<Condition, usize> = HashMap::new();
    for (number, table) in (1..).zip(listener.tables("policy", &POLICY)) {
        if number == MAX_POLICIES + 1 {
            table
                .refuse(format!("makes {number} policies of one listener; there is room for {MAX_POLICIES}"));
        }
        let name = scalar::unique_name(&table, &mut names);
        let condition = condition(&table);
        let action = action(&table, around);
        let Some(condition) = condition else { continue };
        if let Some(line) = lines.insert(condition.clone(), table.line()) {
            table.refuse(format!(
                "has the same domain, path and rules as the policy on line {line}; one of them would never be met"
            ));
        }
        if let (Some(name), Some(action)) = (name, action) {
            policies.push(Policy { name, condition, action });
        }
    }
    policies
}

/// Where a listener sends all its requests.
pub(super) fn redirect(listener: &Table<'_>, around: &Around<'_>) -> Option<Redirect> {
    let table = listener.table("redirect", &LISTENER_REDIRECT)?;
    let to = table.require("listener").and_then(|value| to_listener(value, around));
    let status = status(&table);
    Some(Redirect { status: status?, to: to? })
}

fn condition(table: &Table<'_>) -> Option<Condition> {
    let domain = table.get("domain").map(domain);
    let path = table.get("path").map(|_| table.table("path", &PATH).and_then(|table| path(&table)));
    let rules = rule::read(table);
    if domain.is_none() && path.is_none() {
        table.refuse(
            "has neither domain nor path; give one of them, such as path = { prefix = \"/\" } for any path",
        );
        return None;
    }
    // `None` outside: not there. Inside: not right.
    let right = |domain: Option<Option<_>>| domain.map_or(Some(None), |domain| domain.map(Some));
    let path = path.map_or(Some(None), |path| path.map(Some));
    Some(Condition { domain: right(domain)?, path: path?, rules: rules? })
}

/// A name such as `www.example.com` or `*.example.com`, in any case.
fn domain(value: Value<'_>) -> Option<Domain> {
    let text = value.string()?;
    let lower = text.to_ascii_lowercase();
    let below = lower.strip_prefix("*.");
    let name = below.unwrap_or(&lower);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() > 253 || !name.split('.').all(is_label) {
        value.refuse(format!(
            "{text:?} is not a domain; use one such as \"www.example.com\", or \"*.example.com\" for all below that"
        ));
        return None;
    }
    Some(if below.is_some() { Domain::Below(name.into()) } else { Domain::Exact(name.into()) })
}

fn path(table: &Table<'_>) -> Option<PathMatch> {
    let value = table.one_of(PATH.keys)?;
    match value.key() {
        "exact" => comparable(value, "").map(PathMatch::Exact),
        // A prefix may end where it would be no path: "/." is one of "/.git".
        "prefix" => comparable(value, "x").map(PathMatch::Prefix),
        _ => pattern(value).map(PathMatch::Regex),
    }
}

/// A path in the form in which it is compared when this is behind it.
fn comparable(value: Value<'_>, behind: &str) -> Option<String> {
    let text = value.string()?;
    let plain = plain(&format!("{text}{behind}"));
    let plain = plain.strip_suffix(behind).unwrap_or(&plain);
    let reason = if !text.starts_with('/') {
        format!("{text:?} is not a path; it must begin with a slash")
    } else if text.len() > MAX_PATH {
        format!("has {} bytes; use at most {MAX_PATH}", text.len())
    } else if text.contains(['?', '#']) {
        format!("{text:?}: the query and what follows \"#\" are not part of the path; leave them out")
    } else if text != plain {
        format!(
            "paths are compared decoded and without //, /./ and /../; {text:?} never is one, use {plain:?}"
        )
    } else {
        return Some(text.into());
    };
    value.refuse(reason);
    None
}

/// A regular expression.
pub(super) fn pattern(value: Value<'_>) -> Option<Pattern> {
    let text = value.string()?;
    Pattern::new(text).map_err(|reason| value.refuse(format!("{text:?} {reason}"))).ok()
}

fn action(table: &Table<'_>, around: &Around<'_>) -> Option<Action> {
    let value = table.one_of(&["pool", "reject", "redirect"])?;
    match value.key() {
        "pool" => load_balancer::pool(value, around.pools, Some("http")).map(Action::Pool),
        "reject" => {
            let status = value.integer("a status to reject with", 400..=599)?;
            u16::try_from(status).ok().map(Action::Reject)
        }
        _ => {
            let table = table.table("redirect", &POLICY_REDIRECT)?;
            let status = status(&table);
            let to = table.one_of(&["url", "prefix", "listener"]).and_then(|value| match value.key() {
                "url" => url(value).map(RedirectTo::Url),
                "prefix" => url_prefix(value).map(RedirectTo::Prefix),
                _ => to_listener(value, around),
            });
            Some(Action::Redirect(Redirect { status: status?, to: to? }))
        }
    }
}

fn status(table: &Table<'_>) -> Option<u16> {
    let statuses = Redirect::STATUSES;
    let Some(value) = table.get("status") else { return statuses.first().copied() };
    let status = value.integer("a status to redirect with", 100..=999)?;
    let known = u16::try_from(status).ok().filter(|status| statuses.contains(status));
    if known.is_none() {
        let [first, others @ .., last] = statuses.map(|status| status.to_string());
        value.refuse(format!(
            "{status} does not send a client elsewhere; use {first}, {} or {last}",
            others.join(", ")
        ));
    }
    known
}

fn to_listener(value: Value<'_>, around: &Around<'_>) -> Option<RedirectTo> {
    let name = value.string()?;
    match around.good.get(name) {
        // The request would meet the same policy there, without end.
        Some(_) if name == around.listener => value.refuse("is this listener itself; name another"),
        Some(&Some(port)) => return Some(RedirectTo::Listener { name: name.into(), port }),
        Some(None) => {
            value.refuse(format!("{name:?} is no HTTPS listener; name one with protocol = \"https\""))
        }
        // It has problems, which are reported where it stands.
        None if around.named.contains_key(name) => {}
        None => value.refuse(format!(
            "no listener of this load balancer is named {name:?}; name one with protocol = \"https\""
        )),
    }
    None
}

/// An absolute URL.
fn url(value: Value<'_>) -> Option<String> {
    let text = value.string()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let has_host = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':', '@']));
    if !has_host || text.len() > MAX_URL || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        value.refuse(format!(
            "{text:?} is not a URL to be sent to; use one such as \"https://www.example.com/new\", at most {MAX_URL} \
             bytes, other characters percent-encoded"
        ));
        return None;
    }
    Some(text.into())
}

/// An absolute URL with a path behind it.
fn url_prefix(value: Value<'_>) -> Option<String> {
    let url = url(value)?;
    if url.ends_with('/') || url.contains(['?', '#']) {
        value.refuse(format!(
            "the request's path, which begins with a slash, is put behind {url:?}; leave out the slash at its end, \
             \"?\" and \"#\""
        ));
        return None;
    }
    Some(url)
}
