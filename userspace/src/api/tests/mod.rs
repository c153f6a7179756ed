//! The API without the layers: requests go through its paths into a real store, and what would be served is at hand.
//!
//! `against_model` compares it with a plain model in memory, `refused` sends it what is wrong, `lists` reads, `policies` are those of Layer 7, `certificates` those of listeners that end TLS, `whitelists` say who
//! may connect, `quotas` how many objects there may be and which stay, `together` makes
//! many objects at once.

mod against_model;
mod certificates;
mod lists;
mod policies;
mod quotas;
mod refused;
mod together;
mod whitelists;

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use model::{
    control::{Control, Listen, VipPool},
    host::{LocalAddresses, local_range},
    object::Objects,
    value::Name,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::{
    routes::routes,
    shared::{Message, Shared},
    state::State,
    stats::Stats,
    view::Health,
    write::Batch,
};
use crate::{
    config,
    dataplane::capacity::capacity,
    store::{Change, Store, sqlite::Sqlite},
};

/// What the file has beside.
const FILE: &str = "[host]\ninterfaces = ['eth0']\nlocal_addresses = ['100.64.0.0/28']\n\
    [[load_balancer]]\nname = 'site'\nvip = '203.0.113.10'\ndescription = 'of the file'\n\
    listener = [{ name = 'web', protocol = 'http', port = 80, pool = 'web' }]\n\
    [[pool]]\nname = 'web'\nprotocol = 'http'\nsticky.by = 'balancer-cookie'\n\
    health = { protocol = 'http', codes = '200-204,302' }\n\
    member = [{ address = '192.0.2.99', port = 80 }]\n";

/// An API over a store, and what would be served.
struct World {
    app: Router,
    shared: Arc<Shared>,
    objects: Arc<Mutex<Objects>>,
    file: Objects,
    directory: TempDir,
    daemon: tokio::task::JoinHandle<()>,
}

fn control() -> Control {
    let pool =
        |name: &str, range: &str| VipPool { name: Name::new(name).unwrap(), range: range.parse().unwrap() };
    Control {
        listen: Listen::new("127.0.0.1:9876").unwrap(),
        vip_pools: vec![pool("public", "203.0.113.64/29"), pool("six", "2001:db8:5::/64")],
    }
}

fn locals() -> LocalAddresses {
    LocalAddresses::new([local_range("100.64.0.0/28").unwrap()]).unwrap()
}

impl World {
    /// To be called inside a tokio runtime.
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let file = config::parse("f", FILE, &capacity()).unwrap().objects;
        let store = Sqlite::open(directory.path()).unwrap();
        let state = State::of_store(&store, &file, control(), locals()).unwrap();
        let objects = Arc::new(Mutex::new(state.merged(&file).unwrap()));
        let (shared, mut messages) = Shared::new(state, Box::new(store));
        let (loops, served) = (shared.clone(), objects.clone());
        let daemon = tokio::spawn(async move {
            while let Some(message) = messages.recv().await {
                match message {
                    Message::Health(_, reply) => drop(reply.send(Health::new())),
                    Message::Stats(wanted, reply) => {
                        let stats = Stats { bytes_in: 3, total_connections: 1, ..Stats::default() };
                        let counted = wanted.into_iter().map(|id| (id, stats)).collect();
                        drop(reply.send(Ok(counted)));
                    }
                    Message::Write(write) => {
                        let before = served.lock().unwrap().clone();
                        let mut writes = vec![write];
                        while let Ok(Message::Write(write)) = messages.try_recv() {
                            writes.push(write);
                        }
                        let batch = Batch::new(writes, &loops.state(), &before, &capacity());
                        let commit =
                            |change: &Change| loops.with_store(|s| s.commit(s.revision(), change)).unwrap();
                        for (write, fault) in batch.refused {
                            let traces = vec![write.refuse(fault)];
                            commit(&Change { traces, ..Change::default() });
                        }
                        if !batch.made.is_empty() {
                            commit(&batch.change);
                            *served.lock().unwrap() = batch.objects;
                            loops.set_state(Arc::new(batch.state));
                        }
                        batch.made.into_iter().for_each(|(write, answer)| write.confirm(answer));
                    }
                }
            }
        });
        Self { app: routes(shared.clone()), shared, objects, file, directory, daemon }
    }

    /// What a request is answered: status and body.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let text = body.map(ToString::to_string).unwrap_or_default();
        self.send(method, path, text.into_bytes()).await
    }

    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
        let path = if path.starts_with("/v2") { path.to_owned() } else { format!("/v2.0/lbaas/{path}") };
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let answer = self.app.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Makes an object of these attributes and returns it.
    async fn make(&self, path: &str, kind: &str, attributes: Value) -> Value {
        let (status, body) = self.ask("POST", path, Some(&json!({ kind: attributes }))).await;
        assert_eq!(status, 201, "{path}: {body}");
        body[kind].clone()
    }

    /// What would be served.
    fn served(&self) -> Objects {
        self.objects.lock().unwrap().clone()
    }

    /// What a process that starts now would serve.
    fn after_a_start(&self) -> Objects {
        let rows = self.shared.with_store(|store| store.list()).unwrap();
        State::of_store(&Rows(rows), &self.file, control(), locals()).unwrap().merged(&self.file).unwrap()
    }
}

/// A store that has been read.
struct Rows(Vec<crate::store::Row>);

impl Store for Rows {
    fn revision(&self) -> u64 {
        0
    }

    fn list(&self) -> Result<Vec<crate::store::Row>, crate::store::StoreError> {
        Ok(self.0.clone())
    }

    fn commit(&mut self, _: u64, _: &Change) -> Result<u64, crate::store::StoreError> {
        unreachable!("it is only read")
    }

    fn traces(
        &self,
        _: &crate::store::TraceFilter,
    ) -> Result<Vec<crate::store::Trace>, crate::store::StoreError> {
        Ok(Vec::new())
    }

    fn forget_traces(&mut self, _: u64) -> Result<(), crate::store::StoreError> {
        Ok(())
    }
}

/// An object's id.
fn id(object: &Value) -> String {
    object["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_store_is_what_another_process_finds() {
    let world = World::new();
    let shop =
        world.make("loadbalancers", "loadbalancer", json!({ "vip_subnet_id": subnet(&world).await })).await;
    world
        .make(
            "pools",
            "pool",
            json!({ "loadbalancer_id": id(&shop), "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN" }),
        )
        .await;
    let before = world.served();
    let World { shared, directory, file, app, daemon, .. } = world;
    // Nobody else can have the store meanwhile.
    assert!(Sqlite::open(directory.path()).is_err());
    daemon.abort();
    assert!(daemon.await.is_err());
    drop((app, shared));
    let store = Sqlite::open(directory.path()).unwrap();
    let state = State::of_store(&store, &file, control(), locals()).unwrap();
    assert_eq!(state.merged(&file).unwrap(), before);
}

/// The id of the first VIP pool as a subnet.
async fn subnet(world: &World) -> String {
    id(&world.get("/v2.0/subnets?name=public").await["subnets"][0])
}
