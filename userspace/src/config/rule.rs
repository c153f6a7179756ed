//! The `header` and `cookie` rules of a policy.

use std::collections::BTreeSet;

use super::{
    document::{Shape, Table, Value},
    policy,
};
use crate::model::policy::{Rule, Subject, Test};

const KEYS: &[&str] = &["name", "equals", "prefix", "suffix", "contains", "regex", "not"];
const TESTS: [&str; 5] = ["equals", "prefix", "suffix", "contains", "regex"];
const HEADER: Shape = Shape { path: "load_balancer.listener.policy.header", keys: KEYS };
const COOKIE: Shape = Shape { path: "load_balancer.listener.policy.cookie", keys: KEYS };

/// The most bytes of a value.
const MAX_VALUE: usize = 1024;

/// The rules of a policy; `None` if something is wrong with one.
pub(super) fn read(policy: &Table<'_>) -> Option<BTreeSet<Rule>> {
    let headers = policy.tables("header", &HEADER).into_iter().map(|table| {
        let name = table.require("name").and_then(token);
        rule(&table, name.map(|name| Subject::Header(name.to_ascii_lowercase())))
    });
    let cookies = policy.tables("cookie", &COOKIE).into_iter().map(|table| {
        let name = table.require("name").and_then(token);
        rule(&table, name.map(Subject::Cookie))
    });
    // All of them first, so that all problems are reported.
    let rules: Vec<Option<Rule>> = headers.chain(cookies).collect();
    rules.into_iter().collect()
}

fn rule(table: &Table<'_>, subject: Option<Subject>) -> Option<Rule> {
    let invert = table.get("not").map_or(Some(false), |value| value.boolean());
    let test = if TESTS.iter().all(|&key| table.get(key).is_none()) {
        Some(Test::Present)
    } else {
        table.one_of(&TESTS).and_then(test)
    };
    Some(Rule { subject: subject?, test: test?, invert: invert? })
}

fn test(value: Value<'_>) -> Option<Test> {
    if value.key() == "regex" {
        return policy::pattern(value).map(Test::Regex);
    }
    let text = value.string()?;
    let make = match value.key() {
        "equals" => Test::Equals,
        "prefix" => Test::StartsWith,
        "suffix" => Test::EndsWith,
        _ => Test::Contains,
    };
    let is_nothing = text.is_empty() && value.key() != "equals";
    if is_nothing || text.len() > MAX_VALUE || text.contains(char::is_control) {
        value.refuse(format!(
            "{text:?} has {} bytes and cannot be searched for; use 1 to {MAX_VALUE} bytes, no control characters",
            text.len()
        ));
        return None;
    }
    Some(make(text.into()))
}

/// The name of a header or a cookie: 1 to 64 characters of HTTP's tokens.
pub(super) fn token(value: Value<'_>) -> Option<String> {
    let text = value.string()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=64).contains(&text.len()) || !text.bytes().all(is_token) {
        value.refuse(format!(
            "{text:?} cannot be a header's or a cookie's name; use 1 to 64 letters, digits, \"-\" and \"_\""
        ));
        return None;
    }
    Some(text.into())
}
