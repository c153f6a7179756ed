//! How many objects a project may have, and which cannot be deleted.

use serde_json::{Value, json};

use super::{World, id, subnet};

/// What a project may have of load balancers, listeners and members.
async fn limits(world: &World, project: &str) -> Value {
    let quota = world.get(&format!("quotas/{project}")).await["quota"].clone();
    assert_eq!(quota["load_balancer"], quota["loadbalancer"], "both spellings");
    json!([quota["loadbalancer"], quota["listener"], quota["member"]])
}

#[tokio::test]
async fn a_project_has_as_many_as_it_may() {
    let world = World::new();
    assert_eq!(limits(&world, "default").await, json!([50, 100, -1]));
    assert_eq!(world.get("quotas/defaults").await, world.get("quotas/default/default").await);
    let set = |limits: Value| json!({ "quota": limits });
    let put = set(json!({ "load_balancer": 1, "listener": "2", "member": 0 }));
    let (status, said) = world.ask("PUT", "quotas/default", Some(&put)).await;
    assert_eq!((status, &said["quota"]["loadbalancer"]), (202, &json!(1)), "{said}");
    let subnet = subnet(&world).await;
    let body = json!({ "vip_subnet_id": subnet });
    let shop = id(&world.make("loadbalancers", "loadbalancer", body.clone()).await);
    let before = world.served();
    let (status, said) = world.ask("POST", "loadbalancers", Some(&json!({ "loadbalancer": body }))).await;
    let text = said["faultstring"].as_str().unwrap();
    assert!(
        status == 403 && text.contains("Load Balancer") && text.contains("may have 1"),
        "{status} {text}"
    );

    // What is refused after some of it was made leaves nothing behind, of quotas neither.
    let listener = |port: u16| json!({ "protocol": "HTTP", "protocol_port": port });
    let all = json!({ "loadbalancer": {
        "vip_subnet_id": subnet, "project_id": "other",
        "listeners": (1..=101).map(listener).collect::<Vec<_>>(),
    } });
    let (status, said) = world.ask("POST", "loadbalancers", Some(&all)).await;
    assert!(status == 403 && said["faultstring"].as_str().unwrap().contains("Listener"), "{said}");
    assert_eq!(world.served(), before);
    let one = |port: u16| json!({ "listener": { "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": port } });
    for (port, expected) in [(80, 201), (81, 201), (81, 409), (82, 403)] {
        assert_eq!(world.ask("POST", "listeners", Some(&one(port))).await.0, expected, "{port}");
    }
    let found = world.get(&format!("listeners?loadbalancer_id={shop}&protocol_port=80")).await;
    let first = id(&found["listeners"][0]);
    assert_eq!(world.ask("DELETE", &format!("listeners/{first}"), None).await.0, 204);
    assert_eq!(world.ask("POST", "listeners", Some(&one(82))).await.0, 201, "there is room again");

    // What there is already stays, and null is the usual number again.
    world.ask("PUT", "quotas/default", Some(&set(json!({ "listener": 0, "member": null })))).await;
    assert_eq!(limits(&world, "default").await, json!([1, 0, -1]));
    let listed = world.get("quotas?project_id=default").await;
    assert_eq!(
        (listed["quotas"].as_array().unwrap().len(), &listed["quotas"][0]["listener"]),
        (1, &json!(0))
    );
    for bad in
        [json!({}), json!({ "listener": -2 }), json!({ "listener": "x" }), json!({ "nobody": 1 }), json!([])]
    {
        let (status, said) = world.ask("PUT", "quotas/default", Some(&set(bad.clone()))).await;
        assert_eq!(status, 400, "{bad}: {said}");
    }
    assert_eq!(world.ask("DELETE", "quotas/default", None).await, (202, Value::Null));
    assert_eq!(world.ask("DELETE", "quotas/default", None).await.0, 404);
    assert_eq!(limits(&world, "default").await, json!([50, 100, -1]));
    assert_eq!(world.after_a_start(), world.served());
    let traces = world.get("traces?resource_type=quota").await;
    assert_eq!(traces["traces"][0]["trace_name"], "delete quota");
}

#[tokio::test]
async fn what_is_protected_stays() {
    let world = World::new();
    let name = "deletion_protection_enable";
    let body = json!({ "vip_subnet_id": subnet(&world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", body).await);
    let listener = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": 80 });
    let listener = id(&world.make("listeners", "listener", listener).await);
    let pool = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    let pool = id(&world.make("pools", "pool", pool).await);
    let shop = format!("loadbalancers/{shop}");
    let all = format!("{shop}?cascade=true");
    for (path, kind) in [
        (format!("pools/{pool}"), "pool"),
        (format!("listeners/{listener}"), "listener"),
        (shop.clone(), "loadbalancer"),
    ] {
        let protect = |is: bool| json!({ kind: { name: is } });
        assert_eq!(world.ask("PUT", &path, Some(&protect(true))).await.1[kind][name], true);
        let before = world.served();
        for path in [&path, &all] {
            let (status, said) = world.ask("DELETE", path, None).await;
            assert!(status == 409 && said["faultstring"].as_str().unwrap().contains(name), "{path}: {said}");
        }
        assert_eq!(world.served(), before);
        assert_eq!(world.ask("PUT", &path, Some(&protect(false))).await.0, 200);
    }
    assert_eq!(world.ask("PUT", &format!("{shop}/failover"), None).await, (202, Value::Null));
    assert_eq!(world.ask("DELETE", &all, None).await.0, 204);
    assert_eq!(world.ask("PUT", &format!("{shop}/failover"), None).await.0, 404);
}
