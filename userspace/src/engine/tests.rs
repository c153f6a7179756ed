//! The engine over two layers that fail where a test wants them to: a change is made in both, or in none.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
    sync::{Arc, Mutex},
};

use model::{
    algorithm::{Algorithm, Weights},
    edge::Edge,
    flatten::flatten,
    host::{Host, Timeouts},
    id::Id,
    object::{
        Http, Listener, ListenerId, LoadBalancer, LoadBalancerId, Member, Meta, Objects, Pool, PoolId,
        PoolKind, ServerGroup, ServerGroupId, Service, Turns7,
    },
    plan::{Change, plan},
    served::{ListenerKey, OnDown, Served, WhenDown},
    value::{HostAddress, Name, Port, Seconds, Weight},
};
use proptest::{collection, prelude::*};

use super::{
    Drafter, Engine,
    front::{Admission, Steering},
    layers::{Class, DataPath, Frontend, Preparer, Reason},
    standings::{MemberHealth, Standings},
    transition::{Desired, Transition},
};
use crate::health::checker::Checker;

#[derive(Debug, thiserror::Error)]
#[error("it was to fail here")]
struct Failed;

impl Reason for Failed {
    fn class(&self) -> Class {
        Class::Unavailable
    }
}

/// Which of the steps to come fail; when it is empty, none does.
#[derive(Clone, Default)]
struct Failures(Rc<RefCell<VecDeque<bool>>>);

impl Failures {
    fn step(&self) -> Result<(), Failed> {
        match self.0.borrow_mut().pop_front() {
            Some(true) => Err(Failed),
            _ => Ok(()),
        }
    }
}

/// A data path that is nothing but what it serves.
#[derive(Default)]
struct Path {
    served: Served,
    steered: BTreeSet<ListenerKey>,
    failures: Failures,
}

impl Path {
    fn make(&mut self, change: &Change) {
        let served = &mut self.served;
        match change.clone() {
            Change::PutPool(id, pool) => drop(served.pools.insert(id, pool)),
            Change::RemoveListener(key) => drop(served.listeners.remove(&key)),
            Change::RemoveVip(vip) => assert!(served.vips.remove(&vip)),
            Change::AddVip(vip) => assert!(served.vips.insert(vip)),
            Change::PutListener(key, listener) => drop(served.listeners.insert(key, listener)),
            Change::RemovePool(id) => drop(served.pools.remove(&id)),
        }
        for (key, listener) in &self.served.listeners {
            assert!(self.served.vips.contains(&key.vip), "{key:?} without its VIP");
            let pool = listener.pool.filter(|pool| !self.served.pools.contains_key(pool));
            assert_eq!(pool, None, "{key:?} without its pool");
        }
    }
}

impl Steering for Path {
    type Error = Failed;

    fn steer(&mut self, key: &ListenerKey, _socket: BorrowedFd<'_>) -> Result<(), Failed> {
        self.failures.step()?;
        self.steered.insert(*key);
        Ok(())
    }

    fn unsteer(&mut self, key: &ListenerKey) -> Result<(), Failed> {
        self.steered.remove(key);
        Ok(())
    }

    fn admission(&self, _key: &ListenerKey) -> Option<Arc<dyn Admission>> {
        None
    }
}

impl DataPath for Path {
    type Reason = Failed;

    fn served(&self) -> &Served {
        &self.served
    }

    fn remembered(&self) -> Vec<(PoolId, SocketAddr, MemberHealth)> {
        Vec::new()
    }

    async fn prepare(&mut self, _transition: &Transition, changes: &[Change]) -> Result<(), Failed> {
        changes.iter().try_for_each(|_| self.failures.step())
    }

    async fn apply(
        &mut self,
        _desired: &Desired,
        changes: &[Change],
        standings: &Standings,
    ) -> Result<(), Failed> {
        for change in changes {
            self.failures.step()?;
            self.make(change);
            if let Change::PutPool(id, pool) = change {
                let known = |member| standings.of(*id, member) == MemberHealth::UNCHECKED;
                assert!(pool.members.keys().copied().all(known), "members come with what is known of them");
            }
        }
        Ok(())
    }

