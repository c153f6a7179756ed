//! From one model to another: the list of changes that `dataplane/` applies. Pure.
//!
//! The order keeps every reference good at every step; see [`Change`]. What goes makes room for what comes, where nothing
//! that stays refers to it.

use std::collections::BTreeMap;

use crate::model::{Change, Model};

/// The steps from `old` to `new`; empty if they are equal.
pub fn plan(old: &Model, new: &Model) -> Vec<Change> {
    let put_pools =
        changed(&old.pools, &new.pools).map(|(name, pool)| Change::PutPool(name.clone(), pool.clone()));
    let remove_listeners = gone(&old.listeners, &new.listeners).map(|&key| Change::RemoveListener(key));
    let remove_vips = old.vips.difference(&new.vips).map(|&vip| Change::RemoveVip(vip));
    let add_vips = new.vips.difference(&old.vips).map(|&vip| Change::AddVip(vip));
    let put_listeners = changed(&old.listeners, &new.listeners)
        .map(|(&key, listener)| Change::PutListener(key, listener.clone()));
    let remove_pools = gone(&old.pools, &new.pools).map(|name| Change::RemovePool(name.clone()));

    put_pools
        .chain(remove_listeners)
        .chain(remove_vips)
        .chain(add_vips)
        .chain(put_listeners)
        .chain(remove_pools)
        .collect()
}

/// Entries of `new` that `old` lacks or has with another value.
fn changed<'a, K: Ord, V: PartialEq>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, &'a V)> {
    new.iter().filter(|(key, value)| old.get(key) != Some(value))
}

/// Keys of `old` that `new` lacks.
fn gone<'a, K: Ord, V>(old: &'a BTreeMap<K, V>, new: &'a BTreeMap<K, V>) -> impl Iterator<Item = &'a K> {
    old.keys().filter(|key| !new.contains_key(key))
}

#[cfg(test)]
mod tests {
    use std::{
        net::{IpAddr, SocketAddr},
        time::Duration,
    };

    use proptest::{collection, prelude::*};

    use super::*;
    use crate::model::{Access, Limits, Listener, ListenerKey, Pool, Protocol, WhenDown};

    fn vip(number: u8) -> IpAddr {
        [203, 0, 113, number].into()
    }

    /// Few names, so that two models share most of theirs. A listener takes its VIP and pool from what is there.
    fn models() -> impl Strategy<Value = Model> {
        let pools = collection::btree_map(0..5u8, collection::btree_map(0..4u8, 0..=3u16, 0..4), 1..5);
        let vips = collection::btree_set(0..5u8, 1..5);
        let listeners = collection::vec((any::<usize>(), 1..4u16, any::<usize>(), 1..3u64), 0..12);
        (pools, vips, listeners).prop_map(|(pools, vips, listeners)| {
            let mut model = Model { vips: vips.into_iter().map(vip).collect(), ..Model::default() };
            for (name, members) in pools {
                let members = members
                    .into_iter()
                    .map(|(host, weight)| (SocketAddr::from(([192, 0, 2, host], 80)), weight));
                model
                    .pools
                    .insert(format!("pool{name}"), Pool { members: members.collect(), ..Pool::default() });
            }
            for (vip, port, pool, seconds) in listeners {
                let vip = *model.vips.iter().nth(vip % model.vips.len()).unwrap();
                let listener = Listener {
                    access: Access::default(),
                    limits: Limits::default(),
                    when_down: WhenDown::default(),
                    name: "web".into(),
                    load_balancer: "shop".into(),
                    pool: model.pools.keys().nth(pool % model.pools.len()).cloned(),
                    idle_timeout: Duration::from_secs(seconds),
                    http: None,
                };
                model.listeners.insert(ListenerKey { vip, port, protocol: Protocol::Tcp }, listener);
            }
            model
        })
    }

    /// Does what the change says; fails where a data path would: something missing, or there twice.
    fn apply(model: &mut Model, change: Change) {
        match change {
            Change::PutPool(name, pool) => assert_ne!(model.pools.insert(name, pool.clone()), Some(pool)),
            Change::AddVip(vip) => assert!(model.vips.insert(vip)),
            Change::PutListener(key, listener) => {
                assert_ne!(model.listeners.insert(key, listener.clone()), Some(listener));
            }
            Change::RemoveListener(key) => assert!(model.listeners.remove(&key).is_some()),
            Change::RemoveVip(vip) => assert!(model.vips.remove(&vip)),
            Change::RemovePool(name) => assert!(model.pools.remove(&name).is_some()),
        }
        for (key, listener) in &model.listeners {
            assert!(model.vips.contains(&key.vip), "{key:?} without its VIP");
            let pool = listener.pool.as_ref().unwrap();
            assert!(model.pools.contains_key(pool), "{key:?} without pool {pool}");
        }
    }

    proptest! {
        #[test]
        fn leads_from_old_to_new_with_every_reference_good(old in models(), new in models()) {
            let mut model = old.clone();
            for change in plan(&old, &new) {
                apply(&mut model, change);
            }
            prop_assert_eq!(model, new);
        }

        #[test]
        fn nothing_to_do_between_equals(model in models()) {
            prop_assert_eq!(plan(&model, &model), []);
        }
    }
}
