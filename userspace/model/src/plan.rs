//! From what was served to what shall be: the list of changes that both layers apply. Pure.
//!
//! The order keeps every reference good at every step; see [`Change`]. What goes makes room for what comes, where nothing
//! that stays refers to it.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use crate::{
    difference::both,
    object::PoolId,
    served::{Listener, ListenerKey, Pool, Served},
};

/// One step, in the order in which [`plan`] returns them: what a later step refers to is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pool is new or has other members or weights: this is all of it.
    PutPool(PoolId, Arc<Pool>),
    /// A listener goes; its sessions go on.
    RemoveListener(ListenerKey),
    /// A VIP goes.
    RemoveVip(IpAddr),
    /// A VIP appears.
    AddVip(IpAddr),
    /// A listener is new or changed.
    PutListener(ListenerKey, Arc<Listener>),
    /// A pool goes; its sessions go on.
    RemovePool(PoolId),
}

/// The steps from `old` to `new`; empty if they are equal.
pub fn plan(old: &Served, new: &Served) -> Vec<Change> {
    let put_pools = changed(&old.pools, &new.pools).map(|(&id, pool)| Change::PutPool(id, pool.clone()));
    let remove_listeners = gone(&old.listeners, &new.listeners).map(|&key| Change::RemoveListener(key));
    let remove_vips = old.vips.difference(&new.vips).map(|&vip| Change::RemoveVip(vip));
    let add_vips = new.vips.difference(&old.vips).map(|&vip| Change::AddVip(vip));
    let put_listeners = changed(&old.listeners, &new.listeners)
        .map(|(&key, listener)| Change::PutListener(key, listener.clone()));
    let remove_pools = gone(&old.pools, &new.pools).map(|&id| Change::RemovePool(id));

    put_pools
        .chain(remove_listeners)
        .chain(remove_vips)
        .chain(add_vips)
        .chain(put_listeners)
        .chain(remove_pools)
        .collect()
}

/// Entries of `new` that `old` lacks or has with another value. What is shared is the same without a look into it.
fn changed<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, Arc<V>>,
    new: &'a BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = (&'a K, &'a Arc<V>)> {
    both(old, new).filter_map(|(key, old, new)| {
        let new = new?;
        let is_same = old.is_some_and(|old| Arc::ptr_eq(old, new) || old == new);
        (!is_same).then_some((key, new))
    })
}

