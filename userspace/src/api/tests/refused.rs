//! What is wrong is answered with a 4xx and a sentence, and changes nothing.

use serde_json::{Value, json};
use testbed::documents;

use super::{World, id, subnet};

/// A load balancer with one of each inside, by kind; and for each kind a body that is right.
async fn one_of_each(world: &World) -> Vec<(&'static str, String, Value, String)> {
    let subnet = subnet(world).await;
    let shop =
        world.make("loadbalancers", "loadbalancer", json!({ "name": "shop", "vip_subnet_id": subnet })).await;
    let shop = id(&shop);
    let listener = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": 80 });
    let listener = id(&world.make("listeners", "listener", listener).await);
    let pool = json!({ "listener_id": listener, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    let pool = id(&world.make("pools", "pool", pool).await);
    let members = format!("pools/{pool}/members");
    let member = world.make(&members, "member", json!({ "address": "192.0.2.1", "protocol_port": 80 })).await;
    let monitor = json!({ "pool_id": pool, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3 });
    let monitor = id(&world.make("healthmonitors", "healthmonitor", monitor).await);
    let policy = json!({ "listener_id": listener, "action": "REJECT" });
    let policy_id = id(&world.make("l7policies", "l7policy", policy.clone()).await);
    let rule = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/a" });
    let rules = format!("l7policies/{policy_id}/rules");
    let rule_id = id(&world.make(&rules, "rule", rule.clone()).await);
    let other = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    let other = id(&world.make("pools", "pool", other).await);
    vec![
        ("loadbalancer", "loadbalancers".into(), json!({ "vip_subnet_id": subnet }), shop.clone()),
        (
            "listener",
            "listeners".into(),
            json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": 81 }),
            listener,
        ),
        (
            "pool",
            "pools".into(),
            json!({ "loadbalancer_id": shop, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }),
            pool,
        ),
        ("l7policy", "l7policies".into(), policy, policy_id),
        ("rule", rules, rule, rule_id),
        ("member", members, json!({ "address": "192.0.2.2", "protocol_port": 80 }), id(&member)),
        (
            "healthmonitor",
            "healthmonitors".into(),
            json!({ "pool_id": other, "type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3 }),
            monitor,
        ),
    ]
}

/// Every row of the document's list.
#[tokio::test]
async fn what_is_said_to_be_refused_is() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    let before = world.served();
    let rows = documents::read("docs/api.md").unwrap().rows().into_iter();
    let mut tried = 0;
    for row in rows.filter(|row| row.heading == "What is refused") {
        let quoted: Vec<&str> = row.cells[1].split('`').skip(1).step_by(2).collect();
        let (_, path, good, _) = kinds.iter().find(|(kind, ..)| *kind == row.cells[0]).unwrap();
        let mut body = good.clone();
        body[quoted[0]] = serde_json::from_str(quoted[1]).unwrap();
        let (status, said) = world.ask("POST", path, Some(&json!({ row.cells[0].as_str(): body }))).await;
        let text = said["faultstring"].as_str().unwrap_or_default();
        assert!(
            status == 400 && text.contains(quoted[0]) && text.contains("ot supported"),
            "{row:?}: {status} {text}"
        );
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(world.served(), before);
}

/// Every attribute of every kind with what no attribute can be, at creation and afterwards.
#[tokio::test]
async fn nonsense_is_refused_everywhere() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    let before = (world.served(), world.shared.with_store(|store| store.list()).unwrap());
    let nonsense = [
        json!({ "a": [{}] }),
        json!([[[]]]),
        json!("' OR 1=1; --\u{0}\u{7}"),
        json!(-7.5e30),
        json!("x".repeat(5000)),
    ];
    for (kind, path, good, one) in &kinds {
        let one = format!("{path}/{one}");
        let known = world.get(&one).await[kind].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        for name in known.iter().map(String::as_str).chain(["nobody_knows_this", ""]) {
            for value in &nonsense {
                let mut body = good.clone();
                body[name] = value.clone();
                for (method, path, body) in [("POST", path, body), ("PUT", &one, json!({ name: value }))] {
                    let (status, said) = world.ask(method, path, Some(&json!({ *kind: body }))).await;
                    // Names and the like may be any text that is short enough.
                    assert!((400..500).contains(&status), "{method} {path} {name} {value}: {status} {said}");
                    assert!(said["faultstring"].as_str().is_some_and(|text| !text.is_empty()), "{said}");
                }
            }
        }
        for body in ["", "{", "null", "[]", "{}", "7", "{\"a\": 1}", "\u{feff}{}"] {
            for (method, path) in [("POST", path), ("PUT", &one)] {
                let (status, _) = world.send(method, path, body.into()).await;
                assert_eq!(status, 400, "{method} {path} {body:?}");
            }
            let deep = format!("{{\"{kind}\": {}", "[".repeat(100_000));
            assert_eq!(world.send("POST", path, deep.into_bytes()).await.0, 400);
            assert_eq!(world.send("POST", path, vec![0xFF; 64]).await.0, 400);
        }
    }
    assert_eq!((world.served(), world.shared.with_store(|store| store.list()).unwrap()), before);
}

#[tokio::test]
async fn bounds_are_where_they_are_said_to_be() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    let path_of = |wanted: &str| {
        let (_, path, _, one) = kinds.iter().find(|(kind, ..)| *kind == wanted).unwrap();
        format!("{path}/{one}")
    };
    for (kind, name, good, bad) in [
        ("loadbalancer", "name", json!("x".repeat(255)), json!("x".repeat(256))),
        ("loadbalancer", "bandwidth_mbit", json!(1_000_000), json!(1_000_001)),
        ("loadbalancer", "bandwidth_mbit", json!("1"), json!(0)),
        ("listener", "connection_limit", json!(-1), json!(-2)),
        ("listener", "connection_limit", json!(16_777_216), json!(16_777_217)),
        ("listener", "timeout_client_data", json!(86_400_000), json!(86_400_001)),
        ("listener", "timeout_member_data", json!(1), json!(0)),
        ("listener", "allowed_cidrs", json!(["198.51.100.7/24"]), json!(["2001:db8::/32"])),
        ("listener", "insert_headers", json!({ "X-Forwarded-For": "true" }), json!({ "X-Other": "true" })),
        ("pool", "lb_algorithm", json!("SOURCE_IP"), json!("source_ip")),
        ("pool", "weights", json!("IGNORE"), json!("ignore")),
        ("pool", "session_persistence", json!({ "type": "SOURCE_IP" }), json!({ "type": "APP_COOKIE" })),
        // Without an algorithm that may ignore them.
        ("pool", "lb_algorithm", json!("SOURCE_IP"), json!("LEAST_CONNECTIONS")),
        ("pool", "weights", Value::Null, json!(1)),
        ("member", "weight", json!("256"), json!(257)),
        ("member", "weight", json!(true), json!(-1)),
        ("member", "monitor_port", json!(65_535), json!(65_536)),
        ("member", "monitor_address", json!("192.0.2.77"), json!("169.254.169.254")),
        ("listener", "policy_order", json!("position"), json!("random")),
        ("l7policy", "position", json!(1), json!(0)),
        ("l7policy", "redirect_url", json!("https://a.example/"), json!("a.example")),
        ("l7policy", "redirect_http_code", json!(308), json!(304)),
        ("l7policy", "redirect_prefix", json!("https://a.example"), json!("https://a.example/?b")),
        ("rule", "value", json!("/b"), json!("b")),
        ("rule", "value", json!("/b/"), json!("/b//")),
        ("healthmonitor", "delay", json!(50), json!(51)),
        ("healthmonitor", "max_retries", json!(10), json!(11)),
        ("healthmonitor", "max_retries_down", json!(1), json!(0)),
        ("healthmonitor", "expected_codes", json!("200-204,302"), json!("200-")),
        ("healthmonitor", "url_path", json!("/a"), json!("a")),
        ("healthmonitor", "domain_name", json!("a.example"), json!("a b")),
    ] {
        let path = path_of(kind);
        for (value, expected) in [(&good, 200), (&bad, 400)] {
            let (status, said) = world.ask("PUT", &path, Some(&json!({ kind: { name: value } }))).await;
            assert_eq!(status, expected, "{kind}.{name} = {value}: {said}");
        }
        let (status, said) = world.ask("PUT", &path, Some(&json!({ kind: {} }))).await;
        // As Octavia has it.
        let expected = if kind == "l7policy" { 400 } else { 200 };
        assert_eq!(status, expected, "nothing to change: {said}");
    }
}

/// What serves nobody has to be right like what does: it is switched on some time.
#[tokio::test]
async fn what_is_switched_off_has_its_bounds_too() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    let (_, path, _, one) = kinds.iter().find(|(kind, ..)| *kind == "listener").unwrap();
    let path = format!("{path}/{one}");
    for said in [
        json!({ "admin_state_up": false, "connection_limit": 16_777_217 }),
        json!({ "admin_state_up": false, "name": "a\u{7}" }),
    ] {
        let (status, answer) = world.ask("PUT", &path, Some(&json!({ "listener": said }))).await;
        assert_eq!(status, 400, "{said}: {answer}");
    }
}

/// OTC guide, section 3.4. Of weight 0 there is nothing all the same.
#[tokio::test]
async fn weights_can_be_nothing_to_a_source_hash() {
    let world = World::new();
    let (_, made) = world
        .ask(
            "POST",
            "loadbalancers",
            Some(&json!({ "loadbalancer": {
        "vip_subnet_id": subnet(&world).await,
        "listeners": [{ "protocol": "TCP", "protocol_port": 80, "default_pool": {
            "name": "web", "protocol": "TCP", "lb_algorithm": "SOURCE_IP", "weights": "IGNORE",
            "members": [
                { "address": "192.0.2.11", "protocol_port": 80, "weight": 7 },
                { "address": "192.0.2.12", "protocol_port": 80, "weight": 0 },
                { "address": "192.0.2.13", "protocol_port": 80, "weight": 1 },
            ],
        } }],
    } })),
        )
        .await;
    let pool = made["loadbalancer"]["pools"][0].clone();
    assert_eq!(pool["weights"], "IGNORE", "{made}");
    let weights = || -> Vec<u16> {
        let served = model::flatten::flatten(&world.served(), None);
        let made = served.pools.values().find(|pool| pool.members.len() == 3).unwrap();
        made.members.values().map(|member| member.weight.get()).collect()
    };
    assert_eq!(weights(), [1, 0, 1]);
    let path = format!("pools/{}", pool["id"].as_str().unwrap());
    let (_, said) = world.ask("PUT", &path, Some(&json!({ "pool": { "weights": null } }))).await;
    assert_eq!(said["pool"]["weights"], "COUNT", "{said}");
    assert_eq!(weights(), [7, 0, 1]);
}

#[tokio::test]
async fn absent_keeps_and_null_resets() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    for (kind, name, set, reset) in [
        ("loadbalancer", "description", json!("said"), json!("")),
        ("loadbalancer", "bandwidth_mbit", json!(7), Value::Null),
        ("listener", "connection_limit", json!(7), json!(-1)),
        ("listener", "timeout_member_data", json!(7000), json!(50_000)),
        ("listener", "allowed_cidrs", json!(["198.51.100.0/24"]), Value::Null),
        ("pool", "session_persistence", json!({ "type": "HTTP_COOKIE" }), Value::Null),
        ("pool", "tags", json!(["a", "b"]), json!(["a", "b"])),
        ("member", "weight", json!(7), json!(1)),
        ("member", "admin_state_up", json!(true), json!(false)),
        ("healthmonitor", "max_retries_down", json!(7), json!(3)),
        ("healthmonitor", "url_path", json!("/a"), json!("/")),
    ] {
        let (_, path, _, one) = kinds.iter().find(|(other, ..)| *other == kind).unwrap();
        let path = format!("{path}/{one}");
        let shown = |object: &Value| match &set {
            Value::Object(part) => {
                part.iter().map(|(key, _)| (key.clone(), object[name][key].clone())).collect()
            }
            _ => object[name].clone(),
        };
        world.ask("PUT", &path, Some(&json!({ kind: { name: set } }))).await;
        world.ask("PUT", &path, Some(&json!({ kind: { "name": "other" } }))).await;
        assert_eq!(shown(&world.get(&path).await[kind]), set, "{kind}.{name}");
        let (status, said) = world.ask("PUT", &path, Some(&json!({ kind: { name: null } }))).await;
        assert_eq!((status, &said[kind][name]), (200, &reset), "{kind}.{name}");
    }
}

