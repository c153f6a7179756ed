//! L7 policies and their rules: positions, actions, what they are derived into, and what needs them.

use std::collections::BTreeSet;

use model::{
    object::{Listener, Policy},
    policy::{Action, Domain, PathMatch, PolicyOrder, RedirectTo, Subject},
};
use proptest::{collection, prelude::*};
use serde_json::{Value, json};

use super::{World, id, subnet};

/// A load balancer's HTTP listener and a pool beside it.
async fn listener_and_pool(world: &World) -> (String, String) {
    let shop = json!({ "name": "shop", "vip_subnet_id": subnet(world).await });
    let shop = id(&world.make("loadbalancers", "loadbalancer", shop).await);
    let listener = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "protocol_port": 80 });
    let listener = id(&world.make("listeners", "listener", listener).await);
    let pool = json!({ "loadbalancer_id": shop, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    (listener, id(&world.make("pools", "pool", pool).await))
}

/// The policies of the API's listener as they would be served, and their order.
fn served(world: &World) -> (Vec<Policy>, PolicyOrder) {
    let objects = world.served();
    let is_api = |listener: &&std::sync::Arc<Listener>| listener.meta.source == model::object::Source::Api;
    let http = objects.listeners.values().find(is_api).unwrap().http().unwrap();
    (http.policies.iter().map(|policy| Policy::clone(policy)).collect(), http.policy_order)
}

fn names(policies: &Value) -> Vec<(String, u64)> {
    let of = |it: &Value| (it["name"].as_str().unwrap().to_owned(), it["position"].as_u64().unwrap());
    let mut all: Vec<_> = policies["l7policies"].as_array().unwrap().iter().map(of).collect();
    all.sort_by_key(|(_, position)| *position);
    all
}

#[derive(Clone, Debug)]
enum Step {
    /// At this position, or behind all.
    Create(Option<usize>),
    /// The nth to this position.
    Move(usize, usize),
    Delete(usize),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Positions are a plain list's, whatever is created, moved and deleted.
    #[test]
    fn positions_have_no_gaps(steps in collection::vec(prop_oneof![
        prop::option::of(1..9usize).prop_map(Step::Create),
        (0..6usize, 1..9usize).prop_map(|(nth, to)| Step::Move(nth, to)),
        (0..6usize).prop_map(Step::Delete),
    ], 1..16)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let (listener, _) = listener_and_pool(&world).await;
            let mut plain: Vec<(String, String)> = Vec::new();
            for (number, step) in steps.iter().enumerate() {
                match *step {
                    Step::Create(at) => {
                        let body = json!({
                            "listener_id": listener, "action": "REJECT", "name": number.to_string(), "position": at,
                            "rules": [{ "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" }],
                        });
                        let made = world.make("l7policies", "l7policy", body).await;
                        let at = at.map_or(plain.len(), |at| (at - 1).min(plain.len()));
                        plain.insert(at, (number.to_string(), id(&made)));
                        assert_eq!(made["position"], at + 1);
                    }
                    Step::Move(nth, to) if nth < plain.len() => {
                        let moved = plain.remove(nth);
                        let path = format!("l7policies/{}", moved.1);
                        let body = json!({ "l7policy": { "position": to } });
                        assert_eq!(world.ask("PUT", &path, Some(&body)).await.0, 200);
                        plain.insert((to - 1).min(plain.len()), moved);
                    }
                    Step::Delete(nth) if nth < plain.len() => {
                        let path = format!("l7policies/{}", plain.remove(nth).1);
                        assert_eq!(world.ask("DELETE", &path, None).await.0, 204);
                    }
                    Step::Move(..) | Step::Delete(_) => {}
                }
                let expected: Vec<_> = (1..).zip(&plain).map(|(at, (name, _))| (name.clone(), at)).collect();
                let shown = world.get(&format!("l7policies?listener_id={listener}")).await;
                assert_eq!(names(&shown), expected, "{step:?}");
                let names: Vec<_> = served(&world).0.iter().map(|policy| policy.meta.name.to_string()).collect();
                assert_eq!(names, plain.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
            }
            assert_eq!(world.after_a_start(), world.served());
            world.ask("DELETE", &format!("listeners/{listener}"), None).await;
            assert_eq!(world.get("l7policies").await["l7policies"], json!([]));
            assert_eq!(world.after_a_start(), world.served());
        });
    }
}

