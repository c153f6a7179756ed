//! What a pool's check may be.

use super::*;
use model::{
    health::{Check, Codes, Get},
    value::HostName,
};

fn with(health: &str) -> String {
    edited("algorithm = \"weighted-round-robin\"\n", &format!("{health}\n"))
}

fn read(health: &str) -> Option<Check> {
    pool(&served(&with(health)), "web").check.as_deref().cloned()
}

fn pace(interval: u32, timeout: u32, retries: u8) -> Pace {
    let [interval, timeout] = [interval, timeout].map(CheckTime::literal);
    Pace::new(interval, timeout, Retries::literal(retries)).unwrap()
}

#[test]
fn what_is_not_said_has_a_default() {
    let tcp = Check { probe: Probe::Tcp, port: None, pace: pace(5, 3, 3) };
    assert_eq!(read(""), None);
    assert_eq!(read("health = { protocol = 'tcp' }"), Some(tcp.clone()));
    assert_eq!(read("[pool.health]\nprotocol = 'tcp'"), Some(tcp.clone()));
    assert_eq!(read("health = { protocol = 'udp' }"), Some(Check { probe: Probe::Udp, ..tcp.clone() }));
    let get = Get { host: None, tls: None, path: CheckPath::default(), codes: Codes::new("200").unwrap() };
    assert_eq!(
        read("health = { protocol = 'http' }"),
        Some(Check { probe: Probe::Http(get), ..tcp.clone() })
    );
    let shorter = Check { pace: pace(2, 2, 3), ..tcp };
    assert_eq!(
        read("health = { protocol = 'tcp', interval = '2s' }"),
        Some(shorter),
        "never above the interval"
    );
}

#[test]
fn everything_can_be_said() {
    let get = Get {
        host: Some(HostName::new("shop.example").unwrap()),
        tls: None,
        path: CheckPath::new("/healthz?deep=1").unwrap(),
        codes: Codes::new("200,202,401-403").unwrap(),
    };
    let expected = Check { probe: Probe::Http(get), port: Some(Port::literal(9000)), pace: pace(50, 50, 10) };
    let said = "health = { protocol = 'http', port = 9000, host = 'shop.example', path = '/healthz?deep=1', \
                codes = '200, 202, 401-403', interval = '50s', timeout = '50s', retries = 10 }";
    assert_eq!(read(said), Some(expected));
}