#[tokio::test]
async fn what_is_the_files_is_changed_there() {
    let world = World::new();
    let site = id(&world.get("loadbalancers?name=site").await["loadbalancers"][0]);
    let pool = world.get("pools?name=web").await["pools"][0].clone();
    assert_eq!(
        (&pool["protocol"], &pool["session_persistence"]["type"]),
        (&json!("HTTP"), &json!("HTTP_COOKIE"))
    );
    let monitor = world.get("healthmonitors").await["healthmonitors"][0].clone();
    assert_eq!(monitor["expected_codes"], "200-204,302");
    let pool = id(&pool);
    let listener = json!({ "listener": { "loadbalancer_id": site, "protocol": "TCP", "protocol_port": 81 } });
    let member = json!({ "member": { "address": "192.0.2.2", "protocol_port": 80 } });
    for (method, path, body) in [
        ("PUT", format!("loadbalancers/{site}"), json!({ "loadbalancer": { "name": "mine" } })),
        ("DELETE", format!("loadbalancers/{site}?cascade=true"), Value::Null),
        ("POST", "listeners".into(), listener),
        ("POST", format!("pools/{pool}/members"), member),
        ("DELETE", format!("pools/{pool}"), Value::Null),
    ] {
        let (status, said) = world.ask(method, &path, Some(&body)).await;
        assert_eq!(status, 403, "{method} {path}: {said}");
        assert!(said["faultstring"].as_str().unwrap().contains("in the configuration file"), "{said}");
    }
    // Nor does the API take what the file has.
    let vip =
        json!({ "loadbalancer": { "vip_address": "203.0.113.10", "vip_subnet_id": subnet(&world).await } });
    assert_eq!(world.ask("POST", "loadbalancers", Some(&vip)).await.0, 409);
}

