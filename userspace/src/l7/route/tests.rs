//! Table 3-8 of the OTC guide, the order between policies, and both against a model that tries one after the other.

mod against_model;

use std::{collections::BTreeSet, sync::Arc};

use http::{HeaderName, HeaderValue};
use model::{
    object::PoolId,
    policy::{Condition, Rule, Subject, Test, TestValue},
    value::{Name, RejectStatus, Token},
};

use super::*;

fn policy(name: &str, domain: Option<&str>, path: Option<PathMatch>) -> Policy {
    let domain = domain.map(|domain| match domain.strip_prefix("*.") {
        Some(above) => Domain::Below(above.into()),
        None => Domain::Exact(domain.into()),
    });
    let condition = Condition { domain, path, rules: BTreeSet::new() };
    Policy {
        name: Name::new(name).unwrap(),
        condition: Arc::new(condition),
        action: Action::Pool(PoolId::of_names(&[name])),
    }
}

fn token(text: &str) -> Token {
    Token::new(text).unwrap()
}

/// The value is this.
fn equals(text: &str) -> Test {
    Test::Equals(TestValue::new(text, 0).unwrap())
}

fn exact(path: &str) -> Option<PathMatch> {
    Some(PathMatch::Exact(path.into()))
}

fn prefix(path: &str) -> Option<PathMatch> {
    Some(PathMatch::Prefix(path.into()))
}

fn regex(text: &str) -> Option<PathMatch> {
    Some(PathMatch::Regex(Pattern::new(text).unwrap()))
}

fn routes(policies: &[Policy]) -> Routes {
    Routes::build(policies, PolicyOrder::Specific).unwrap()
}

fn met<'a>(routes: &'a Routes, host: &str, target: &str) -> Option<&'a str> {
    let headers = HeaderMap::new();
    routes.decide(&Head { host, target, headers: &headers }).map(|policy| policy.name.as_str())
}

/// "URL matching": one row per rule, one column per preset URL.
#[test]
fn table_3_8() {
    const REQUESTED: &str = "/elb/index.html";
    const PRESET: [&str; 4] = ["/elb/index.html", "/elb", r"/elb[^\s]*", "/index.html"];
    for (rule, row) in [
        (exact as fn(&str) -> _, [true, false, false, false]),
        (prefix, [true, true, false, false]),
        (regex, [true, false, true, false]),
    ] {
        for (preset, expected) in PRESET.into_iter().zip(row) {
            let routes = routes(&[policy("p", None, rule(preset))]);
            assert_eq!(met(&routes, "www.example.com", REQUESTED).is_some(), expected, "{:?}", rule(preset));
        }
    }
}

/// Figure 3-1: the prefix wins over the regular expression, though both match.
#[test]
fn figure_3_1() {
    let policies = [
        policy("3", None, regex(r"/elb[^\s]*")),
        policy("2", None, prefix("/elb")),
        policy("1", None, exact("/elb/index.html")),
    ];
    let routes = routes(&policies);
    assert_eq!(met(&routes, "a", "/elb_gls/glossary.html"), Some("2"));
    assert_eq!(met(&routes, "a", "/elb/index.html"), Some("1"));
    assert_eq!(met(&routes, "a", "/other"), None);
}

#[test]
fn the_longest_prefix_wins_and_the_first_regex() {
    let policies = [
        policy("short", None, prefix("/a")),
        policy("long", None, prefix("/a/b")),
        policy("second", None, regex("/[cd].*")),
        policy("third", None, regex("/c.*")),
    ];
    let routes = routes(&policies);
    assert_eq!(met(&routes, "", "/a/bc"), Some("long"));
    assert_eq!(met(&routes, "", "/a/c"), Some("short"));
    assert_eq!(met(&routes, "", "/c"), Some("second"));
    let turned = [policies[3].clone(), policies[2].clone()];
    assert_eq!(met(&self::routes(&turned), "", "/c"), Some("third"));
}

#[test]
fn domains() {
    let policies = [
        policy("exact", Some("www.example.com"), None),
        policy("near", Some("*.b.example.com"), None),
        policy("far", Some("*.example.com"), None),
        policy("path", None, prefix("/p")),
        policy("below", Some("*.example.org"), exact("/p/x")),
    ];
    let routes = routes(&policies);
    for (host, target, expected) in [
        ("www.example.com", "/p", Some("exact")),
        ("WWW.example.COM.:80", "/", Some("exact")),
        ("www.example.com:443", "/", Some("exact")),
        ("x.www.example.com", "/", Some("far")),
        ("x.y.b.example.com", "/", Some("near")),
        ("b.example.com", "/", Some("far")),
        ("example.com", "/", None),
        ("notexample.com", "/", None),
        ("www.example.org", "/p/x", Some("below")),
        ("www.example.org", "/p/y", Some("path")),
        ("www.example.org", "/q", None),
        ("example.org", "/p/x", Some("path")),
        ("", "/p", Some("path")),
        ("", "/", None),
    ] {
        assert_eq!(met(&routes, host, target), expected, "{host}{target}");
    }
}