/// OTC guide, section 10.6.2; its example has 10 s of 5.
#[test]
fn a_timeout_ends_with_the_interval() {
    for (rest, interval, timeout) in [
        ("interval = '2s', timeout = '3s'", 2, 2),
        ("interval = '5s', timeout = '10s'", 5, 5),
        ("timeout = '6s'", 5, 5),
        ("interval = '2s'", 2, 2),
        ("interval = '9s', timeout = '9s'", 9, 9),
    ] {
        let check = read(&format!("health = {{ protocol = 'tcp', {rest} }}")).unwrap();
        assert_eq!(check.pace, pace(interval, timeout, 3), "{rest}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let long = format!("'/{}'", "a".repeat(80));
    let long_path = format!(
        "17: pool.health.path: {:?} is not a path; use 1 to 80 visible ASCII characters, the first a slash",
        long.trim_matches('\'')
    );
    for (rest, expected) in [
        ("protocol = 'http', port = 0", "17: pool.health.port: 0 is not a port; use 1 to 65535"),
        (
            "protocol = 'icmp'",
            "17: pool.health.protocol: \"icmp\" is not supported by this version; use \"tcp\", \"http\", \"https\" or \"udp\"",
        ),
        ("port = 80", "17: pool.health.protocol: missing; it has no default"),
        (
            "protocol = 'tcp', path = '/'",
            "17: pool.health.path: a tcp check has none; use it with protocol = \"http\"",
        ),
        (
            "protocol = 'udp', codes = '200'",
            "17: pool.health.codes: a udp check has none; use it with protocol = \"http\"",
        ),
        (
            "protocol = 'tcp', interval = '0s'",
            "17: pool.health.interval: \"0s\" is not a time in whole seconds from 1s to 1day; use one such as \"300s\", \"5m\" or \"1h\"",
        ),
        (
            "protocol = 'tcp', interval = '51s'",
            "17: pool.health.interval: longer than a health check may have; use \"1s\" to \"50s\"",
        ),
        (
            "protocol = 'tcp', retries = 0",
            "17: pool.health.retries: 0 is not a number of retries; use 1 to 10",
        ),
        (
            "protocol = 'tcp', retries = 11",
            "17: pool.health.retries: 11 is not a number of retries; use 1 to 10",
        ),
        (
            "protocol = 'http', path = 'healthz'",
            "17: pool.health.path: \"healthz\" is not a path; use 1 to 80 visible ASCII characters, the first a slash",
        ),
        (
            "protocol = 'http', path = \"/ HTTP/1.1\\r\\nX: y\"",
            "17: pool.health.path: \"/ HTTP/1.1\\r\\nX: y\" is not a path; use 1 to 80 visible ASCII characters, the first a slash",
        ),
        (&format!("protocol = 'http', path = {long}"), &long_path),
        (
            "protocol = 'http', host = '-shop'",
            "17: pool.health.host: \"-shop\" is not a host name; use 1 to 100 letters, digits, dots and hyphens, the first a letter or digit",
        ),
        (
            "protocol = 'http', codes = '200,2xx'",
            "17: pool.health.codes: \"200,2xx\" is not a list of HTTP codes; use codes from 200 to 599 and ranges, such as \"200,202,401\" or \"200-299\"",
        ),
        ("protocol = 'tcp', paths = 1", "17: pool.health.paths: unknown key; did you mean \"path\"?"),
    ] {
        assert_eq!(said(&with(&format!("health = {{ {rest} }}"))), [expected], "{rest}");
    }
    assert_eq!(
        said(&with("health = 'tcp'")),
        ["17: pool.health: a string does not belong here; use a table with the header [pool.health]"]
    );
}

#[test]
fn members_that_speak_tls_are_asked_over_tls() {
    let file = |protocol: &str, health: &str| {
        let text = edited("algorithm = \"weighted-round-robin\"\n", &format!("{protocol}\n{health}\n"));
        text.replace("name = \"web\"\nport = 80\n", "name = \"web\"\nprotocol = 'http'\nport = 80\n")
    };
    let https = "protocol = 'https'\ntls = { verify = false, server_name = 'a.example' }";
    let model = served(&file(https, "health = { protocol = 'https' }"));
    let web = pool(&model, "web");
    let Probe::Http(get) = &web.check.as_ref().unwrap().probe else { panic!() };
    assert_eq!(get.tls, web.http.as_ref().unwrap().member.tls);
    assert!(get.tls.is_some());
    let model = served(&file(https, "health = { protocol = 'http', port = 9000 }"));
    let Probe::Http(get) = &pool(&model, "web").check.as_ref().unwrap().probe else { panic!() };
    assert_eq!(get.tls, None);

    let plain =
        "the members speak TLS on their ports; use \"https\", or give the port on which they answer without";
    assert_eq!(
        said(&file(https, "health = { protocol = 'http' }")),
        [format!("20: pool.health.protocol: {plain}")]
    );
    let none = "only members of a pool with protocol = \"https\" are asked over TLS; use \"http\"";
    assert_eq!(
        said(&file("protocol = 'http'", "health = { protocol = 'https' }")),
        [format!("19: pool.health.protocol: {none}")]
    );

    let proxied = "protocol = 'http'\nproxy_protocol = 'v2'";
    let header = "the members want a PROXY protocol header first, which a check does not send; use \"tcp\", or give \
                  the port on which they answer without";
    assert_eq!(
        said(&file(proxied, "health = { protocol = 'http' }")),
        [format!("20: pool.health.protocol: {header}")]
    );
    for check in ["protocol = 'http', port = 9000", "protocol = 'tcp'"] {
        parse("f", &file(proxied, &format!("health = {{ {check} }}"))).unwrap();
    }
}