    fn note(&mut self, _members: &[(PoolId, SocketAddr)], _standings: &Standings) -> Result<(), Failed> {
        Ok(())
    }
}

/// A Layer 7 that is nothing but its listeners.
#[derive(Default)]
struct Front {
    listeners: BTreeMap<ListenerKey, ListenerId>,
    draining: Vec<ListenerKey>,
    /// On whatever thread.
    fails: Arc<Mutex<bool>>,
}

struct Making(Arc<Mutex<bool>>);

struct Made {
    put: Vec<(ListenerKey, ListenerId)>,
    gone: Vec<ListenerKey>,
}

impl Preparer for Making {
    type Reason = Failed;
    type Prepared = Made;

    fn prepare(self, transition: &Transition) -> Result<Made, Failed> {
        if *self.0.lock().unwrap() {
            return Err(Failed);
        }
        let mut made = Made { put: Vec::new(), gone: Vec::new() };
        for change in &transition.changes {
            match change {
                Change::PutListener(key, listener) if listener.http.is_some() && !listener.drains => {
                    made.put.push((*key, listener.id));
                }
                Change::PutListener(key, _) | Change::RemoveListener(key) => made.gone.push(*key),
                _ => {}
            }
        }
        Ok(made)
    }
}

impl Frontend for Front {
    type Reason = Failed;
    type Preparer = Making;
    type Prepared = Made;
    type Applied = (Vec<ListenerKey>, BTreeMap<ListenerKey, ListenerId>);

    fn preparer(&self) -> Making {
        Making(self.fails.clone())
    }

    fn apply<S: Steering>(&mut self, made: Made, steering: &mut S) -> Result<Self::Applied, Failed> {
        let applied = (made.gone, self.listeners.clone());
        let file = std::fs::File::open("/dev/null").unwrap();
        for (key, listener) in made.put {
            if !self.listeners.contains_key(&key) && steering.steer(&key, file.as_fd()).is_err() {
                self.undo(applied, steering);
                return Err(Failed);
            }
            self.listeners.insert(key, listener);
        }
        Ok(applied)
    }

    fn commit<S: Steering>(&mut self, (gone, _): Self::Applied, _: &Standings, steering: &mut S) {
        for key in gone {
            if self.listeners.remove(&key).is_some() {
                steering.unsteer(&key).unwrap();
                self.draining.push(key);
            }
        }
    }

    fn undo<S: Steering>(&mut self, (_, before): Self::Applied, steering: &mut S) {
        for key in self.listeners.keys().filter(|key| !before.contains_key(key)) {
            steering.unsteer(key).unwrap();
        }
        self.listeners = before;
    }

    fn note(&self, _members: &[(PoolId, SocketAddr)], _standings: &Standings) {}

    fn drained(&mut self) -> Vec<ListenerKey> {
        std::mem::take(&mut self.draining)
    }
}

/// What a test wants: for each load balancer its VIPs, and for each of its ports whether HTTP is spoken there and the
/// pool; for each pool its weight.
#[derive(Clone, Debug)]
struct Wish {
    balancers: Vec<WishedBalancer>,
    weights: [u16; 2],
}

type WishedBalancer = (BTreeSet<u8>, BTreeMap<u16, (bool, u8)>);

fn wishes() -> impl Strategy<Value = Wish> {
    let ports = collection::btree_map(80..83u16, (any::<bool>(), 0..2u8), 0..3);
    let balancer = (collection::btree_set(0..3u8, 1..3), ports);
    (collection::vec(balancer, 0..3), [0..4u16, 0..4u16])
        .prop_map(|(balancers, weights)| Wish { balancers, weights })
}

fn named(name: &str) -> Meta {
    Meta::of_file(Name::new(name).unwrap())
}

