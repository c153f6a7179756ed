//! Algorithms, stickiness, slow start and rest: what they mean and which go together.

use super::*;
use model::{
    algorithm::Algorithm,
    sticky::{SameSite, Sticky, StickyBy},
    value::{CookieMinutes, EjectionShare, Failures, Remembered, StickyMinutes, Token},
};

const L7: &str = "protocol = 'http'\n";

/// [`BASE`] with these lines in its pool, which no listener uses, instead of the algorithm.
fn with(lines: &str) -> String {
    let base = BASE.replace("[[load_balancer.listener]]\nname = \"web\"\nport = 80\npool = \"web\"\n", "");
    base.replace("algorithm = \"weighted-round-robin\"\n", &format!("{lines}\n"))
}

fn read(lines: &str) -> Pool {
    pool(&served(&with(lines)), "web").clone()
}

fn sticky(lines: &str) -> Option<Sticky> {
    read(&format!("{L7}{lines}")).http.unwrap().sticky
}

/// What is said about lines; the last line is on line 13 for one, 14 for two, …
fn said(lines: &str) -> Vec<String> {
    super::said(&with(lines))
}

/// "Sticky sessions supported by load balancers", row by row: at Layer 4, at Layer 7.
#[test]
fn table_10_1() {
    const NOT_APPLICABLE: &str = "a client of Layer 4 is known by its address only";
    const BY_LOAD: &str = "does not go with \"weighted-least-connections\", which chooses by load";
    const BY_ADDRESS: &str = "does not go with \"source-hash\", which keeps a client by its address already";
    const BY_COOKIE: &str = "clients of an HTTP pool are known by a cookie";
    const SUPPORTED: &str = "";
    let (source, ours, theirs) =
        ("by = 'source-ip'", "by = 'balancer-cookie'", "by = 'application-cookie', cookie = 'session'");
    for (algorithm, by, layer_4, layer_7) in [
        ("weighted-round-robin", source, SUPPORTED, BY_COOKIE),
        ("weighted-round-robin", ours, NOT_APPLICABLE, SUPPORTED),
        ("weighted-round-robin", theirs, NOT_APPLICABLE, SUPPORTED),
        ("weighted-least-connections", source, BY_LOAD, BY_LOAD),
        ("weighted-least-connections", ours, NOT_APPLICABLE, BY_LOAD),
        ("weighted-least-connections", theirs, NOT_APPLICABLE, BY_LOAD),
        ("source-hash", source, SUPPORTED, SUPPORTED),
        ("source-hash", ours, NOT_APPLICABLE, BY_ADDRESS),
        ("source-hash", theirs, NOT_APPLICABLE, BY_ADDRESS),
    ] {
        for (protocol, expected) in [("", layer_4), (L7, layer_7)] {
            let lines = format!("{protocol}algorithm = '{algorithm}'\nsticky = {{ {by} }}");
            let said = said(&lines);
            if expected == SUPPORTED {
                assert!(said.is_empty(), "{lines}: {said:?}");
            } else {
                let [said] = said.as_slice() else { panic!("{lines}: {said:?}") };
                let (_, reason) = said.split_once("pool.sticky.by: ").unwrap();
                assert!(reason.starts_with(expected), "{lines}: {said}");
            }
        }
    }
}

#[test]
fn what_stickiness_means() {
    let minutes = CookieMinutes::literal;
    let round_robin = |minutes| Algorithm::WeightedRoundRobin(Some(StickyMinutes::literal(minutes)));
    assert_eq!(read("sticky = { by = 'source-ip' }").algorithm, round_robin(20));
    assert_eq!(read("sticky = { by = 'source-ip', minutes = 1 }").algorithm, round_robin(1));
    assert_eq!(
        read("algorithm = 'source-hash'\nsticky = { by = 'source-ip' }").algorithm,
        Algorithm::SourceHash
    );
    assert_eq!(sticky(""), None);

    let token = |text: &str| Token::new(text).unwrap();
    let ours = |name: Option<&str>, same_site| StickyBy::BalancerCookie { name: name.map(token), same_site };
    assert_eq!(
        sticky("sticky = { by = 'balancer-cookie' }"),
        Some(Sticky { by: ours(None, SameSite::Lax), time: minutes(20), drain: false })
    );
    let all = "by = 'balancer-cookie', minutes = 1440, cookie = 'lb', same_site = 'none', drain = true";
    assert_eq!(
        sticky(&format!("sticky = {{ {all} }}")),
        Some(Sticky { by: ours(Some("lb"), SameSite::None), time: minutes(1440), drain: true })
    );
    let theirs = |remembered| StickyBy::ApplicationCookie {
        name: token("JSESSIONID"),
        remembered: Remembered::literal(remembered),
    };
    assert_eq!(
        sticky("sticky = { by = 'application-cookie', cookie = 'JSESSIONID' }"),
        Some(Sticky { by: theirs(65_536), time: minutes(20), drain: false })
    );
    assert_eq!(
        sticky("sticky = { by = 'application-cookie', cookie = 'JSESSIONID', remember = 10, minutes = 1 }"),
        Some(Sticky { by: theirs(10), time: minutes(1), drain: false })
    );
}

/// OTC guide, section 3.4.
#[test]
fn what_weights_mean_to_a_source_hash() {
    for layer in ["", L7] {
        for (lines, weight) in [("", 3), ("weights = 'count'", 3), ("weights = 'ignore'", 1)] {
            let pool = read(&format!("{layer}algorithm = 'source-hash'\n{lines}"));
            assert_eq!(pool.members.values().next().unwrap().weight.get(), weight, "{layer}{lines}");
        }
    }
}

