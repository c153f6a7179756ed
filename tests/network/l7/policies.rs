//! Do requests go where policies send them, and do clients stay with their member?

use testbed::Process;

use crate::{
    balancer::{BACKEND_PORT, Balancer, Settings, VIP},
    l7::{http, nginx, script::Client},
};

/// A listener whose policies send requests to the pool "other", which has the second backend only.
fn balancer(pool: &'static str) -> (Balancer, Vec<Process>, tempfile::TempDir) {
    let policies = format!(
        "[[load_balancer.listener.policy]]\nname = \"other\"\ndomain = \"other.example\"\npool = \"other\"\n\
         [[load_balancer.listener.policy]]\nname = \"no\"\npath = {{ prefix = \"/admin\" }}\nreject = 403\n\
         [[load_balancer.listener.policy]]\nname = \"away\"\npath = {{ exact = \"/away\" }}\n\
         redirect = {{ prefix = \"https://shop.example/new\", status = 302 }}\n\
         [[pool]]\nname = \"other\"\nprotocol = \"http\"\n\
         [[pool.member]]\naddress = \"192.0.2.12\"\nport = {BACKEND_PORT}\n"
    );
    let balancer = Balancer::start(Settings { listener: policies, pool, ..http(2) });
    let directory = tempfile::tempdir().unwrap();
    let servers = nginx(&balancer, directory.path());
    (balancer, servers, directory)
}

#[test]
fn by_domain_by_path_and_elsewhere() {
    let (balancer, _servers, _directory) = balancer("protocol = \"http\"");
    let curl = |words: &[&str]| {
        let answer = ["curl", "-sS", "--max-time", "20", "-w%{http_code} %{redirect_url}"];
        balancer.client(&[&answer[..], words].concat())
    };
    for _ in 0..4 {
        assert_eq!(curl(&["-H", "Host: other.example", "http://203.0.113.10/"]), "backend2\n200 ");
    }
    assert!(curl(&["http://203.0.113.10/administration"]).ends_with("403 "));
    assert_eq!(curl(&["http://203.0.113.10/away?x=1"]), "302 https://shop.example/new/away?x=1");
    let load_balancer = &balancer.ask("status")["load_balancers"][0];
    assert_eq!(
        load_balancer["members_healthy"], 2,
        "a server counts once, in however many pools: {load_balancer}"
    );
}

/// And do not say what they are made with.
#[test]
fn answers_of_the_balancer_itself_keep_the_connection_unless_a_body_may_come() {
    let (balancer, _servers, _directory) = balancer("protocol = \"http\"");
    let mut client = Client::connect(balancer.network.client(), VIP);
    for (path, status) in [("/admin", 403), ("/away", 302), ("/admin", 403), ("/", 200)] {
        let answer = client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(answer.header("server").is_some(), status == 200, "{answer:?}");
        assert!(answer.header("date").is_some(), "{answer:?}");
    }
    let expects = "POST /admin HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let answer = client.ask(expects.as_bytes());
    assert_eq!((answer.statuses.as_slice(), answer.header("connection")), (&[403][..], Some("close")));
    assert_eq!(client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").status(), 0, "it is closed");
}

#[test]
fn status_says_how_many_requests_each_member_was_sent() {
    let (balancer, _servers, _directory) = balancer("protocol = \"http\"");
    balancer.client(&["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/?[1-6]"]);
    balancer.client(&[
        "curl",
        "-sSf",
        "--max-time",
        "20",
        "-H",
        "Host: other.example",
        "http://203.0.113.10/",
    ]);
    let status = balancer.ask("status");
    let mut counts = Vec::new();
    for pool in status["pools"].as_array().unwrap() {
        for member in pool["members"].as_array().unwrap() {
            let number = |name: &str| member[name].as_f64().unwrap();
            let names = [&pool["name"], &member["address"]].map(|name| name.as_str().unwrap());
            counts.push((names, number("sessions_open"), number("sessions_total"), number("share")));
        }
    }
    counts.sort_by_key(|(names, ..)| *names);
    let expected = [
        (["other", "192.0.2.12"], 0.0, 1.0, 1.0),
        (["web", "192.0.2.11"], 0.0, 3.0, 0.5),
        (["web", "192.0.2.12"], 0.0, 3.0, 0.5),
    ];
    assert_eq!(counts, expected);
}

#[test]
fn a_client_with_the_balancers_cookie_stays_with_its_member() {
    let (balancer, _servers, directory) =
        balancer("protocol = \"http\"\nsticky = { by = \"balancer-cookie\", minutes = 5, cookie = \"lb\" }");
    let jar = directory.path().join("jar");
    let url = "http://203.0.113.10/?[1-20]";
    let with = ["-c", jar.to_str().unwrap(), "-b", jar.to_str().unwrap()];
    let curl = ["curl", "-sSf", "--max-time", "20"];
    let stays = balancer.client(&[&curl[..], &with, &[url]].concat());
    assert_eq!(stays.lines().collect::<std::collections::BTreeSet<_>>().len(), 1, "{stays}");
    assert!(std::fs::read_to_string(&jar).unwrap().contains("\tlb\t"));

    let without = balancer.client(&[&curl[..], &[url]].concat());
    assert_eq!(["backend1", "backend2"].map(|name| without.matches(name).count()), [10, 10], "{without}");
}