impl Wish {
    fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        for (http, layer) in [(false, "four"), (true, "seven")] {
            for (number, weight) in self.weights.iter().enumerate() {
                let name = format!("{layer}{number}");
                let member = Member {
                    meta: named(""),
                    address: HostAddress::parse("192.0.2.1", "member").unwrap(),
                    port: Port::literal(80),
                    weight: Weight::literal(*weight),
                    enabled: true,
                    backup: false,
                    zone: Name::default(),
                    monitor_address: None,
                    monitor_port: None,
                };
                let members = [(Id::of_names(&[&name]), Arc::new(member))].into();
                let group = ServerGroup { meta: named(&name), members, monitor: None };
                let group_id = ServerGroupId::of_names(&[&name]);
                objects.server_groups.insert(group_id, Arc::new(group));
                let kind = match http {
                    false => PoolKind::Layer4 {
                        algorithm: Algorithm::WeightedRoundRobin(None),
                        drain_timeout: None,
                    },
                    true => PoolKind::Layer7 {
                        algorithm: Algorithm::WeightedRoundRobin(Turns7::default()),
                        http: Default::default(),
                        ejection: None,
                    },
                };
                let pool = Pool {
                    meta: named(&name),
                    server_group: group_id,
                    weights: Weights::default(),
                    on_down: OnDown::default(),
                    kind,
                };
                objects.pools.insert(PoolId::of_names(&[&name]), Arc::new(pool));
            }
        }
        for (number, (vips, ports)) in self.balancers.iter().enumerate() {
            let name = format!("lb{number}");
            let id = LoadBalancerId::of_names(&[&name]);
            let vip = |n: &u8| HostAddress::parse(&format!("203.0.11{number}.{n}"), "VIP").unwrap();
            let balancer = LoadBalancer {
                meta: named(&name),
                vips: vips.iter().map(vip).collect(),
                bandwidth: None,
                access_log: None,
            };
            objects.load_balancers.insert(id, Arc::new(balancer));
            for (port, (http, pool)) in ports {
                let layer = if *http { "seven" } else { "four" };
                let service = match http {
                    true => {
                        let http = Http { edge: Edge::default(), ..Http::default() };
                        Service::Http { http, redirect: None }
                    }
                    false => Service::Tcp { when_down: WhenDown::default() },
                };
                let listener = Listener {
                    meta: named("web"),
                    load_balancer: id,
                    port: Port::literal(*port),
                    service,
                    default_pool: Some(PoolId::of_names(&[&format!("{layer}{pool}")])),
                    idle_timeout: Seconds::literal(9),
                    access_list: None,
                    max_connections: None,
                    max_connections_per_second: None,
                };
                let id = ListenerId::of_names(&[&name, &port.to_string()]);
                objects.listeners.insert(id, Arc::new(listener));
            }
        }
        objects
    }
}

fn desired(objects: Objects) -> Desired {
    Desired { host: Host::default(), timeouts: Timeouts::default(), objects: Arc::new(objects) }
}

/// What both layers have, and what packets and requests therefore see.
fn seen(engine: &Engine<Path, Front>) -> (Served, BTreeSet<ListenerKey>, BTreeMap<ListenerKey, ListenerId>) {
    (engine.data_path.served.clone(), engine.data_path.steered.clone(), engine.frontend.listeners.clone())
}

/// That both layers have the same, and nothing else than they are to have.
fn agree(engine: &Engine<Path, Front>) {
    assert_eq!(plan(&engine.data_path.served, engine.served()), []);
    let http = engine.served().listeners.iter().filter(|(_, l)| l.http.is_some() && !l.drains);
    let http: BTreeMap<_, _> = http.map(|(key, listener)| (*key, listener.id)).collect();
    assert_eq!(engine.frontend.listeners, http);
    assert_eq!(engine.data_path.steered, http.into_keys().collect());
}