#[tokio::test]
async fn paths_methods_and_kinds_of_bodies_that_are_not_there() {
    let world = World::new();
    for (method, path, expected) in [
        ("GET", "/v2.0/lbaas/nothing", 404),
        ("GET", "/v2.0/other", 404),
        ("PATCH", "loadbalancers", 405),
        ("DELETE", "loadbalancers", 405),
        ("HEAD", "loadbalancers", 405),
        ("GET", "loadbalancers/x", 404),
        ("GET", "loadbalancers/00000000-0000-0000-0000-000000000000", 404),
        ("GET", "pools/00000000-0000-0000-0000-000000000000/members", 404),
        ("GET", "loadbalancers?nobody=1", 400),
        ("GET", "loadbalancers?limit=x", 400),
        ("GET", "loadbalancers?marker=x", 400),
        ("GET", "loadbalancers?sort=nobody", 400),
        ("GET", "traces?nobody=1", 400),
        ("GET", "/v2/lbaas/loadbalancers", 200),
        ("GET", "/v2.0", 200),
        ("GET", "/v2.0/", 200),
    ] {
        assert_eq!(world.ask(method, path, None).await.0, expected, "{method} {path}");
    }
}

/// A request that is refused leaves its trace like one that is not, and nothing of it in another's.
#[tokio::test]
async fn every_write_leaves_its_trace() {
    let world = World::new();
    let kinds = one_of_each(&world).await;
    let (_, path, _, member) = kinds.iter().find(|(kind, ..)| *kind == "member").unwrap();
    let path = format!("{path}/{member}");
    world.ask("PUT", &path, Some(&json!({ "member": { "weight": 5 } }))).await;
    world.ask("PUT", &path, Some(&json!({ "member": { "weight": 555 } }))).await;
    world.ask("DELETE", &path, None).await;
    let traces = world.get(&format!("traces?resource_id={member}")).await;
    let told: Vec<_> = traces["traces"].as_array().unwrap().iter().collect();
    let names: Vec<_> =
        told.iter().map(|it| (it["trace_name"].as_str().unwrap(), it["code"].as_str().unwrap())).collect();
    assert_eq!(
        names,
        [
            ("remove backend ecs", "204"),
            ("update backend ecs", "400"),
            ("update backend ecs", "200"),
            ("add backend ecs", "201")
        ]
    );
    let (change, refusal) = (told[2], told[1]);
    assert_eq!((&change["before"]["weight"], &change["after"]["weight"]), (&json!(1), &json!(5)));
    assert_eq!((&refusal["trace_rating"], &refusal["after"]), (&json!("warning"), &Value::Null));
    assert!(refusal["response"].as_str().unwrap().contains("555"));
    let warned = world.get("traces?trace_rating=warning").await;
    assert_eq!(warned["traces"].as_array().unwrap().len(), 1);
}
