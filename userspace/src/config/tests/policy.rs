//! Forwarding policies and redirection.

use super::*;
use model::{
    policy::{Condition, Domain, PathMatch, RedirectStatus, Rule, Subject, Test, TestValue},
    served::{Action, Policy, Redirect, RedirectTo},
    value::{Pattern, RejectStatus, Token, Url, UrlPrefix},
};

/// [`BASE`], for HTTP, with these lines behind its listener, the first of them on line 16.
fn with(lines: &str) -> String {
    BASE.replace("port = 80\n", "port = 80\nprotocol = 'http'\n")
        .replace("pool = \"web\"\n", &format!("pool = \"web\"\n{lines}\n"))
        .replace("algorithm =", "protocol = 'http'\nalgorithm =")
}

fn said(lines: &str) -> Vec<String> {
    super::said(&with(lines))
}

/// A policy for this condition: lines 16 to 19.
fn policy(condition: &str) -> String {
    format!("[[load_balancer.listener.policy]]\nname = 'p'\npool = 'web'\n{condition}")
}

/// A policy for all paths with this action: lines 16 to 19.
fn action(action: &str) -> String {
    format!("[[load_balancer.listener.policy]]\nname = 'p'\npath = {{ prefix = '/' }}\n{action}")
}

fn read(lines: &str) -> Vec<Policy> {
    let mut model = served(&with(lines));
    model.listeners.pop_first().unwrap().1.http.as_deref().unwrap().policies.clone()
}

#[test]
fn conditions() {
    let regex = |text| Pattern::new(text).unwrap();
    let of = |domain, path| Condition { domain, path, rules: Default::default() };
    for (lines, expected) in [
        ("domain = 'WWW.example.com'", of(Some(Domain::Exact("www.example.com".into())), None)),
        ("domain = '*.Example.com'", of(Some(Domain::Below("example.com".into())), None)),
        ("domain = '192.0.2.1'", of(Some(Domain::Exact("192.0.2.1".into())), None)),
        ("path = { exact = '/login.php' }", of(None, Some(PathMatch::Exact("/login.php".into())))),
        ("path = { prefix = '/' }", of(None, Some(PathMatch::Prefix("/".into())))),
        ("path = { prefix = '/.' }", of(None, Some(PathMatch::Prefix("/.".into())))),
        ("path = { prefix = '/é b' }", of(None, Some(PathMatch::Prefix("/é b".into())))),
        ("path = { exact = '/a%2Fb' }", of(None, Some(PathMatch::Exact("/a%2Fb".into())))),
        ("path = { regex = '/elb[^\\s]*' }", of(None, Some(PathMatch::Regex(regex("/elb[^\\s]*"))))),
    ] {
        assert_eq!(*read(&policy(lines))[0].condition, expected, "{lines}");
    }
    let rule = |subject, test, invert| Rule { subject, test, invert };
    let token = |text: &str| Token::new(text).unwrap();
    let header = |name: &str| Subject::Header(token(name));
    let cookie = || Subject::Cookie(token("Stage"));
    let value = |text| TestValue::new(text, 0).unwrap();
    for (lines, expected) in [
        ("header = [{ name = 'X-A' }]", rule(header("x-a"), Test::Present, false)),
        (
            "header = [{ name = 'x-a', equals = '', not = true }]",
            rule(header("x-a"), Test::Equals(value("")), true),
        ),
        ("cookie = [{ name = 'Stage', equals = 'b c' }]", rule(cookie(), Test::Equals(value("b c")), false)),
        ("cookie = [{ name = 'Stage', prefix = 'b' }]", rule(cookie(), Test::StartsWith(value("b")), false)),
        ("cookie = [{ name = 'Stage', suffix = 'b' }]", rule(cookie(), Test::EndsWith(value("b")), false)),
        ("cookie = [{ name = 'Stage', contains = 'b' }]", rule(cookie(), Test::Contains(value("b")), false)),
        ("cookie = [{ name = 'Stage', regex = 'b+' }]", rule(cookie(), Test::Regex(regex("b+")), false)),
    ] {
        let lines = policy(&format!("domain = 'a'\n{lines}"));
        assert_eq!(read(&lines)[0].condition.rules, [expected].into(), "{lines}");
    }
}