/// Keys of `old` that `new` lacks.
fn gone<'a, K: Ord, V>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a K> {
    both(old, new).filter(|(_, _, new)| new.is_none()).map(|(key, ..)| key)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use proptest::{collection, prelude::*};

    use super::*;
    use crate::{
        access::Access,
        any::objects,
        flatten::flatten,
        id::Id,
        served::{Action, Limits, Member, Protocol, WhenDown},
        value::{Name, Number, Port, Seconds, Weight},
    };

    fn vip(number: u8) -> IpAddr {
        [203, 0, 113, number].into()
    }

    /// Few names, so that two of these share most of theirs. A listener takes its VIP and pool from what is there.
    fn served() -> impl Strategy<Value = Served> {
        let pools = collection::btree_map(0..5u8, collection::btree_map(0..4u8, 0..=3u16, 0..4), 1..5);
        let vips = collection::btree_set(0..5u8, 1..5);
        let listeners = collection::vec((any::<usize>(), 1..4u32, any::<usize>(), 1..3u32), 0..12);
        (pools, vips, listeners).prop_map(|(pools, vips, listeners)| {
            let mut served = Served { vips: vips.into_iter().map(vip).collect(), ..Served::default() };
            for (name, members) in pools {
                let members = members.into_iter().map(|(host, weight)| {
                    let address = SocketAddr::from(([192, 0, 2, host], 80));
                    let weight = Weight::literal(weight);
                    (address, Member { weight, backup: false, checked_at: address })
                });
                let pool = Pool { members: members.collect(), ..Pool::default() };
                served.pools.insert(Id::of_names(&[&format!("pool{name}")]), Arc::new(pool));
            }
            for (vip, port, pool, seconds) in listeners {
                let vip = *served.vips.iter().nth(vip % served.vips.len()).unwrap();
                let listener = Listener {
                    id: Id::of_names(&["shop", "web"]),
                    name: Name::new("web").unwrap(),
                    load_balancer: Id::of_names(&["shop"]),
                    load_balancer_name: Name::new("shop").unwrap(),
                    access: Access::default(),
                    limits: Limits::default(),
                    when_down: WhenDown::default(),
                    drains: false,
                    pool: served.pools.keys().nth(pool % served.pools.len()).copied(),
                    idle_timeout: Seconds::literal(seconds),
                    http: None,
                };
                let key = ListenerKey { vip, port: Port::new(port).unwrap(), protocol: Protocol::Tcp };
                served.listeners.insert(key, Arc::new(listener));
            }
            served
        })
    }

    /// Does what the change says; fails where a data path would: something missing, or there twice.
    fn put(served: &mut Served, change: Change) {
        match change {
            Change::PutPool(id, pool) => assert_ne!(served.pools.insert(id, pool.clone()), Some(pool)),
            Change::AddVip(vip) => assert!(served.vips.insert(vip)),
            Change::PutListener(key, listener) => {
                assert_ne!(served.listeners.insert(key, listener.clone()), Some(listener));
            }
            Change::RemoveListener(key) => assert!(served.listeners.remove(&key).is_some()),
            Change::RemoveVip(vip) => assert!(served.vips.remove(&vip)),
            Change::RemovePool(id) => assert!(served.pools.remove(&id).is_some()),
        }
        for key in served.listeners.keys() {
            assert!(served.vips.contains(&key.vip), "{key:?} without its VIP");
        }
    }

    /// The same, where every listener has a pool.
    fn apply(served: &mut Served, change: Change) {
        put(served, change);
        for (key, listener) in &served.listeners {
            let pool = listener.pool.as_ref().unwrap();
            assert!(served.pools.contains_key(pool), "{key:?} without pool {pool}");
        }
    }

    proptest! {
        #[test]
        fn leads_from_old_to_new_with_every_reference_good(old in served(), new in served()) {
            let mut served = old.clone();
            for change in plan(&old, &new) {
                apply(&mut served, change);
            }
            prop_assert_eq!(served, new);
        }

        /// Of what objects make, with the pools that policies name.
        #[test]
        fn what_a_listener_names_is_there_at_every_step(old in objects(true), new in objects(true)) {
            let (mut served, new) = (flatten(&old, None), flatten(&new, None));
            for change in plan(&served.clone(), &new) {
                put(&mut served, change);
                for listener in served.listeners.values() {
                    let policies = listener.http.iter().flat_map(|http| &http.policies);
                    let of_policies = policies.filter_map(|policy| match policy.action {
                        Action::Pool(pool) => Some(pool),
                        Action::Reject(_) | Action::Redirect(_) => None,
                    });
                    for pool in of_policies.chain(listener.pool) {
                        prop_assert!(served.pools.contains_key(&pool), "pool {pool} is not there");
                    }
                }
            }
            prop_assert_eq!(served, new);
        }

        #[test]
        fn nothing_to_do_between_equals(served in served(), again in served()) {
            prop_assert_eq!(plan(&served, &served.clone()), []);
            // Equal, and not shared.
            let copy = Served {
                listeners: served.listeners.iter().map(|(k, v)| (*k, Arc::new((**v).clone()))).collect(),
                pools: served.pools.iter().map(|(k, v)| (*k, Arc::new((**v).clone()))).collect(),
                ..served.clone()
            };
            prop_assert_eq!(plan(&served, &copy), []);
            prop_assert_eq!(plan(&served, &again).is_empty(), served == again);
        }
    }
}
