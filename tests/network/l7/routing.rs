//! Does a request go where the policies say?

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        certificates::Certificates,
        echo::Echo,
        http,
        script::{Answer, Client},
    },
};
use testbed::{Network, Size, wait_for};

fn ask(balancer: &Balancer, host: &str, target: &str) -> Answer {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Client::connect(balancer.network.client(), VIP).ask(request.as_bytes())
}

/// Who answered, or with which status nobody did.
fn whose(answer: &Answer) -> String {
    match answer.status() {
        200 => answer.text().lines().next().unwrap().to_owned(),
        status => status.to_string(),
    }
}

/// A pool for each backend beside the listener's own, which has the first only.
pub fn pools(network: &Network) -> String {
    let pool = |number: usize| {
        let address = network.backends[number - 1].address();
        format!(
            "[[pool]]\nname = \"pool{number}\"\nprotocol = \"http\"\n[[pool.member]]\naddress = \"{address}\"\nport = 8080\n"
        )
    };
    (2..=network.backends.len()).map(pool).collect()
}

/// With these lines of the listener, and three backends that say what they were asked.
fn with(lines: &str) -> Balancer {
    let network = Network::new(Size { clients: 1, backends: 3 }).unwrap();
    network.backends.iter().for_each(|host| drop(Echo::start(host)));
    let listener = format!("{lines}\n{}", pools(&network));
    Balancer::start_in(network, Settings { weights: vec![1], listener, ..http(1) })
}

fn policy(name: &str, lines: &str) -> String {
    format!("[[load_balancer.listener.policy]]\nname = \"{name}\"\n{lines}\n")
}

/// The OTC guide's table 3-8: each kind of rule, each preset URL, and whether it is for `/elb/index.html`.
#[test]
fn table_3_8_row_by_row() {
    const REQUESTED: &str = "/elb/index.html";
    const PRESET: [&str; 4] = ["/elb/index.html", "/elb", r"/elb[^\s]*", "/index.html"];
    let mut balancer = with("");
    for (kind, row) in [
        ("exact", [true, false, false, false]),
        ("prefix", [true, true, false, false]),
        ("regex", [true, false, true, false]),
    ] {
        // All presets of a row at once, each at a domain of its own.
        let policies = PRESET.iter().enumerate().map(|(number, preset)| {
            let lines =
                format!("domain = \"d{number}.example\"\npath = {{ {kind} = '{preset}' }}\npool = \"pool2\"");
            policy(&format!("p{number}"), &lines)
        });
        balancer.settings.listener = policies.collect::<String>() + &pools(&balancer.network);
        balancer.reload();
        for (number, expected) in row.into_iter().enumerate() {
            let answer = ask(&balancer, &format!("d{number}.example"), REQUESTED);
            let expected = if expected { "backend2" } else { "backend1" };
            assert_eq!(whose(&answer), expected, "{kind} {}", PRESET[number]);
        }
    }

    // The figure below it: the prefix goes before the regular expression, an exact path before both.
    let figure = [
        policy("3", "path = { regex = '/elb[^\\s]*' }\npool = \"pool3\""),
        policy("2", "path = { prefix = \"/elb\" }\npool = \"pool2\""),
        policy("1", "path = { exact = \"/elb/index.html\" }\npool = \"web\""),
    ];
    balancer.settings.listener = figure.concat() + &pools(&balancer.network);
    balancer.reload();
    for (target, expected) in
        [("/elb_gls/glossary.html", "backend2"), ("/elb/index.html", "backend1"), ("/other", "backend1")]
    {
        assert_eq!(whose(&ask(&balancer, "a", target)), expected, "{target}");
    }
}