#[test]
fn actions() {
    let redirect =
        |status, to| Action::Redirect(Redirect { status: RedirectStatus::new(status).unwrap(), to });
    let url = || RedirectTo::Url(Url::new("https://www.example.com/new?a=b").unwrap());
    for (lines, expected) in [
        ("pool = 'web'", Action::Pool(pool_id("web"))),
        ("reject = 403", Action::Reject(RejectStatus::literal(403))),
        ("redirect = { url = 'https://www.example.com/new?a=b' }", redirect(301, url())),
        ("redirect = { url = 'https://www.example.com/new?a=b', status = 307 }", redirect(307, url())),
        (
            "redirect = { prefix = 'http://a.example/v2', status = 308 }",
            redirect(308, RedirectTo::Prefix(UrlPrefix::new("http://a.example/v2").unwrap())),
        ),
    ] {
        assert_eq!(read(&action(lines))[0].action, expected, "{lines}");
    }
}

#[test]
fn several_in_order() {
    let one = |name: &str, path: &str| {
        format!("[[load_balancer.listener.policy]]\nname = '{name}'\nreject = 404\npath = {{ {path} }}\n")
    };
    let policies =
        read(&[one("b", "prefix = '/b'"), one("a", "prefix = '/a'"), one("c", "exact = '/a'")].concat());
    assert_eq!(policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
}

#[test]
fn refused_conditions() {
    for (lines, expected) in [
        (
            "",
            r#"16: load_balancer.listener.policy: has neither domain nor path; give one of them, such as path = { prefix = "/" } for any path"#,
        ),
        (
            "header = [{ name = 'a' }]",
            r#"16: load_balancer.listener.policy: has neither domain nor path; give one of them, such as path = { prefix = "/" } for any path"#,
        ),
        (
            "domain = 'www.*.com'",
            r#"19: load_balancer.listener.policy.domain: "www.*.com" is not a domain; use one such as "www.example.com", or "*.example.com" for all below that"#,
        ),
        (
            "domain = 'example.com.'",
            r#"19: load_balancer.listener.policy.domain: "example.com." is not a domain; use one such as "www.example.com", or "*.example.com" for all below that"#,
        ),
        (
            "domain = 'example.com:80'",
            r#"19: load_balancer.listener.policy.domain: "example.com:80" is not a domain; use one such as "www.example.com", or "*.example.com" for all below that"#,
        ),
        ("path = {}", "19: load_balancer.listener.policy.path: needs exactly one of exact, prefix, regex"),
        (
            "path = { exact = '/a', regex = '/b' }",
            "19: load_balancer.listener.policy.path.regex: exact is given already; give one of exact, prefix, regex",
        ),
        (
            "path = { exact = 'a' }",
            r#"19: load_balancer.listener.policy.path.exact: "a" is not a path; it must begin with a slash"#,
        ),
        (
            "path = { prefix = '/a?b' }",
            r##"19: load_balancer.listener.policy.path.prefix: "/a?b": the query and what follows "#" are not part of the path; leave them out"##,
        ),
        (
            "path = { exact = '/a/../b%20c' }",
            r#"19: load_balancer.listener.policy.path.exact: paths are compared decoded and without //, /./ and /../; "/a/../b%20c" never is one, use "/b c""#,
        ),
        (
            "path = { prefix = '//a' }",
            r#"19: load_balancer.listener.policy.path.prefix: paths are compared decoded and without //, /./ and /../; "//a" never is one, use "/a""#,
        ),
        (
            "path = { regex = '/(a' }",
            r#"19: load_balancer.listener.policy.path.regex: "/(a" is not a regular expression: unclosed group; use the syntax of https://docs.rs/regex"#,
        ),
        (
            "path = { regex = 'a)|(b' }",
            r#"19: load_balancer.listener.policy.path.regex: "a)|(b" is not a regular expression: unopened group; use the syntax of https://docs.rs/regex"#,
        ),
        (
            r"path = { regex = '/(\w{1000}){1000}' }",
            r#"19: load_balancer.listener.policy.path.regex: "/(\\w{1000}){1000}" is too large when compiled; use fewer or smaller repetitions"#,
        ),
        (
            "path = { regex = '' }",
            r#"19: load_balancer.listener.policy.path.regex: "" has 0 bytes; use 1 to 1024"#,
        ),
        (
            "domain = 'a'\nheader = [{ name = 'a:b' }]",
            r#"20: load_balancer.listener.policy.header.name: "a:b" cannot be a header's or a cookie's name; use 1 to 64 letters, digits, "-" and "_""#,
        ),
        (
            "domain = 'a'\ncookie = [{ name = 'a', equals = 'a', suffix = 'b' }]",
            "20: load_balancer.listener.policy.cookie.suffix: equals is given already; give one of equals, prefix, suffix, contains, regex",
        ),
        (
            "domain = 'a'\ncookie = [{ name = 'a', contains = '' }]",
            r#"20: load_balancer.listener.policy.cookie.contains: "" has 0 bytes and cannot be searched for; use 1 to 1024 bytes, no control characters"#,
        ),
        (
            "domain = 'a'\n[[load_balancer.listener.policy]]\nname = 'q'\ndomain = 'A'\nreject = 404",
            "20: load_balancer.listener.policy: has the same domain, path and rules as the policy on line 16; one of them would never be met",
        ),
        (
            "path = { prefix = '/a' }\n[[load_balancer.listener.policy]]\nname = 'p'\npath = { exact = '/a' }\nreject = 404",
            r#"21: load_balancer.listener.policy.name: "p" is taken on line 17; give each its own name"#,
        ),
    ] {
        assert_eq!(said(&policy(lines)), [expected], "{lines}");
    }
}

#[test]
fn the_same_condition_but_for_its_rules_is_another() {
    let more = "[[load_balancer.listener.policy]]\nname = 'q'\ndomain = 'a'\nheader = [{ name = 'b' }]\nreject = 404";
    assert_eq!(said(&policy(&format!("domain = 'a'\n{more}"))), [""; 0]);
    let rules = "header = [{ name = 'c' }, { name = 'b' }]";
    let turned = "[[load_balancer.listener.policy]]\nname = 'q'\ndomain = 'a'\nreject = 404\nheader = [{ name = 'b' }, { name = 'c' }]";
    assert_eq!(said(&policy(&format!("domain = 'a'\n{rules}\n{turned}"))).len(), 1);
}

#[test]
fn refused_actions() {
    const URL: &str = "is not a URL to be sent to; use one such as \"https://www.example.com/new\", at most 2048 bytes, other characters percent-encoded";
    for (lines, expected) in [
        ("", "16: load_balancer.listener.policy: needs exactly one of pool, reject, redirect".to_owned()),
        (
            "pool = 'web'\nreject = 403",
            "20: load_balancer.listener.policy.reject: pool is given already; give one of pool, reject, redirect".into(),
        ),
        (
            "pool = 'wep'",
            r#"19: load_balancer.listener.policy.pool: no pool is named "wep"; write [[pool]] with this name, or name another"#.into(),
        ),
        (
            "pool = 'l4'\n[[pool]]\nname = 'l4'",
            r#"19: load_balancer.listener.policy.pool: pool "l4" is not for HTTP; give it protocol = "http" or "https", or name another"#.into(),
        ),
        (
            "reject = 200",
            "19: load_balancer.listener.policy.reject: 200 is not a status to reject with; use 400 to 599".into(),
        ),
        (
            "redirect = { status = 302 }",
            "19: load_balancer.listener.policy.redirect: needs exactly one of url, prefix, listener".into(),
        ),
        (
            "redirect = { url = 'http://a', status = 304 }",
            "19: load_balancer.listener.policy.redirect.status: 304 does not send a client elsewhere; use 301, 302, 303, 307 or 308".into(),
        ),
        (
            "redirect = { url = 'http://a', status = 200 }",
            "19: load_balancer.listener.policy.redirect.status: 200 does not send a client elsewhere; use 301, 302, 303, 307 or 308".into(),
        ),
        ("redirect = { url = '/a' }", format!("19: load_balancer.listener.policy.redirect.url: \"/a\" {URL}")),
        ("redirect = { url = 'https:///a' }", format!("19: load_balancer.listener.policy.redirect.url: \"https:///a\" {URL}")),
        ("redirect = { url = 'http://a b' }", format!("19: load_balancer.listener.policy.redirect.url: \"http://a b\" {URL}")),
        (
            "redirect = { prefix = 'http://a/' }",
            r##"19: load_balancer.listener.policy.redirect.prefix: the request's path, which begins with a slash, is put behind "http://a/"; leave out the slash at its end, "?" and "#""##.into(),
        ),
        (
            "redirect = { listener = 'tls' }",
            r#"19: load_balancer.listener.policy.redirect.listener: no listener of this load balancer is named "tls"; name one with protocol = "https""#.into(),
        ),
        (
            "redirect = { listener = 'web' }",
            "19: load_balancer.listener.policy.redirect.listener: is this listener itself; name another".into(),
        ),
        (
            "redirect = { listener = 'other' }\n[[load_balancer.listener]]\nname = 'other'\nprotocol = 'http'\nport = 81",
            r#"19: load_balancer.listener.policy.redirect.listener: "other" is no HTTPS listener; name one with protocol = "https""#.into(),
        ),
        (
            "redirect = { listener = 'other' }\n[[load_balancer.listener]]\nname = 'other'\nprotocol = 'quic'\nport = 81",
            r#"22: load_balancer.listener.protocol: "quic" is not supported by this version; use "tcp", "udp", "http" or "https""#.into(),
        ),
    ] {
        assert_eq!(said(&action(lines)), [expected], "{lines}");
    }
}

/// A port that cannot be does not hide what the listener speaks.
#[test]
fn a_listener_that_is_read_in_part_is_judged_by_that() {
    let other = "redirect = { listener = 'other' }\n[[load_balancer.listener]]\nname = 'other'\nprotocol = 'http'\nport = 0";
    assert_eq!(
        said(&action(other)),
        [
            r#"19: load_balancer.listener.policy.redirect.listener: "other" is no HTTPS listener; name one with protocol = "https""#,
            "23: load_balancer.listener.port: 0 is not a port; use 1 to 65535"
        ]
    );
}

#[test]
fn only_http_listeners_have_policies() {
    let lines = policy("domain = 'a'");
    let text = BASE.replace("pool = \"web\"\n", &format!("pool = \"web\"\n{lines}\n"));
    assert_eq!(
        super::said(&text).first().map(String::as_str),
        Some("15: load_balancer.listener.policy: only an HTTP or HTTPS listener has this")
    );
    let text = BASE.replace("port = 80\n", "port = 80\nredirect = { listener = 'a' }\n");
    assert_eq!(
        super::said(&text),
        ["14: load_balancer.listener.redirect: only an HTTP or HTTPS listener has this"]
    );
}

#[test]
fn a_listener_that_is_not_there_cannot_be_redirected_to() {
    assert_eq!(
        said("redirect = { listener = 'tls' }"),
        [
            r#"16: load_balancer.listener.redirect.listener: no listener of this load balancer is named "tls"; name one with protocol = "https""#
        ]
    );
    assert_eq!(
        said("redirect = { url = 'https://a' }").first().map(String::as_str),
        Some("16: load_balancer.listener.redirect.url: unknown key; this version knows listener, status")
    );
}

/// Those that the example shows behind a "#".
#[test]
fn the_examples_policies_are_right() {
    let lines = EXAMPLE.lines().skip_while(|line| !line.starts_with("# [[load_balancer.listener.policy]]"));
    let lines: Vec<&str> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.trim_start_matches(['#', ' '])).collect();
    let text =
        EXAMPLE.replacen("# Certificates are", &format!("{}\n# Certificates are", lines.join("\n")), 1);
    let model = served(&text);
    let pages = model.listeners.into_values().find(|listener| listener.name.as_str() == "pages").unwrap();
    let policies = &pages.http.as_deref().unwrap().policies;
    assert_eq!(
        policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(),
        ["images", "beta", "admin"]
    );
    assert_eq!(policies[1].condition.rules.len(), 2);
}

/// By position the second is never met, and may be there all the same.
#[test]
fn which_of_several_wins() {
    let twice = format!(
        "{}\n{}",
        policy("domain = 'a.example'"),
        policy("domain = 'a.example'").replace("'p'", "'q'")
    );
    assert_eq!(read(&format!("policy_order = 'position'\n{twice}")).len(), 2);
    assert!(said(&twice)[0].contains("has the same domain, path and rules"));
    let words = said(&format!("policy_order = 'first'\n{}", policy("domain = 'a.example'")));
    assert!(words[0].contains("is no order"), "{words:?}");
}
