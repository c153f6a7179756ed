//! Whitelists of listeners.

use std::collections::BTreeSet;

use serde_json::json;

use super::{World, id, subnet};

/// Who may connect to the API's listener; none: everybody.
fn allowed(world: &World) -> Option<BTreeSet<String>> {
    let objects = world.served();
    assert!(objects.access_lists.len() <= 1);
    let list = objects.access_lists.values().next()?;
    list.access.allow.as_ref().map(|all| all.iter().map(|network| network.get().to_string()).collect())
}

#[tokio::test]
async fn who_is_not_in_it_may_not_connect() {
    let world = World::new();
    let body = json!({ "vip_subnet_id": subnet(&world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", body).await);
    let listener = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": 80 });
    let listener = id(&world.make("listeners", "listener", listener).await);
    let body = json!({ "listener_id": listener, "enable_whitelist": true, "whitelist": "" });
    let made = world.make("whitelists", "whitelist", body.clone()).await;
    assert_eq!((&made["whitelist"], allowed(&world)), (&json!(""), Some(BTreeSet::new())), "nobody");
    assert_eq!(world.ask("POST", "whitelists", Some(&json!({ "whitelist": body }))).await.0, 409);
    let path = format!("whitelists/{}", id(&made));
    let set = |of: &[&str]| Some(of.iter().map(|&text| text.to_owned()).collect::<BTreeSet<_>>());
    let list = "198.51.100.7, 203.0.113.77/28,,2001:DB8:0::/32,198.51.100.7";
    for (said, shown, expected) in [
        (
            json!({ "whitelist": list }),
            "198.51.100.7,203.0.113.64/28,2001:db8::/32",
            set(&["198.51.100.7/32", "203.0.113.64/28", "2001:db8::/32"]),
        ),
        (json!({ "enable_whitelist": false }), "198.51.100.7,203.0.113.64/28,2001:db8::/32", None),
        (json!({ "whitelist": "192.0.2.1" }), "192.0.2.1", None),
        (json!({ "enable_whitelist": null }), "192.0.2.1", set(&["192.0.2.1/32"])),
        (json!({ "whitelist": null }), "", set(&[])),
        (
            json!({ "whitelist": "198.51.100.0/24,192.0.2.0/24" }),
            "192.0.2.0/24,198.51.100.0/24",
            set(&["192.0.2.0/24", "198.51.100.0/24"]),
        ),
    ] {
        let (status, answer) = world.ask("PUT", &path, Some(&json!({ "whitelist": said }))).await;
        assert_eq!(
            (status, &answer["whitelist"]["whitelist"], allowed(&world)),
            (200, &json!(shown), expected),
            "{said}"
        );
        assert_eq!(world.after_a_start(), world.served());
    }
    // Beside the listener's own list a client has to be in both.
    let own = format!("listeners/{listener}");
    let cidrs = json!({ "listener": { "allowed_cidrs": ["198.51.100.128/25", "203.0.113.1"] } });
    assert_eq!(world.ask("PUT", &own, Some(&cidrs)).await.0, 200);
    assert_eq!(allowed(&world), set(&["198.51.100.128/25"]));
    for (said, words) in [
        (json!({ "whitelist": "192.0.2.1;192.0.2.2" }), "192.0.2.1;192.0.2.2"),
        (json!({ "whitelist": "192.0.2.0/33" }), "neither an address nor a network"),
        (json!({ "whitelist": ["192.0.2.1"] }), "whitelist"),
        (json!({ "listener_id": listener }), "listener_id"),
        (json!({ "admin_state_up": false }), "admin_state_up"),
        (json!({ "name": "a" }), "name"),
    ] {
        let (status, answer) = world.ask("PUT", &path, Some(&json!({ "whitelist": said }))).await;
        assert!(status == 400 && answer["faultstring"].as_str().unwrap().contains(words), "{said}: {answer}");
    }
    let listed = world.get(&format!("whitelists?listener_id={listener}&enable_whitelist=true")).await;
    assert_eq!(listed["whitelists"].as_array().map(Vec::len), Some(1));
    assert_eq!(world.ask("DELETE", &path, None).await.0, 204);
    assert_eq!(allowed(&world), set(&["198.51.100.128/25", "203.0.113.1/32"]));
    // One goes with its listener.
    world.make("whitelists", "whitelist", body).await;
    assert_eq!(world.ask("DELETE", &own, None).await.0, 204);
    assert_eq!(
        (&world.get("whitelists").await["whitelists"], allowed(&world)),
        (&json!([]), None::<BTreeSet<String>>)
    );
    assert_eq!(world.after_a_start(), world.served());
}