#[test]
fn rules_come_first_and_leave_the_rest_to_others() {
    let rule = |subject, value| Rule { subject, test: equals(value), invert: false };
    let with = |name: &str, path, rules: &[Rule]| {
        let mut policy = policy(name, None, path);
        Arc::make_mut(&mut policy.condition).rules = rules.iter().cloned().collect();
        policy
    };
    let beta = || rule(Subject::Header(token("x-stage")), "beta");
    let ann = || rule(Subject::Cookie(token("user")), "ann");
    let policies = [
        with("plain", prefix("/a"), &[]),
        with("both", prefix("/a"), &[beta(), ann()]),
        with("beta", prefix("/a"), &[beta()]),
        with("long", prefix("/a/b"), &[ann()]),
        with("root", prefix("/"), &[]),
    ];
    let routes = routes(&policies);
    for (stage, user, target, expected) in [
        ("", "", "/a", "plain"),
        ("beta", "", "/a", "beta"),
        ("beta", "ann", "/a", "both"),
        ("", "ann", "/a", "plain"),
        ("", "ann", "/a/b", "long"),
        ("", "bob", "/a/b", "plain"),
        ("beta", "bob", "/a/b", "beta"),
        ("", "", "/c", "root"),
    ] {
        let cookie = format!("x=y; user={user}");
        let headers = [("x-stage", stage), ("cookie", &cookie)]
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let headers = headers.into_iter().collect();
        let policy = routes.decide(&Head { host: "a", target, headers: &headers }).unwrap();
        assert_eq!(policy.name.as_str(), expected, "{stage:?} {user:?} {target}");
    }
}

#[test]
fn a_rejection_cannot_be_got_round_by_spelling() {
    let mut admin = policy("admin", None, prefix("/admin"));
    admin.action = Action::Reject(RejectStatus::literal(403));
    let mut secret = policy("secret", None, regex("/.*secret.*"));
    secret.action = Action::Reject(RejectStatus::literal(403));
    let routes = routes(&[admin, secret, policy("public", None, prefix("/public"))]);
    for target in [
        "/admin",
        "/admin/x?y",
        "//admin",
        "/./admin",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/.%2E/admin",
        "/%61dmin",
        "/%41/../%61dmin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public\\..\\admin",
        "/public/..;x=y/admin",
        "/;x/admin",
        "/admin;x=y",
        "/admin/../public",
        "/admin%2f..%2fpublic",
        "/%73ecret",
        "/other%0asecret",
        "/%ffsecret%ff",
    ] {
        let expected = if target.contains("ecret") { "secret" } else { "admin" };
        assert_eq!(met(&routes, "a", target), Some(expected), "{target}");
    }
    assert_eq!(met(&routes, "a", "/public/admin"), Some("public"));
    assert_eq!(met(&routes, "a", "/public/../x"), None);
    assert_eq!(met(&routes, "a", "/public/%2e%2e/public/x"), Some("public"));
    assert_eq!(met(&routes, "a", "/x?/admin"), None);
    // Decoded once, as every server does.
    assert_eq!(met(&routes, "a", "/public/%252e%252e/admin"), Some("public"));
}

/// A list of what is allowed: encoding is no odd spelling.
#[test]
fn what_is_rejected_for_the_rest_lets_encoded_paths_through() {
    let mut rest = policy("rest", None, prefix("/"));
    rest.action = Action::Reject(RejectStatus::literal(403));
    let routes =
        routes(&[policy("café", None, exact("/café")), policy("files", None, prefix("/a b/")), rest]);
    for (target, expected) in [
        ("/caf%C3%A9", "café"),
        ("/%63af%c3%a9?x=/..", "café"),
        ("/a%20b/c%7Ed", "files"),
        ("/a%20b/%2e%2e/x", "rest"),
        ("/x/../caf%C3%A9", "rest"),
        ("/a%20b/..%2fx", "rest"),
    ] {
        assert_eq!(met(&routes, "a", target), Some(expected), "{target}");
    }
}
