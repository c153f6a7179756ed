//! Many objects at once: in one request, or in many that nobody waits for.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};

use super::{World, id, subnet};

#[tokio::test]
async fn one_request_creates_all_of_a_load_balancer() {
    let world = World::new();
    let member = |host: u8| json!({ "address": format!("192.0.2.{host}"), "protocol_port": 80 });
    let monitor = json!({ "type": "TCP", "delay": 3, "timeout": 3, "max_retries": 3 });
    let pool = |name: &str| {
        json!({
            "name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
            "members": [member(1), member(2)], "healthmonitor": monitor,
        })
    };
    let listener =
        |port: u16, pool: Value| json!({ "protocol": "HTTP", "protocol_port": port, "default_pool": pool });
    let shop = json!({
        "name": "shop", "vip_subnet_id": subnet(&world).await, "project_id": "abc",
        "pools": [pool("shared")],
        "listeners": [
            listener(80, json!({ "name": "shared" })),
            listener(81, pool("own")),
            listener(82, json!({ "name": "own" })),
        ],
    });
    let made = world.make("loadbalancers", "loadbalancer", shop.clone()).await;
    assert_eq!(made["listeners"].as_array().unwrap().len(), 3);
    for listener in made["listeners"].as_array().unwrap() {
        let pool = &listener["default_pool"];
        let wanted = if listener["protocol_port"] == 80 { "shared" } else { "own" };
        assert_eq!((&pool["name"], &pool["healthmonitor"]["type"]), (&json!(wanted), &json!("TCP")));
        assert_eq!(pool["members"][1]["provisioning_status"], "PENDING_CREATE");
        assert_eq!(pool["members"][1]["project_id"], "abc");
    }
    let shown = world.get(&format!("loadbalancers/{}", id(&made))).await["loadbalancer"].clone();
    assert_eq!(
        (shown["pools"].as_array().unwrap().len(), &shown["provisioning_status"]),
        (2, &json!("ACTIVE"))
    );
    assert_eq!(shown["pools"][0].as_object().unwrap().len(), 1, "ids only");
    assert_eq!(world.after_a_start(), world.served());

    // One thing wrong anywhere, and nothing of it is there.
    let before = world.served();
    let edits: [(&str, Value); 7] = [
        ("/pools/0/members/1/address", json!("192.0.2.1")),
        ("/pools/0/members/0/protocol_port", json!(0)),
        ("/pools/0/healthmonitor/delay", json!(0)),
        ("/pools/0/name", json!("own")),
        ("/listeners/0/default_pool/name", json!("nobody")),
        ("/listeners/1/protocol_port", json!(80)),
        ("/listeners/1/protocol", json!("UDP")),
    ];
    for (place, value) in edits {
        let mut wrong = shop.clone();
        *wrong.pointer_mut(place).unwrap() = value;
        let (status, said) =
            world.ask("POST", "loadbalancers", Some(&json!({ "loadbalancer": wrong }))).await;
        assert!([400, 409].contains(&status), "{place}: {said}");
        assert_eq!(world.served(), before, "{place}");
    }
    let lists = world.get("loadbalancers?name=shop").await;
    assert_eq!(lists["loadbalancers"].as_array().unwrap().len(), 1);
}

/// A pool of an own load balancer, as the path of its members.
async fn members_of_a_pool(world: &World) -> String {
    let shop =
        world.make("loadbalancers", "loadbalancer", json!({ "vip_subnet_id": subnet(world).await })).await;
    let pool = json!({ "loadbalancer_id": id(&shop), "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" });
    format!("pools/{}/members", id(&world.make("pools", "pool", pool).await))
}

