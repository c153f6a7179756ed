//! The `header` and `cookie` rules of a policy.

use std::collections::BTreeSet;

use model::policy::{Rule, Subject, Test, TestValue};

use super::{
    document::{Shape, Table, Value},
    scalar,
};

const KEYS: &[&str] = &["name", "equals", "prefix", "suffix", "contains", "regex", "not"];
const TESTS: [&str; 5] = ["equals", "prefix", "suffix", "contains", "regex"];
pub(super) const HEADER: Shape = Shape { path: "load_balancer.listener.policy.header", keys: KEYS };
pub(super) const COOKIE: Shape = Shape { path: "load_balancer.listener.policy.cookie", keys: KEYS };

/// The rules of a policy; `None` if something is wrong with one.
pub(super) fn read(policy: &Table<'_>) -> Option<BTreeSet<Rule>> {
    let headers = policy.tables("header", &HEADER).into_iter().map(|table| {
        let name = table.require("name").and_then(scalar::token);
        rule(&table, name.map(|name| Subject::Header(name.to_lower_case())))
    });
    let cookies = policy.tables("cookie", &COOKIE).into_iter().map(|table| {
        let name = table.require("name").and_then(scalar::token);
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
    let (make, least): (fn(TestValue) -> Test, _) = match value.key() {
        "regex" => return scalar::pattern(value).map(Test::Regex),
        "equals" => (Test::Equals, 0),
        "prefix" => (Test::StartsWith, 1),
        "suffix" => (Test::EndsWith, 1),
        _ => (Test::Contains, 1),
    };
    scalar::text(value, |text| TestValue::new(text, least)).map(make)
}
