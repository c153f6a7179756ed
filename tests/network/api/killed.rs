//! Is everything there that was acknowledged, whenever the daemon is killed?

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::wait_for;

use super::{URL, ask, with_api};
use crate::balancer::{Balancer, DEADLINE};

/// Creates members on this and the following ports, one after another, and says of each how that was answered.
fn writer(path: &str, from: u32) -> String {
    let body = r#"{\"member\": {\"address\": \"192.0.2.200\", \"protocol_port\": $port}}"#;
    format!(
        "port={from}; while :; do port=$((port + 1)); code=$(curl -s -o /dev/null -w '%{{http_code}}' -H 'Content-Type: \
         application/json' -d \"{body}\" {URL}{path}); echo $port $code; done"
    )
}

#[test]
fn what_was_acknowledged_outlives_every_kill() {
    let mut balancer = Balancer::start(with_api(&[1]));
    let make = |path: &str, body: Value| {
        let (status, made) = ask(&balancer, "POST", &format!("/v2.0/lbaas/{path}"), Some(&body));
        assert_eq!(status, 201, "{made}");
        made
    };
    let (_, subnets) = ask(&balancer, "GET", "/v2.0/subnets", None);
    let shop =
        make("loadbalancers", json!({ "loadbalancer": { "vip_subnet_id": subnets["subnets"][0]["id"] } }));
    let pool = make(
        "pools",
        json!({ "pool": {
            "loadbalancer_id": shop["loadbalancer"]["id"], "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN",
        } }),
    );
    let path = format!("/v2.0/lbaas/pools/{}/members", pool["pool"]["id"].as_str().unwrap());
    let mut acknowledged = BTreeSet::new();
    for round in 1..=4u32 {
        let script = writer(&path, 10_000 * round);
        let writer = balancer.network.balancer.spawn(&["sh", "-c", &script]).unwrap();
        let good = || -> BTreeSet<u64> {
            let log = writer.log();
            let lines = log.lines().filter_map(|line| line.strip_suffix(" 201"));
            lines.map(|port| port.parse().unwrap()).collect()
        };
        // Each round is killed at another moment.
        wait_for("acknowledged members", DEADLINE, || good().len() > 7 * round as usize).unwrap();
        balancer.kill();
        // The last one may have been answered before the kill and not yet been told.
        wait_for("a refused connection", DEADLINE, || writer.log().contains(" 000\n")).unwrap();
        acknowledged.extend(good());
        drop(writer);
        balancer.run();
        let (status, list) = ask(&balancer, "GET", &path, None);
        assert_eq!(status, 200, "{list}");
        let members = list["members"].as_array().unwrap().iter();
        let there: BTreeSet<u64> = members.map(|member| member["protocol_port"].as_u64().unwrap()).collect();
        let lost: Vec<_> = acknowledged.difference(&there).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are not there");
        // At most the one that was under way is there without having been acknowledged.
        assert!(there.len() <= acknowledged.len() + round as usize, "{there:?} {acknowledged:?}");
    }
}