#[tokio::test]
async fn a_list_takes_the_place_of_the_members() {
    let world = World::new();
    let path = members_of_a_pool(&world).await;
    let member = |host: u8, more: Value| {
        let mut member = json!({ "address": format!("192.0.2.{host}"), "protocol_port": 80 });
        member.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        member
    };
    let put = async |query: &str, members: Value| {
        world.ask("PUT", &format!("{path}{query}"), Some(&json!({ "members": members }))).await.0
    };
    let there = async || {
        let list = world.get(&path).await;
        let mut members = list["members"].as_array().unwrap().clone();
        members.sort_by_key(|member| member["address"].to_string());
        members
    };
    let told = |members: &[Value]| -> Vec<(String, u64, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        members
            .iter()
            .map(|it| (text(&it["address"]), it["weight"].as_u64().unwrap(), text(&it["name"])))
            .collect()
    };
    let is = |host: u8, weight, name: &str| (format!("192.0.2.{host}"), weight, name.to_owned());

    let first =
        json!([member(1, json!({ "weight": 5, "name": "one", "tags": ["a"] })), member(2, json!({}))]);
    assert_eq!(put("", first).await, 202);
    let before = there().await;
    assert_eq!(told(&before), [is(1, 5, "one"), is(2, 1, "")]);

    // One that stays keeps id, name and tags; its weight is the usual one again.
    assert_eq!(put("", json!([member(3, json!({})), member(1, json!({}))])).await, 202);
    let after = there().await;
    assert_eq!(told(&after), [is(1, 1, "one"), is(3, 1, "")]);
    assert_eq!((&after[0]["id"], &after[0]["tags"]), (&before[0]["id"], &json!(["a"])));

    for yes in ["True", "true", "1"] {
        assert_eq!(
            put(&format!("?additive_only={yes}"), json!([member(3, json!({ "weight": 7 }))])).await,
            202
        );
    }
    assert_eq!(told(&there().await), [is(1, 1, "one"), is(3, 7, "")]);

    let now = there().await;
    for (members, expected) in [
        (json!([member(4, json!({})), member(4, json!({}))]), 409),
        (json!([member(1, json!({})), member(1, json!({}))]), 400),
        (json!([member(4, json!({})), member(5, json!({ "weight": 300 }))]), 400),
        (json!([member(4, json!({})), {}]), 400),
        (json!([member(4, json!({ "nobody": 1 }))]), 400),
        (json!(7), 400),
    ] {
        assert_eq!(put("", members.clone()).await, expected, "{members}");
        assert_eq!(there().await, now, "{members}");
    }
    assert_eq!(put("", json!([])).await, 202);
    assert_eq!(there().await, [] as [Value; 0]);
    assert_eq!(world.after_a_start(), world.served());
}

/// Octavia answers most of these 409.
#[tokio::test]
async fn nobody_has_to_wait_for_others() {
    let world = World::new();
    let path = members_of_a_pool(&world).await;
    let bodies: Vec<_> = (1..=40u8)
        .map(|host| json!({ "member": { "address": format!("192.0.2.{host}"), "protocol_port": 80 } }))
        .collect();
    let made = join_all(bodies.iter().map(|body| world.ask("POST", &path, Some(body)))).await;
    assert!(made.iter().all(|(status, _)| *status == 201), "{made:?}");
    let ids: Vec<String> = made.iter().map(|(_, body)| id(&body["member"])).collect();
    // The same object by many: each change is there, none is lost.
    let one = format!("{path}/{}", ids[0]);
    let changes = [
        json!({ "weight": 9 }),
        json!({ "name": "one" }),
        json!({ "tags": ["a"] }),
        json!({ "backup": true }),
    ];
    let changes: Vec<_> = changes.into_iter().map(|change| json!({ "member": change })).collect();
    let changed = join_all(changes.iter().map(|body| world.ask("PUT", &one, Some(body)))).await;
    assert!(changed.iter().all(|(status, _)| *status == 200), "{changed:?}");
    let member = world.get(&one).await["member"].clone();
    assert_eq!(
        [&member["weight"], &member["name"], &member["tags"], &member["backup"]],
        [&json!(9), &json!("one"), &json!(["a"]), &json!(true)]
    );
    let paths: Vec<String> = ids.iter().map(|id| format!("{path}/{id}")).collect();
    let gone = join_all(paths.iter().map(|path| world.ask("DELETE", path, None))).await;
    assert_eq!(gone.iter().map(|(status, _)| *status).collect::<BTreeSet<_>>(), [204].into());
    assert_eq!(world.get(&path).await["members"], json!([]));
    assert_eq!(world.after_a_start(), world.served());
}
