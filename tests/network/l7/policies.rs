//! Do requests go where policies send them, and do clients stay with their member?

use testbed::Process;

use crate::{
    balancer::{BACKEND_PORT, Balancer, Settings},
    l7::{http, nginx},
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
    assert_eq!(load_balancer["members_healthy"], 3, "policies' pools count: {load_balancer}");
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