#[test]
fn domains_headers_cookies_and_all_that_can_happen() {
    let policies = [
        policy("exact", "domain = \"shop.example\"\npool = \"pool2\""),
        policy("below", "domain = \"*.shop.example\"\npool = \"pool3\""),
        policy("reject", "path = { prefix = \"/admin\" }\nreject = 403"),
        policy("url", "path = { exact = \"/old\" }\nredirect = { url = \"https://new.example/page\" }"),
        policy(
            "prefix",
            "path = { prefix = \"/moved/\" }\nredirect = { prefix = \"https://new.example\", status = 307 }",
        ),
        policy(
            "header",
            "path = { exact = \"/h\" }\nheader = [{ name = \"x-stage\", equals = \"beta\" }]\npool = \"pool2\"",
        ),
        policy("cookie", "path = { exact = \"/h\" }\ncookie = [{ name = \"user\" }]\npool = \"pool3\""),
    ];
    let balancer = with(&policies.concat());
    for (host, target, expected) in [
        ("shop.example", "/", "backend2"),
        ("SHOP.example:80", "/admin", "backend2"),
        ("a.b.shop.example", "/", "backend3"),
        ("other.example", "/", "backend1"),
        ("other.example", "/admin/x", "403"),
        ("other.example", "/%61dmin", "403"),
        ("other.example", "/x/../admin", "403"),
        ("other.example", "//admin", "403"),
        ("other.example", "/Admin", "backend1"),
    ] {
        assert_eq!(whose(&ask(&balancer, host, target)), expected, "{host}{target}");
    }
    let moved = |target: &str| {
        let answer = ask(&balancer, "a", target);
        (answer.status(), answer.header("location").unwrap_or_default().to_owned())
    };
    assert_eq!(moved("/old?x"), (301, "https://new.example/page".into()));
    assert_eq!(moved("/moved/a%20b?x=1"), (307, "https://new.example/moved/a%20b?x=1".into()));

    let mut client = Client::connect(balancer.network.client(), VIP);
    for (lines, expected) in [
        ("X-Stage: beta\r\n", "backend2"),
        ("X-Stage: alpha\r\n", "backend1"),
        ("Cookie: a=b; user=7\r\n", "backend3"),
        ("Cookie: nouser=7\r\n", "backend1"),
        ("X-Stage: beta\r\nCookie: user=7\r\n", "backend2"),
    ] {
        // Requests of one connection are routed one by one.
        let request = format!("GET /h HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(whose(&client.ask(request.as_bytes())), expected, "{lines}");
    }
}

/// LI4: of a redirected listener only access control stays in force, and its target cannot be taken away.
#[test]
fn an_http_listener_sends_everybody_to_an_https_listener() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let secure = format!(
        "[[load_balancer.listener]]\nname = \"secure\"\nprotocol = \"https\"\nport = 8443\npool = \"web\"\n\
         certificates = [\"shop\"]\n{}",
        certificates.server("shop")
    );
    let rejecting = policy("all", "path = { prefix = \"/\" }\nreject = 403");
    let redirect = "redirect = { listener = \"secure\" }\n";
    let mut balancer = with(&format!("{redirect}{rejecting}{secure}"));
    let lines = balancer.settings.listener.clone();

    for (target, location) in [
        ("/", "https://shop.example:8443/"),
        ("/a%20b/?x=1&y", "https://shop.example:8443/a%20b/?x=1&y"),
        ("/a/../b", "https://shop.example:8443/a/../b"),
    ] {
        let answer = ask(&balancer, "shop.example:80", target);
        assert_eq!((answer.status(), answer.header("location")), (301, Some(location)));
    }
    let ca = certificates.path("ca.crt");
    let resolve = ["80", "8443"].map(|port| format!("shop.example:{port}:203.0.113.10"));
    let curl =
        ["curl", "-sS", "--max-time", "20", "--cacert", &ca, "-L", "-w", "%{http_code} %{num_redirects}"];
    let url = ["--resolve", &resolve[0], "--resolve", &resolve[1], "http://shop.example/x"];
    let answer = balancer.client(&[&curl[..], &url].concat());
    assert!(answer.starts_with("backend1\nGET /x HTTP/1.1\r\n") && answer.ends_with("\n200 1"), "{answer}");

    // Nobody is redirected to what is not there.
    let gone = balancer.settings.file(&balancer.network).replace(&secure, &certificates.server("shop"));
    balancer.reload_nonsense(&gone);
    assert!(balancer.log().contains("load_balancer.listener.redirect.listener"), "{}", balancer.log());
    assert_eq!(ask(&balancer, "shop.example", "/").status(), 301);

    balancer.settings.listener = format!("deny = [\"198.51.100.0/24\"]\n{lines}");
    balancer.reload();
    let denied = balancer.counter("drop_denied");
    let mut late = balancer
        .network
        .client()
        .spawn(&["curl", "-sS", "--max-time", "30", "http://203.0.113.10/"])
        .unwrap();
    wait_for("a refusal", DEADLINE, || balancer.counter("drop_denied") > denied).unwrap();
    balancer.settings.listener = format!("{}{lines}", "allow = [\"198.51.100.0/24\"]\n");
    balancer.reload();
    wait_for("its answer", DEADLINE, || late.status().unwrap().is_some()).unwrap();
    assert!(late.status().unwrap().unwrap().success(), "{}", late.log());
}