#[tokio::test]
async fn each_action_has_its_target() {
    let world = World::new();
    let (listener, pool) = listener_and_pool(&world).await;
    let rules = json!([{ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" }]);
    let body = json!({ "listener_id": listener, "action": "REJECT", "rules": rules });
    let policy = id(&world.make("l7policies", "l7policy", body).await);
    let path = format!("l7policies/{policy}");
    // What is said, and what is shown then: action, pool, URL, prefix, status; a refusal's words otherwise.
    let good = |action, pool: Option<&str>, url: Option<&str>, prefix: Option<&str>, code: Option<u16>| {
        Ok(json!([action, pool, url, prefix, code]))
    };
    let (url, prefix) = ("https://a.example/b", "https://a.example/");
    let steps: [(Value, Result<Value, &str>); 19] = [
        (json!({ "redirect_url": url }), good("REDIRECT_TO_URL", None, Some(url), None, Some(302))),
        (json!({ "redirect_http_code": 308 }), good("REDIRECT_TO_URL", None, Some(url), None, Some(308))),
        (json!({ "description": "x" }), good("REDIRECT_TO_URL", None, Some(url), None, Some(308))),
        (json!({ "redirect_prefix": prefix }), good("REDIRECT_PREFIX", None, None, Some(prefix), Some(308))),
        (json!({ "redirect_http_code": null }), good("REDIRECT_PREFIX", None, None, Some(prefix), Some(302))),
        (json!({ "redirect_pool_id": pool }), good("REDIRECT_TO_POOL", Some(&pool), None, None, None)),
        (json!({ "redirect_url": null }), good("REDIRECT_TO_POOL", Some(&pool), None, None, None)),
        (json!({ "redirect_pool_id": null }), Err("redirect_pool_id")),
        (json!({ "redirect_http_code": 301 }), Err("redirect_http_code")),
        (json!({ "action": "REDIRECT_TO_URL" }), Err("redirect_url")),
        (json!({ "action": "REJECT", "redirect_url": url }), Err("goes with action REDIRECT_TO_URL")),
        (json!({ "redirect_prefix": prefix, "redirect_url": url }), Err("goes with action REDIRECT_PREFIX")),
        (json!({ "action": null }), Err("action")),
        (json!({ "action": "DROP" }), Err("REDIRECT_TO_LISTENER")),
        (json!({ "redirect_listener_id": listener }), Err("another listener of the load balancer")),
        (json!({ "redirect_pool_id": listener }), Err("not found")),
        (json!({ "listener_id": listener }), Err("listener_id")),
        (
            json!({ "position": null, "admin_state_up": null }),
            good("REDIRECT_TO_POOL", Some(&pool), None, None, None),
        ),
        (json!({ "action": "REJECT", "admin_state_up": true }), good("REJECT", None, None, None, None)),
    ];
    for (said, expected) in steps {
        let before = world.served();
        let (status, answer) = world.ask("PUT", &path, Some(&json!({ "l7policy": said }))).await;
        match expected {
            Ok(shown) => {
                let it = &world.get(&path).await["l7policy"];
                let names =
                    ["action", "redirect_pool_id", "redirect_url", "redirect_prefix", "redirect_http_code"];
                assert_eq!((status, json!(names.map(|name| &it[name]))), (200, shown), "{said}: {answer}");
            }
            Err(words) => {
                let text = answer["faultstring"].as_str().unwrap();
                assert!((400..500).contains(&status) && text.contains(words), "{said}: {status} {text}");
                assert_eq!(world.served(), before);
            }
        }
    }
    assert!(matches!(served(&world).0[0].action, Action::Reject(_)));
    world.ask("PUT", &path, Some(&json!({ "l7policy": { "redirect_prefix": prefix } }))).await;
    match &served(&world).0[0].action {
        Action::Redirect(redirect) => match &redirect.to {
            RedirectTo::Prefix(prefix) => {
                assert_eq!(prefix.as_str(), "https://a.example", "paths begin with the slash");
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let world = World::new();
    let (listener, pool) = listener_and_pool(&world).await;
    let body = json!({ "listener_id": listener, "action": "REDIRECT_TO_POOL", "redirect_pool_id": pool });
    let policy = id(&world.make("l7policies", "l7policy", body).await);
    let (status, said) = world.ask("DELETE", &format!("pools/{pool}"), None).await;
    assert_eq!(status, 409, "{said}");
    assert!(said["faultstring"].as_str().unwrap().contains(&policy), "who uses it: {said}");
    let shown = world.get(&format!("pools/{pool}")).await;
    assert_eq!(shown["pool"]["listeners"], json!([{ "id": listener }]));
    // All of it goes with the load balancer.
    let shop = id(&shown["pool"]["loadbalancers"][0]);
    assert_eq!(world.ask("DELETE", &format!("loadbalancers/{shop}?cascade=true"), None).await.0, 204);
    assert_eq!(world.get("l7policies").await["l7policies"], json!([]));
    assert_eq!(world.after_a_start(), world.served());
}

/// A policy acts when it is on and has a rule that is.
#[tokio::test]
async fn who_has_no_rule_does_nothing() {
    let world = World::new();
    let (listener, _) = listener_and_pool(&world).await;
    let policy =
        world.make("l7policies", "l7policy", json!({ "listener_id": listener, "action": "REJECT" })).await;
    let path = format!("l7policies/{}", id(&policy));
    let rules = format!("{path}/rules");
    let acts = |expected: bool| {
        let (world, path) = (&world, &path);
        async move {
            assert_eq!(!served(world).0.is_empty(), expected);
            let status = if expected { "ONLINE" } else { "OFFLINE" };
            assert_eq!(world.get(path).await["l7policy"]["operating_status"], status);
            assert_eq!(world.after_a_start(), world.served());
        }
    };
    acts(false).await;
    let rule = json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": "/" });
    let rule = format!("{rules}/{}", id(&world.make(&rules, "rule", rule).await));
    acts(true).await;
    for (path, kind) in [(&rule, "rule"), (&path, "l7policy")] {
        for is_on in [false, true] {
            world.ask("PUT", path, Some(&json!({ kind: { "admin_state_up": is_on } }))).await;
            acts(is_on).await;
        }
    }
    // Only through its own policy.
    let other =
        world.make("l7policies", "l7policy", json!({ "listener_id": listener, "action": "REJECT" })).await;
    let wrong = rule.replace(&id(&policy), &id(&other));
    for method in ["GET", "PUT", "DELETE"] {
        let body = json!({ "rule": { "value": "/b" } });
        let body = (method == "PUT").then_some(&body);
        assert_eq!(world.ask(method, &wrong, body).await.0, 404, "{method}");
    }
    assert_eq!(world.ask("DELETE", &rule, None).await.0, 204);
    acts(false).await;
    for number in 0..50 {
        let body = json!({ "type": "PATH", "compare_type": "EQUAL_TO", "value": format!("/{number}") });
        world.make(&rules, "rule", body).await;
    }
    let body = json!({ "rule": { "type": "PATH", "compare_type": "EQUAL_TO", "value": "/" } });
    assert_eq!(world.ask("POST", &rules, Some(&body)).await.0, 409);
}

#[tokio::test]
async fn rules_become_what_policies_are_looked_up_by() {
    let world = World::new();
    let (listener, _) = listener_and_pool(&world).await;
    let rule = |kind: &str, compare: &str, value: &str| json!({ "type": kind, "compare_type": compare, "value": value });
    let header = json!({ "type": "HEADER", "compare_type": "EQUAL_TO", "value": "b", "key": "X-Stage", "invert": true });
    let rules = [
        rule("PATH", "STARTS_WITH", "/a"),
        rule("PATH", "EQUAL_TO", "/a/b.png"),
        rule("HOST_NAME", "ENDS_WITH", ".Example.com"),
        rule("FILE_TYPE", "REGEX", "png|jpg"),
        header,
    ];
    let body = json!({ "listener_id": listener, "action": "REJECT", "rules": rules });
    let policy = id(&world.make("l7policies", "l7policy", body).await);
    let (policies, order) = served(&world);
    assert_eq!(order, PolicyOrder::Position);
    let condition = &policies[0].condition;
    assert_eq!(condition.domain, Some(Domain::Below("example.com".into())));
    assert_eq!(condition.path, Some(PathMatch::Exact("/a/b.png".into())));
    let subjects: BTreeSet<_> = condition.rules.iter().map(|rule| rule.subject.clone()).collect();
    assert_eq!(condition.rules.len(), 3);
    assert!(subjects.contains(&Subject::Path) && subjects.contains(&Subject::FileType));

    // One of the listener's own order needs a domain or a path.
    let own = format!("listeners/{listener}");
    let specific = json!({ "listener": { "policy_order": "specific" } });
    assert_eq!(world.ask("PUT", &own, Some(&specific)).await.0, 200);
    assert_eq!(served(&world).1, PolicyOrder::Specific);
    let again = json!({ "l7policy": { "listener_id": listener, "action": "REJECT", "rules": rules } });
    let (status, said) = world.ask("POST", "l7policies", Some(&again)).await;
    assert_eq!(status, 409, "{said}");
    assert_eq!(world.get(&own).await["listener"]["l7policies"], json!([{ "id": policy }]));

    for (kind, compare, key, value, words) in [
        ("FILE_TYPE", "CONTAINS", None, "png", "knows EQUAL_TO and REGEX"),
        ("FILE_TYPE", "EQUAL_TO", None, ".png", "behind the last dot"),
        ("HOST_NAME", "EQUAL_TO", None, "*.a.example", "use ENDS_WITH .a.example"),
        ("PATH", "REGEX", None, "a(", "regular expression"),
        ("PATH", "REGEX", None, "(?=a)", "regular expression"),
        ("PATH", "EQUAL_TO", Some("a"), "/a", "leave it out"),
        ("HEADER", "EQUAL_TO", None, "a", "key"),
        ("HEADER", "EQUAL_TO", Some("a b"), "a", "key"),
        ("COOKIE", "EQUAL_TO", Some("a"), "", "value"),
        ("BODY", "EQUAL_TO", None, "a", "type"),
    ] {
        let body = json!({ "rule": { "type": kind, "compare_type": compare, "key": key, "value": value } });
        let (status, said) = world.ask("POST", &format!("l7policies/{policy}/rules"), Some(&body)).await;
        let text = said["faultstring"].as_str().unwrap();
        assert!(status == 400 && text.contains(words), "{body}: {status} {text}");
    }
}

#[tokio::test]
async fn one_request_creates_policies_too() {
    let world = World::new();
    let rule = |value: &str| json!({ "type": "PATH", "compare_type": "STARTS_WITH", "value": value });
    let pool = json!({ "name": "own", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" });
    let to = |pool: Value, value: &str| json!({ "name": value, "action": "REDIRECT_TO_POOL", "redirect_pool": pool, "rules": [rule(value)] });
    let body = json!({
        "vip_subnet_id": subnet(&world).await,
        "pools": [{ "name": "shared", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN" }],
        "listeners": [{
            "protocol": "HTTP", "protocol_port": 80, "default_pool": { "name": "shared" },
            "l7policies": [
                to(json!({ "name": "shared" }), "/a"),
                to(pool, "/b"),
                { "name": "/c", "action": "REJECT", "position": 1, "rules": [rule("/c"), rule("/c/d")] },
            ],
        }],
    });
    let made = world.make("loadbalancers", "loadbalancer", body.clone()).await;
    let told: Vec<_> = made["listeners"][0]["l7policies"].as_array().unwrap().iter().collect();
    assert_eq!(told.iter().map(|it| &it["name"]).collect::<Vec<_>>(), ["/c", "/a", "/b"]);
    assert_eq!(told[0]["rules"].as_array().map(Vec::len), Some(2));
    assert_eq!(told[0]["rules"][0]["provisioning_status"], "PENDING_CREATE");
    let names: Vec<_> = served(&world).0.iter().map(|policy| policy.meta.name.to_string()).collect();
    assert_eq!(names, ["/c", "/a", "/b"]);
    assert_eq!(world.after_a_start(), world.served());
    let before = world.served();
    for (place, value) in [
        ("/listeners/0/l7policies/0/redirect_pool/name", json!("nobody")),
        ("/listeners/0/l7policies/1/rules/0/value", json!("b")),
        ("/listeners/0/l7policies/2/action", json!("REDIRECT_TO_URL")),
        ("/listeners/0/l7policies", json!([7])),
        ("/listeners/0/protocol", json!("TCP")),
    ] {
        let mut body = body.clone();
        *body.pointer_mut(place).unwrap() = value;
        let (status, said) = world.ask("POST", "loadbalancers", Some(&json!({ "loadbalancer": body }))).await;
        assert_eq!((status, world.served() == before), (400, true), "{place}: {said}");
    }
}
