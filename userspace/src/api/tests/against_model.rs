//! Random requests against a plain model in memory: the status that each is answered, the objects that are there
//! afterwards, and that a start from the store serves the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, prelude::*, sample::select};
use serde_json::{Value, json};

use super::{World, id, subnet};

#[derive(Clone, Debug)]
enum Step {
    /// Of a load balancer.
    Create(u8),
    /// A port of a load balancer, by protocol.
    Listen(u8, u16, &'static str),
    /// Of a load balancer and protocol; whether it becomes the default of the load balancer's first listener.
    Pool(u8, &'static str, bool),
    /// Of the nth pool.
    Member(u8, u8, u16),
    Weigh(u8, u8, u16),
    RemoveMember(u8, u8),
    Monitor(u8),
    RemovePool(u8),
    /// Of the nth listener.
    RemoveListener(u8),
    Enable(u8, bool),
    Delete(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lb = 0..3u8;
    let nth = 0..4u8;
    collection::vec(
        prop_oneof![
            lb.clone().prop_map(Step::Create),
            (lb.clone(), 80..83u16, select(vec!["TCP", "UDP", "HTTP", "HTTPS"]))
                .prop_map(|(l, p, w)| Step::Listen(l, p, w)),
            (lb.clone(), select(vec!["TCP", "UDP", "HTTP", "PROXY"]), any::<bool>())
                .prop_map(|(l, w, d)| Step::Pool(l, w, d)),
            (nth.clone(), 1..4u8, 0..257u16).prop_map(|(p, m, w)| Step::Member(p, m, w)),
            (nth.clone(), 1..4u8, 0..260u16).prop_map(|(p, m, w)| Step::Weigh(p, m, w)),
            (nth.clone(), 1..4u8).prop_map(|(p, m)| Step::RemoveMember(p, m)),
            nth.clone().prop_map(Step::Monitor),
            nth.clone().prop_map(Step::RemovePool),
            nth.prop_map(Step::RemoveListener),
            (lb.clone(), any::<bool>()).prop_map(|(l, e)| Step::Enable(l, e)),
            (lb, any::<bool>()).prop_map(|(l, c)| Step::Delete(l, c)),
        ],
        1..24,
    )
}

#[derive(Debug)]
struct PlainPool {
    id: String,
    load_balancer: u8,
    protocol: &'static str,
    members: BTreeMap<u8, (String, u16)>,
    has_monitor: bool,
}

#[derive(Debug)]
struct PlainListener {
    id: String,
    load_balancer: u8,
    port: u16,
    protocol: &'static str,
    pool: Option<String>,
}

#[derive(Default)]
struct Plain {
    load_balancers: BTreeMap<u8, (String, bool)>,
    listeners: Vec<PlainListener>,
    pools: Vec<PlainPool>,
}

impl Plain {
    fn remove_pool(&mut self, at: usize) {
        let pool = self.pools.remove(at);
        for listener in self.listeners.iter_mut().filter(|it| it.pool.as_ref() == Some(&pool.id)) {
            listener.pool = None;
        }
    }

    /// Which listeners are served: those that are on and have somewhere to send to.
    fn served(&self) -> BTreeSet<String> {
        let is_served = |it: &&PlainListener| {
            self.load_balancers[&it.load_balancer].1 && (it.protocol == "HTTP" || it.pool.is_some())
        };
        self.listeners.iter().filter(is_served).map(|it| it.id.clone()).collect()
    }
}

/// Whether Octavia lets a listener have such a pool, and it can be served here.
fn goes_with(listener: &str, pool: &str) -> bool {
    matches!(
        (listener, pool),
        ("TCP", "TCP" | "HTTP") | ("UDP", "UDP") | ("HTTP", "HTTP" | "PROXY") | ("HTTPS", "TCP")
    )
}

async fn make(world: &World, plain: &mut Plain, step: &Step) {
    match *step {
        Step::Create(slot) => {
            if plain.load_balancers.contains_key(&slot) {
                return;
            }
            let body = json!({ "name": slot.to_string(), "vip_subnet_id": subnet(world).await });
            let made = world.make("loadbalancers", "loadbalancer", body).await;
            plain.load_balancers.insert(slot, (id(&made), true));
        }
        Step::Listen(slot, port, protocol) => {
            let Some((load_balancer, _)) = plain.load_balancers.get(&slot) else { return };
            let body = json!({ "listener": {
                "loadbalancer_id": load_balancer, "protocol": protocol, "protocol_port": port,
            } });
            let (status, made) = world.ask("POST", "listeners", Some(&body)).await;
            let clashes = |it: &PlainListener| {
                it.load_balancer == slot && it.port == port && (it.protocol == "UDP") == (protocol == "UDP")
            };
            let expected = if plain.listeners.iter().any(clashes) { 409 } else { 201 };
            assert_eq!(status, expected, "{made}");
            if status == 201 {
                let id = id(&made["listener"]);
                plain.listeners.push(PlainListener { id, load_balancer: slot, port, protocol, pool: None });
            }
        }
        Step::Pool(slot, protocol, is_default) => {
            let Some((load_balancer, _)) = plain.load_balancers.get(&slot) else { return };
            let listener = plain.listeners.iter_mut().find(|it| it.load_balancer == slot);
            let mut body = json!({ "protocol": protocol, "lb_algorithm": "ROUND_ROBIN" });
            let mut expected = 201;
            let listener = listener.filter(|_| is_default);
            match &listener {
                Some(listener) => {
                    body["listener_id"] = json!(listener.id);
                    if listener.pool.is_some() {
                        expected = 409;
                    } else if !goes_with(listener.protocol, protocol) {
                        expected = 400;
                    }
                }
                None => body["loadbalancer_id"] = json!(load_balancer),
            }
            let (status, made) = world.ask("POST", "pools", Some(&json!({ "pool": body }))).await;
            assert_eq!(status, expected, "{made}");
            if status == 201 {
                let id = id(&made["pool"]);
                if let Some(listener) = listener {
                    listener.pool = Some(id.clone());
                }
                let members = BTreeMap::new();
                plain.pools.push(PlainPool {
                    id,
                    load_balancer: slot,
                    protocol,
                    members,
                    has_monitor: false,
                });
            }
        }
        Step::Member(nth, host, weight) => {
            let Some(pool) = plain.pools.get_mut(usize::from(nth)) else { return };
            let body = json!({ "member": {
                "address": format!("192.0.2.{host}"), "protocol_port": 80, "weight": weight,
            } });
            let (status, made) = world.ask("POST", &format!("pools/{}/members", pool.id), Some(&body)).await;
            let expected = if pool.members.contains_key(&host) { 409 } else { 201 };
            assert_eq!(status, expected, "{made}");
            if status == 201 {
                pool.members.insert(host, (id(&made["member"]), weight));
            }
        }
        Step::Weigh(nth, host, weight) => {
            let Some(pool) = plain.pools.get_mut(usize::from(nth)) else { return };
            let Some((member, old)) = pool.members.get_mut(&host) else { return };
            let path = format!("pools/{}/members/{member}", pool.id);
            let (status, made) =
                world.ask("PUT", &path, Some(&json!({ "member": { "weight": weight } }))).await;
            assert_eq!(status, if weight > 256 { 400 } else { 200 }, "{made}");
            if weight <= 256 {
                *old = weight;
            }
        }
        Step::RemoveMember(nth, host) => {
            let Some(pool) = plain.pools.get_mut(usize::from(nth)) else { return };
            let Some((member, _)) = pool.members.remove(&host) else { return };
            let path = format!("pools/{}/members/{member}", pool.id);
            assert_eq!(world.ask("DELETE", &path, None).await.0, 204);
            assert_eq!(world.ask("DELETE", &path, None).await.0, 404);
        }
        Step::Monitor(nth) => {
            let Some(pool) = plain.pools.get_mut(usize::from(nth)) else { return };
            let kind = if pool.protocol == "UDP" { "UDP-CONNECT" } else { "TCP" };
            let body = json!({ "healthmonitor": {
                "pool_id": pool.id, "type": kind, "delay": 3, "timeout": 9, "max_retries": 2,
            } });
            let (status, made) = world.ask("POST", "healthmonitors", Some(&body)).await;
            assert_eq!(status, if pool.has_monitor { 409 } else { 201 }, "{made}");
            pool.has_monitor = true;
        }
        Step::RemovePool(nth) => {
            let Some(pool) = plain.pools.get(usize::from(nth)) else { return };
            assert_eq!(world.ask("DELETE", &format!("pools/{}", pool.id), None).await.0, 204);
            plain.remove_pool(nth.into());
        }
        Step::RemoveListener(nth) => {
            let Some(listener) = plain.listeners.get(usize::from(nth)) else { return };
            assert_eq!(world.ask("DELETE", &format!("listeners/{}", listener.id), None).await.0, 204);
            plain.listeners.remove(nth.into());
        }
        Step::Enable(slot, is_enabled) => {
            let Some((load_balancer, was)) = plain.load_balancers.get_mut(&slot) else { return };
            let body = json!({ "loadbalancer": { "admin_state_up": is_enabled } });
            assert_eq!(world.ask("PUT", &format!("loadbalancers/{load_balancer}"), Some(&body)).await.0, 200);
            *was = is_enabled;
        }
        Step::Delete(slot, cascade) => {
            let Some((load_balancer, _)) = plain.load_balancers.get(&slot) else { return };
            let path = format!("loadbalancers/{load_balancer}{}", if cascade { "?cascade=true" } else { "" });
            let has_children = plain.listeners.iter().any(|it| it.load_balancer == slot)
                || plain.pools.iter().any(|it| it.load_balancer == slot);
            let is_refused = has_children && !cascade;
            assert_eq!(world.ask("DELETE", &path, None).await.0, if is_refused { 400 } else { 204 });
            if !is_refused {
                plain.load_balancers.remove(&slot);
                plain.listeners.retain(|it| it.load_balancer != slot);
                plain.pools.retain(|it| it.load_balancer != slot);
            }
        }
    }
}

/// The ids of what is listed and is not the file's.
async fn listed(world: &World, many: &str) -> BTreeSet<String> {
    let list = world.get(many).await;
    let is_own = |it: &&Value| it["description"] != "of the file" && it["name"] != "web";
    list[many].as_array().unwrap().iter().filter(is_own).map(id).collect()
}

async fn agree(world: &World, plain: &Plain) {
    let load_balancers: BTreeSet<_> = plain.load_balancers.values().map(|(id, _)| id.clone()).collect();
    assert_eq!(listed(world, "loadbalancers").await, load_balancers);
    assert_eq!(listed(world, "listeners").await, plain.listeners.iter().map(|it| it.id.clone()).collect());
    assert_eq!(listed(world, "pools").await, plain.pools.iter().map(|it| it.id.clone()).collect());
    for pool in &plain.pools {
        let list = world.get(&format!("pools/{}/members", pool.id)).await;
        let members = list["members"].as_array().unwrap().iter();
        let members: BTreeSet<_> =
            members.map(|it| (id(it), it["weight"].as_u64().unwrap() as u16)).collect();
        assert_eq!(members, pool.members.values().cloned().collect());
    }
    let objects = world.served();
    let of_file = world.file.listeners.keys().map(|id| id.uuid().to_string());
    let expected: BTreeSet<String> = plain.served().into_iter().chain(of_file).collect();
    assert_eq!(objects.listeners.keys().map(|id| id.uuid().to_string()).collect::<BTreeSet<_>>(), expected);
    assert_eq!(world.after_a_start(), objects, "what a start makes of the store");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn random_requests_do_what_a_plain_model_does(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let mut plain = Plain::default();
            for step in &steps {
                make(&world, &mut plain, step).await;
                agree(&world, &plain).await;
            }
        });
    }
}
