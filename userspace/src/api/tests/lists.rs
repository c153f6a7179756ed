//! Lists: filters, order, pages, and links that lead on.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{World, id, subnet};

fn names(list: &Value) -> Vec<&str> {
    list["pools"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
}

/// A load balancer with five pools, and its id.
async fn five_pools(world: &World) -> String {
    let shop = json!({ "name": "shop", "vip_subnet_id": subnet(world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", shop).await);
    for (name, protocol, tags) in [
        ("d", "TCP", json!(["red", "new"])),
        ("b", "HTTP", json!(["red"])),
        ("e", "TCP", json!([])),
        ("a", "UDP", json!(["new"])),
        ("c", "TCP", json!(["red", "old"])),
    ] {
        let pool = json!({
            "loadbalancer_id": shop, "name": name, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN", "tags": tags,
        });
        world.make("pools", "pool", pool).await;
    }
    shop
}

#[tokio::test]
async fn filters_choose() {
    let world = World::new();
    let shop = five_pools(&world).await;
    for (query, wanted) in [
        (format!("loadbalancer_id={shop}"), "dbeac"),
        (format!("load_balancer_id={shop}&protocol=TCP"), "dec"),
        ("protocol=tcp".into(), ""),
        ("name=a".into(), "a"),
        ("tags=red".into(), "dbc"),
        ("tags=red,new".into(), "d"),
        ("tags-any=old,new".into(), "dac"),
        (format!("not-tags=red,new&loadbalancer_id={shop}"), "beac"),
        (format!("not-tags-any=red,new&loadbalancer_id={shop}"), "e"),
        (format!("admin_state_up=yes&loadbalancer_id={shop}"), "dbeac"),
        (format!("admin_state_up=whatever&loadbalancer_id={shop}"), ""),
        (format!("healthmonitor_id=None&loadbalancer_id={shop}&sort=name:desc"), "edcba"),
        (format!("loadbalancer_id={shop}&sort=protocol,name:asc"), "bcdea"),
        (format!("loadbalancer_id={shop}&sort_key=name&sort_dir=desc"), "edcba"),
    ] {
        let list = world.get(&format!("pools?{query}")).await;
        assert_eq!(names(&list).concat(), wanted, "{query}");
    }
    let list = world.get(&format!("pools?loadbalancer_id={shop}&fields=name&fields=nobody")).await;
    assert_eq!(list["pools"][0], json!({ "name": "d" }));
    let one = id(&world.get("pools?name=a").await["pools"][0]);
    assert_eq!(world.get(&format!("pools/{one}?fields=name")).await["pool"], json!({ "name": "a" }));

    world
        .make(
            &format!("pools/{one}/members"),
            "member",
            json!({ "address": "2001:db8::1", "protocol_port": 80 }),
        )
        .await;
    let found = world.get("loadbalancers?member_address=2001:DB8:0:0::1").await;
    assert_eq!(found["loadbalancers"].as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [shop]);
    let none = world.get("loadbalancers?member_address=192.0.2.250").await;
    assert_eq!(none["loadbalancers"], json!([]));
}

/// Every page by its links, forwards and back, for each size of page.
#[tokio::test]
async fn links_lead_through_all_pages_and_keep_what_was_asked() {
    let world = World::new();
    let shop = five_pools(&world).await;
    let path = |href: &str| href.strip_prefix("http://localhost").unwrap().to_owned();
    let link = |list: &Value, rel: &str| {
        let links = list["pools_links"].as_array().unwrap().clone();
        links.iter().find(|it| it["rel"] == rel).map(|it| path(it["href"].as_str().unwrap()))
    };
    for limit in 1..=6 {
        let query =
            format!("pools?loadbalancer_id={shop}&sort=name:desc&fields=name&fields=id&limit={limit}");
        let mut list = world.get(&query).await;
        let (mut pages, mut all) = (vec![list.clone()], names(&list).concat());
        while let Some(next) = link(&list, "next") {
            list = world.get(&next).await;
            all.push_str(&names(&list).concat());
            pages.push(list.clone());
        }
        assert_eq!(all, "edcba", "{limit}");
        for page in pages.iter().rev().skip(1) {
            list = world.get(&link(&list, "previous").unwrap()).await;
            assert_eq!(list["pools"], page["pools"], "{limit}");
        }
        assert_eq!(link(&list, "previous"), None);
        let keys: BTreeSet<&String> = list["pools"][0].as_object().unwrap().keys().collect();
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["id", "name"]);
    }
    for all in ["0", "-1", "infinite"] {
        let list = world.get(&format!("pools?loadbalancer_id={shop}&limit={all}")).await;
        assert_eq!((names(&list).len(), &list["pools_links"]), (5, &json!([])), "{all}");
    }
}

#[tokio::test]
async fn versions_and_vip_pools_are_what_clients_ask_first() {
    let world = World::new();
    assert_eq!(world.get("/v2.0").await["version"]["id"], "v2.27");
    let networks = world.get("/v2.0/networks?name=public").await;
    let subnets = world.get("/v2.0/subnets").await;
    assert_eq!(subnets["subnets"].as_array().unwrap().len(), 2);
    assert_eq!(networks["networks"][0]["id"], subnets["subnets"][0]["network_id"]);

    // Addresses are given away until there are none, and come back.
    let network = json!({ "loadbalancer": { "vip_network_id": networks["networks"][0]["id"] } });
    let mut given = Vec::new();
    loop {
        let (status, made) = world.ask("POST", "loadbalancers", Some(&network)).await;
        if status == 409 {
            break;
        }
        given.push(made["loadbalancer"].clone());
    }
    let addresses: Vec<&str> = given.iter().map(|it| it["vip_address"].as_str().unwrap()).collect();
    assert_eq!(addresses, (65..=70).map(|last| format!("203.0.113.{last}")).collect::<Vec<_>>());
    world.ask("DELETE", &format!("loadbalancers/{}", id(&given[2])), None).await;
    let again = world.make("loadbalancers", "loadbalancer", network["loadbalancer"].clone()).await;
    assert_eq!(again["vip_address"], "203.0.113.67");
    assert_eq!(
        (&again["provisioning_status"], &again["operating_status"]),
        (&json!("PENDING_CREATE"), &json!("OFFLINE"))
    );
}

#[tokio::test]
async fn a_load_balancer_has_done_what_its_listeners_have() {
    let world = World::new();
    let body = json!({ "vip_subnet_id": subnet(&world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", body).await);
    let stats = |path: String| {
        let world = &world;
        async move {
            let stats = world.get(&path).await["stats"].clone();
            assert_eq!(stats.as_object().unwrap().len(), 5, "{stats}");
            json!([stats["bytes_in"], stats["active_connections"], stats["total_connections"]])
        }
    };
    assert_eq!(stats(format!("loadbalancers/{shop}/stats")).await, json!([0, 0, 0]));
    let mut last = String::new();
    for port in [80, 81] {
        let listener = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": port });
        last = id(&world.make("listeners", "listener", listener).await);
    }
    assert_eq!(stats(format!("loadbalancers/{shop}/stats")).await, json!([6, 0, 2]));
    assert_eq!(stats(format!("listeners/{last}/stats")).await, json!([3, 0, 1]));
    for path in ["loadbalancers", "listeners"] {
        let path = format!("{path}/00000000-0000-0000-0000-000000000000/stats");
        assert_eq!(world.ask("GET", &path, None).await.0, 404);
    }
}