#[test]
fn what_slow_start_and_rest_mean() {
    let http = |lines: &str| read(&format!("{L7}{lines}")).http.unwrap();
    assert_eq!(http("").slow_start, None);
    assert_eq!(http("slow_start = '90s'").slow_start, Some(Seconds::literal(90)));
    let ejection = |failures, seconds, share| {
        Some(Ejection {
            failures: Failures::literal(failures),
            time: Seconds::literal(seconds),
            share: EjectionShare::literal(share),
        })
    };
    assert_eq!(http("").ejection, ejection(5, 10, 50));
    assert_eq!(http("ejection = { failures = 3 }").ejection, ejection(3, 10, 50));
    assert_eq!(http("ejection = { time = '1m', share = 100 }").ejection, ejection(5, 60, 100));
    assert_eq!(http("ejection = { failures = 0 }").ejection, None);
}

#[test]
fn refused() {
    for (lines, expected) in [
        (
            "weights = 'ignore'",
            "13: pool.weights: goes with \"source-hash\" only: the other algorithms share by weights; leave it out",
        ),
        (
            "algorithm = 'source-hash'\nweights = 'ignored'",
            "14: pool.weights: \"ignored\" is not what weights can be; use \"count\" or \"ignore\"",
        ),
        (
            "sticky = { by = 'source-ip', minutes = 61 }",
            "13: pool.sticky.minutes: 61 is not a number of minutes; use 1 to 60",
        ),
        (
            "sticky = { by = 'source-ip', cookie = 'a' }",
            "13: pool.sticky.cookie: goes with cookies only; leave it out",
        ),
        (
            "algorithm = 'source-hash'\nsticky = { by = 'source-ip', minutes = 5 }",
            "14: pool.sticky.minutes: source-hash keeps a client without it; leave it out",
        ),
        (
            "protocol = 'http'\nsticky = { by = 'balancer-cookie', minutes = 1441 }",
            "14: pool.sticky.minutes: 1441 is not a number of minutes; use 1 to 1440",
        ),
        (
            "protocol = 'http'\nsticky = { by = 'balancer-cookie', minutes = 0 }",
            "14: pool.sticky.minutes: 0 is not a number of minutes; use 1 to 1440",
        ),
        (
            "protocol = 'http'\nsticky = { by = 'balancer-cookie', cookie = 'a b' }",
            r#"14: pool.sticky.cookie: "a b" cannot be a header's or a cookie's name; use 1 to 64 letters, digits, "-" and "_""#,
        ),
        (
            "protocol = 'http'\nsticky = { by = 'balancer-cookie', same_site = 'Lax' }",
            r#"14: pool.sticky.same_site: "Lax" is no value of SameSite; did you mean "lax"?"#,
        ),
        (
            "protocol = 'http'\nsticky = { by = 'balancer-cookie', remember = 1 }",
            r#"14: pool.sticky.remember: goes with "application-cookie" only; leave it out"#,
        ),
        (
            "protocol = 'http'\nsticky = { by = 'application-cookie' }",
            "14: pool.sticky.cookie: missing; it has no default",
        ),
        (
            "protocol = 'http'\nsticky = { by = 'application-cookie', cookie = 'a', same_site = 'lax' }",
            r#"14: pool.sticky.same_site: goes with "balancer-cookie" only; leave it out"#,
        ),
        (
            "protocol = 'http'\nsticky = { by = 'application-cookie', cookie = 'a', remember = 0 }",
            "14: pool.sticky.remember: 0 is not a number of cookies; use 1 to 16777216",
        ),
        (
            "slow_start = '30s'",
            r#"13: pool.slow_start: only a pool with protocol = "http" or "https" has this"#,
        ),
        ("ejection = {}", r#"13: pool.ejection: only a pool with protocol = "http" or "https" has this"#),
        (
            "protocol = 'http'\nalgorithm = 'source-hash'\nslow_start = '30s'",
            r#"15: pool.slow_start: goes with "weighted-round-robin" only: the other algorithms have no turns to leave to others"#,
        ),
        (
            "protocol = 'http'\nalgorithm = 'weighted-least-connections'\nslow_start = '30s'",
            r#"15: pool.slow_start: goes with "weighted-round-robin" only: the other algorithms have no turns to leave to others"#,
        ),
        (
            "protocol = 'http'\nslow_start = '0s'",
            r#"14: pool.slow_start: "0s" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
        (
            "protocol = 'http'\nejection = { share = 101 }",
            "14: pool.ejection.share: 101 is not a share in per cent; use 0 to 100",
        ),
    ] {
        assert_eq!(said(lines), [expected], "{lines}");
    }
}

/// What the example shows behind a "#" for an HTTP pool, one at a time.
#[test]
fn the_examples_lines_are_right() {
    let (_, behind) = EXAMPLE.split_once("name = \"pages\"\nprotocol = \"http\"        #").unwrap();
    let lines: Vec<&str> = behind.lines().filter_map(|line| line.strip_prefix("# ")).collect();
    let wanted = ["sticky = ", "slow_start = ", "ejection = "];
    let lines: Vec<&&str> =
        lines.iter().filter(|line| wanted.iter().any(|key| line.starts_with(key))).collect();
    assert_eq!(lines.len(), 4);
    for line in lines {
        read(&format!("{L7}{line}"));
    }
}
