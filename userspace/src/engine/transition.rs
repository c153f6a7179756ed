//! One change of what is served, worked out before anything is touched. Pure.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use model::{
    flatten::{Before, flatten},
    host::{Host, Timeouts},
    object::Objects,
    plan::{Change, plan},
    served::{Listener, ListenerKey, Served},
};

/// What is wanted, all of it: what the engine goes by.
#[derive(Clone, Debug)]
pub struct Desired {
    /// This machine's settings.
    pub host: Host,
    /// How long sessions may rest in each state.
    pub timeouts: Timeouts,
    /// The objects, checked.
    pub objects: Arc<Objects>,
}

/// From what is served to what shall be.
#[derive(Clone, Debug)]
pub struct Transition {
    /// What is wanted.
    pub desired: Desired,
    /// What is served, listeners that drain included.
    pub before: Arc<Served>,
    /// What shall be, the same.
    pub after: Arc<Served>,
    /// The steps from the one to the other.
    pub changes: Vec<Change>,
}

impl Transition {
    /// From what is served because of `now` to what shall be because of `desired`. An HTTP listener that goes drains
    /// first.
    pub fn new(now: &Objects, before: Arc<Served>, desired: Desired) -> Self {
        // One that drains may come back with the same id.
        let draining: Vec<_> = draining(&before).collect();
        let lasting = (!draining.is_empty()).then(|| without(now, &before, &draining));
        let known = Before { objects: now, served: lasting.as_ref().unwrap_or(&before) };
        let mut after = flatten(&desired.objects, Some(known));
        drain(&before, &mut after);
        let changes = plan(&before, &after);
        Self { desired, before, after: Arc::new(after), changes }
    }
}

/// What is served without these listeners, those of them that still drain. A VIP goes with its last listener, unless a
/// load balancer has it.
pub fn without(objects: &Objects, served: &Served, drained: &[ListenerKey]) -> Served {
    let mut served = served.clone();
    for key in drained {
        if served.listeners.get(key).is_some_and(|listener| listener.drains) {
            served.listeners.remove(key);
        }
    }
    let own: BTreeSet<IpAddr> =
        objects.load_balancers.values().flat_map(|balancer| &balancer.vips).map(|vip| vip.get()).collect();
    let listened: BTreeSet<IpAddr> = served.listeners.keys().map(|key| key.vip).collect();
    served.vips.retain(|vip| own.contains(vip) || listened.contains(vip));
    served
}

fn draining(served: &Served) -> impl Iterator<Item = ListenerKey> {
    served.listeners.iter().filter(|(_, listener)| listener.drains).map(|(key, _)| *key)
}

/// Adds the HTTP listeners that `after` lacks as draining ones. Their packets must go on passing.
fn drain(before: &Served, after: &mut Served) {
    for (key, listener) in &before.listeners {
        if listener.http.is_some() && !after.listeners.contains_key(key) {
            let draining = match listener.drains {
                true => listener.clone(),
                false => Arc::new(Listener { pool: None, drains: true, ..(**listener).clone() }),
            };
            after.vips.insert(key.vip);
            after.listeners.insert(*key, draining);
        }
    }
}
