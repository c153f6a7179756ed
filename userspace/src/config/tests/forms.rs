//! The words of others, and the forms of a table: what is meant is taken, or told.

use super::*;

/// Lines of the listener, of the pool and of its member, and what is said of them.
fn hinted(from: &str, to: &str) -> Vec<String> {
    let said = said(&edited(from, to));
    said.iter().map(|line| line.split_once(": ").map_or("", |(_, rest)| rest).to_owned()).collect()
}

#[test]
fn the_keys_of_others_are_answered_with_ours() {
    for (from, others, ours) in [
        ("vip =", "virtual_ip =", "load_balancer.virtual_ip: unknown key; did you mean \"vip\"?"),
        (
            "port = 80\n",
            "port = 80\nwhitelist = []\n",
            "load_balancer.listener.whitelist: unknown key; did you mean \"allow\"?",
        ),
        (
            "port = 80\n",
            "port = 80\nBlackList = []\n",
            "load_balancer.listener.BlackList: unknown key; did you mean \"deny\"?",
        ),
        (
            "port = 80\n",
            "port = 80\nconnection-limit = 1\n",
            "load_balancer.listener.connection-limit: unknown key; did you mean \"max_connections\"?",
        ),
        ("algorithm =", "lb_algorithm =", "pool.lb_algorithm: unknown key; did you mean \"algorithm\"?"),
        ("weight = 3", "wieght = 3", "pool.member.wieght: unknown key; did you mean \"weight\"?"),
        (
            "weight = 3",
            "admin_state_up = true",
            "pool.member.admin_state_up: unknown key; did you mean \"enabled\"?",
        ),
        ("max_sessions", "max_session", "host.max_session: unknown key; did you mean \"max_sessions\"?"),
    ] {
        assert!(hinted(from, others).contains(&ours.to_owned()), "{others}: {:?}", hinted(from, others));
    }
}

/// Within one table, a word may stand for another key than elsewhere.
#[test]
fn a_hint_is_a_key_of_the_table_it_is_for() {
    let policy = "[[load_balancer.listener.policy]]\nname = 'p'\nurl = '/a'\nreject = 403\n[[pool]]";
    let policy = edited("[[pool]]", policy).replace("port = 80\n", "port = 80\nprotocol = 'http'\n");
    let policy = said(&policy).join("\n");
    assert!(policy.contains("policy.url: unknown key; did you mean \"path\"?"), "{policy}");
    let health = hinted("[[pool.member]]", "health = { type = 'tcp' }\n[[pool.member]]");
    assert!(
        health.contains(&"pool.health.type: unknown key; did you mean \"protocol\"?".to_owned()),
        "{health:?}"
    );
    let sticky = hinted("[[pool.member]]", "sticky = { type = 'source-ip' }\n[[pool.member]]");
    assert!(sticky.contains(&"pool.sticky.type: unknown key; did you mean \"by\"?".to_owned()), "{sticky:?}");
    let host = hinted("max_sessions", "whitelist = []\nmax_sessions");
    assert!(host[0].starts_with("host.whitelist: unknown key; this version knows "), "{host:?}");
}

#[test]
fn the_words_of_others_are_answered_with_ours() {
    for (others, ours) in [
        ("protocol = 'TCP'", "\"TCP\" is not supported by this version; did you mean \"tcp\"?"),
        (
            "protocol = 'TERMINATED_HTTPS'",
            "\"TERMINATED_HTTPS\" is not supported by this version; did you mean \"https\"?",
        ),
        ("when_down = 'Reset'", "\"Reset\" is not something to do; did you mean \"reset\"?"),
    ] {
        let said = hinted("port = 80\n", &format!("port = 80\n{others}\n"));
        assert!(said.len() == 1 && said[0].ends_with(ours), "{others}: {said:?}");
    }
    for (others, ours) in [
        ("round_robin", "weighted-round-robin"),
        ("ROUND_ROBIN", "weighted-round-robin"),
        ("Weighted round robin", "weighted-round-robin"),
        ("LEAST_CONNECTIONS", "weighted-least-connections"),
        ("SOURCE_IP", "source-hash"),
        ("Source IP hash", "source-hash"),
    ] {
        let expected = format!("pool.algorithm: {others:?} is no algorithm; did you mean {ours:?}?");
        assert_eq!(hinted("weighted-round-robin", others), [expected]);
    }
    for (others, ours) in
        [("SOURCE_IP", "source-ip"), ("HTTP_COOKIE", "balancer-cookie"), ("APP_COOKIE", "application-cookie")]
    {
        let said = hinted("[[pool.member]]", &format!("sticky.by = '{others}'\n[[pool.member]]"));
        assert!(said[0].ends_with(&format!("; did you mean {ours:?}?")), "{said:?}");
    }
}

/// A table is the same with a header and inline, and a single one is a list of one.
#[test]
fn tables_may_be_inline() {
    let base = parse("base", BASE);
    let member = "address = \"192.0.2.11\"\nport = 8080\nweight = 3\n";
    let line = "{ address = '192.0.2.11', port = 8080, weight = 3 }";
    for other in [
        edited(&format!("[[pool.member]]\n{member}"), &format!("member = [{line}]\n")),
        edited(&format!("[[pool.member]]\n{member}"), &format!("member = {line}\n")),
        edited("[[pool.member]]", "[pool.member]"),
        edited("[[pool]]", "[pool]"),
        edited("[[load_balancer.listener]]", "[load_balancer.listener]"),
        edited(
            "[[load_balancer.listener]]\nname = \"web\"\nport = 80\npool = \"web\"\n",
            "listener = [\n  { name = 'web', port = 80,\n    pool = 'web' },\n]\n",
        ),
    ] {
        assert_eq!(parse("other", &other), base, "{other}");
    }
    let rule = |header: &str| {
        let policy = "[[load_balancer.listener.policy]]\nname = 'p'\npath.prefix = '/'\nreject = 403\n";
        edited(
            "[[pool]]\nname = \"web\"\nalgorithm",
            &format!("{policy}{header}\n[[pool]]\nname = 'web'\nprotocol = 'http'\nalgorithm"),
        )
        .replace("port = 80\n", "port = 80\nprotocol = 'http'\n")
    };
    let inline = parse("f", &rule("header = { name = 'x', equals = 'y' }"));
    assert!(inline.is_ok(), "{inline:?}");
    assert_eq!(inline, parse("f", &rule("header = [{ name = 'x', equals = 'y' }]")));
}