proptest! {
    /// Whatever fails, and where: both layers are as before or as after, and what could not be taken back at once is
    /// when nothing fails any more.
    #[test]
    fn a_change_is_made_in_both_layers_or_in_none(
        steps in collection::vec((wishes(), collection::vec(any::<bool>(), 0..12), any::<bool>(), 0..9u8), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (checker, _news) = Checker::new().unwrap();
            let nothing = desired(Objects::default());
            let mut engine = Engine::new(Path::default(), Front::default(), nothing, checker);
            let failures = engine.data_path.failures.clone();
            let fails = engine.frontend.fails.clone();
            for (wish, fail, drains, rare) in steps {
                let before = seen(&engine);
                // One in nine cannot even be made ready.
                *fails.lock().unwrap() = rare == 0;
                let draft = engine.drafter().draft(desired(wish.objects()));
                let Ok(draft) = draft else {
                    assert_eq!(seen(&engine), before);
                    continue;
                };
                let after = draft.served().clone();
                *failures.0.borrow_mut() = fail.into();
                let made = engine.change(draft).await;
                failures.0.borrow_mut().clear();
                match made {
                    Ok(_) => {
                        assert_eq!(*engine.served(), after);
                        // As if nothing had been there before, and nothing drained.
                        let wanted = flatten(&wish.objects(), None);
                        let mut lasting = after;
                        lasting.listeners.retain(|_, listener| !listener.drains);
                        assert_eq!((lasting.listeners, lasting.pools), (wanted.listeners, wanted.pools));
                    }
                    Err(_) => {
                        assert!(engine.reconcile().await, "nothing fails now");
                        assert_eq!(seen(&engine), before);
                    }
                }
                agree(&engine);
                if drains {
                    engine.end_drained().await;
                    assert!(engine.served().listeners.values().all(|listener| !listener.drains));
                    agree(&engine);
                }
            }
            Ok::<(), TestCaseError>(())
        })?;
    }
}

#[tokio::test]
async fn a_draft_is_good_for_the_next_change_only() {
    let (checker, _news) = Checker::new().unwrap();
    let nothing = desired(Objects::default());
    let mut engine = Engine::new(Path::default(), Front::default(), nothing.clone(), checker);
    let wish = Wish { balancers: vec![([0].into(), [(80, (true, 0))].into())], weights: [1, 1] };
    let first = engine.drafter().draft(desired(wish.objects())).unwrap();
    let second = engine.drafter().draft(desired(wish.objects())).unwrap();
    engine.change(first).await.unwrap();
    let refused = engine.change(second).await.unwrap_err();
    assert_eq!(refused.class, Class::Conflict);

    // The same objects again: nothing to do.
    let again = engine.drafter().draft(desired(wish.objects())).unwrap();
    assert_eq!(again.changes(), 0);
    engine.change(again).await.unwrap();

    let gone = engine.drafter().draft(nothing.clone()).unwrap();
    engine.change(gone).await.unwrap();
    let draining: Vec<_> = engine.served().listeners.values().map(|listener| listener.drains).collect();
    assert_eq!(draining, [true], "its packets go on passing");
    engine.end_drained().await;
    assert_eq!(*engine.served(), Served::default());
    assert_eq!(*engine.data_path.served(), Served::default());
}

#[tokio::test]
async fn a_start_that_fails_leaves_what_an_earlier_process_had_served() {
    let (checker, _news) = Checker::new().unwrap();
    let nothing = desired(Objects::default());
    let wish = Wish { balancers: vec![([0].into(), [(80, (false, 0))].into())], weights: [1, 1] };
    let there = flatten(&wish.objects(), None);
    let path = Path { served: there.clone(), ..Path::default() };
    let front = Front::default();
    let draft = Drafter::first(nothing.clone(), front.preparer()).draft(desired(Objects::default())).unwrap();
    let mut engine = Engine::new(path, front, nothing, checker);
    // Ready, then the second step fails.
    let steps = plan(&there, &Served::default()).len();
    let mut failures = vec![false; steps + 1];
    failures.push(true);
    *engine.data_path.failures.0.borrow_mut() = failures.into();
    assert!(engine.change(draft).await.is_err());
    assert_eq!(engine.data_path.served, there);
}
