//! Does a whitelist say who may connect, at both layers, to those who are connected too?

use serde_json::json;
use testbed::wait_for;

use super::{ask, openstack::Client, with_api};
use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE},
    servers,
};

#[test]
fn a_whitelist_says_who_may_connect() {
    let balancer = Balancer::start(with_api(&[1]));
    let directory = tempfile::tempdir().unwrap();
    let _server = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    let address = balancer.network.backends[0].address().to_string();
    let own = balancer.network.client().address().to_string();
    let mut client = Client::start(&balancer);
    let vip = client.object("create --name shop --vip-subnet-id public --wait");
    let vip = vip["vip_address"].as_str().unwrap().to_owned();
    for (name, protocol, port) in [("four", "TCP", 80), ("seven", "HTTP", 81)] {
        let made = client.object(&format!(
            "listener create --name {name} --protocol {protocol} --protocol-port {port} shop --wait"
        ));
        client.run(&format!(
            "pool create --name {name} --protocol {protocol} --lb-algorithm ROUND_ROBIN --listener {name} --wait"
        ));
        client
            .run(&format!("member create --address {address} --protocol-port {BACKEND_PORT} {name} --wait"));
        let url = format!("http://{vip}:{port}/");
        let wait_until_it_answers = |expected: bool| {
            let curl = ["curl", "-s", "-m", "1", &url];
            wait_for(name, DEADLINE, || balancer.network.client().run(&curl).is_ok() == expected).unwrap();
        };
        wait_until_it_answers(true);
        let body = json!({ "whitelist": { "listener_id": made["id"], "enable_whitelist": true, "whitelist": "192.0.2.1" } });
        let (status, said) = ask(&balancer, "POST", "/v2.0/lbaas/whitelists", Some(&body));
        assert_eq!(status, 201, "{said}");
        wait_until_it_answers(false);
        let path = format!("/v2.0/lbaas/whitelists/{}", said["whitelist"]["id"].as_str().unwrap());
        for (change, expected) in [
            (json!({ "whitelist": format!("192.0.2.1,{own}") }), true),
            (json!({ "whitelist": "" }), false),
            (json!({ "enable_whitelist": false }), true),
        ] {
            assert_eq!(ask(&balancer, "PUT", &path, Some(&json!({ "whitelist": change }))).0, 200);
            wait_until_it_answers(expected);
        }
    }
    // Both layers count: what came, and what was kept out.
    for name in ["four", "seven"] {
        let curl = balancer.network.client().run(&[
            "curl",
            "-s",
            &format!("http://{vip}:{}/", if name == "four" { 80 } else { 81 }),
        ]);
        assert!(curl.is_ok());
        let mut last = json!(null);
        let counted = wait_for("counters", DEADLINE, || {
            last = client.object(&format!("listener stats show {name}"));
            let is_more_than = |key: &str, least: u64| last[key].as_u64().is_some_and(|count| count > least);
            is_more_than("total_connections", 2)
                && is_more_than("bytes_in", 100)
                && is_more_than("bytes_out", 100)
                && is_more_than("request_errors", 1)
        });
        counted.unwrap_or_else(|error| panic!("{error}: {name}: {last}"));
    }
    let parts = ["four", "seven"].map(|name| client.object(&format!("listener stats show {name}")));
    let sum = parts.iter().map(|part| part["bytes_in"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(client.object("stats show shop")["bytes_in"], sum);

    let defaults = client.object("quota defaults show");
    assert_eq!((&defaults["load_balancer"], &defaults["listener"]), (&json!(50), &json!(100)));
    let quota = json!({ "quota": { "listener": 2 } });
    assert_eq!(ask(&balancer, "PUT", "/v2.0/lbaas/quotas/default", Some(&quota)).0, 202);
    let full = client.refused("listener create --name third --protocol TCP --protocol-port 82 shop");
    assert!(full.contains("Quota has been met") && full.contains("403"), "{full}");
    client.run("failover shop");
    client.run("delete shop --cascade --wait");
}
