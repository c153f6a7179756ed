//! What differs between two maps, or between two sets of objects. What both share is told by its pointer and never
//! looked into, so this takes the time of one walk over both.

use std::{cmp::Ordering, collections::BTreeMap, iter, sync::Arc};

use crate::{
    id::{Id, Object, PoolId},
    object::{
        AccessList, AccessLog, Certificate, Listener, LoadBalancer, Map, Objects, Pool, Reference,
        ServerGroup,
    },
};

/// Every key of two maps, ascending, with what is under it in the old one and in the new one.
pub(crate) fn both<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((old, _)), Some((new, _))) => old.cmp(new),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let old = if order.is_le() { old.next() } else { None };
        let new = if order.is_ge() { new.next() } else { None };
        let (key, _) = old.or(new)?;
        Some((key, old.map(|(_, value)| value), new.map(|(_, value)| value)))
    })
}

/// An object that is new, gone or not the same any more.
#[derive(Debug)]
pub(crate) struct Edit<'a, T: Object> {
    pub(crate) id: Id<T::Kind>,
    pub(crate) old: Option<&'a T>,
    pub(crate) new: Option<&'a T>,
}

/// Those of one kind, by ascending id.
#[derive(Debug)]
pub(crate) struct Edits<'a, T: Object>(Vec<Edit<'a, T>>);

impl<'a, T: Object> Edits<'a, T> {
    pub(crate) fn between(old: &'a Map<T>, new: &'a Map<T>) -> Self {
        let edits = both(old, new).filter(|(_, old, new)| match (old, new) {
            (Some(old), Some(new)) => !Arc::ptr_eq(old, new),
            _ => true,
        });
        let edit = |(&id, old, new): (_, Option<&'a Arc<T>>, Option<&'a Arc<T>>)| -> Edit<'a, T> {
            Edit { id, old: old.map(|old| &**old), new: new.map(|new| &**new) }
        };
        Self(edits.map(edit).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Edit<'a, T>> {
        self.0.iter()
    }

    /// Those that are there now.
    pub(crate) fn there(&self) -> impl Iterator<Item = (Id<T::Kind>, &'a T)> {
        self.0.iter().filter_map(|edit| Some((edit.id, edit.new?)))
    }

    /// Whether the object with this id is one of them.
    pub(crate) fn has(&self, id: Id<T::Kind>) -> bool {
        self.0.binary_search_by_key(&id, |edit| edit.id).is_ok()
    }
}

/// The objects that differ.
#[derive(Debug)]
pub(crate) struct Difference<'a> {
    pub(crate) load_balancers: Edits<'a, LoadBalancer>,
    pub(crate) listeners: Edits<'a, Listener>,
    pub(crate) pools: Edits<'a, Pool>,
    pub(crate) server_groups: Edits<'a, ServerGroup>,
    pub(crate) certificates: Edits<'a, Certificate>,
    pub(crate) access_lists: Edits<'a, AccessList>,
    pub(crate) access_logs: Edits<'a, AccessLog>,
}

impl<'a> Difference<'a> {
    pub(crate) fn between(old: &'a Objects, new: &'a Objects) -> Self {
        Self {
            load_balancers: Edits::between(&old.load_balancers, &new.load_balancers),
            listeners: Edits::between(&old.listeners, &new.listeners),
            pools: Edits::between(&old.pools, &new.pools),
            server_groups: Edits::between(&old.server_groups, &new.server_groups),
            certificates: Edits::between(&old.certificates, &new.certificates),
            access_lists: Edits::between(&old.access_lists, &new.access_lists),
            access_logs: Edits::between(&old.access_logs, &new.access_logs),
        }
    }

    /// Whether what is referred to differs.
    pub(crate) fn has(&self, reference: Reference) -> bool {
        match reference {
            Reference::LoadBalancer(id) => self.load_balancers.has(id),
            Reference::Listener(id) => self.listeners.has(id),
            Reference::Pool(id) => self.pools.has(id),
            Reference::Certificate(id) => self.certificates.has(id),
            Reference::AccessList(id) => self.access_lists.has(id),
        }
    }

    /// Pools of these objects that differ themselves, in their server group, or in a CA that one of the two names.
    pub(crate) fn pools_of<'b>(&self, objects: &'b Objects) -> Vec<(PoolId, &'b Pool)> {
        if self.pools.is_empty() && self.server_groups.is_empty() && self.certificates.is_empty() {
            return Vec::new();
        }
        let has_other_authorities = |pool: &Pool| {
            let of_group = || objects.server_groups.get(&pool.server_group)?.authorities();
            let named = || pool.kind.authorities().into_iter().chain(of_group());
            !self.certificates.is_empty() && named().any(|id| self.certificates.has(id))
        };
        let pools = objects.pools.iter().map(|(&id, pool)| (id, &**pool));
        let differs = |(id, pool): &(PoolId, &Pool)| {
            self.pools.has(*id) || self.server_groups.has(pool.server_group) || has_other_authorities(pool)
        };
        pools.filter(differs).collect()
    }

    /// Whether something differs of which some listener may be made, beside pools.
    pub(crate) fn is_around_listeners(&self) -> bool {
        !(self.load_balancers.is_empty()
            && self.listeners.is_empty()
            && self.certificates.is_empty()
            && self.access_lists.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn both_meet_at_every_key(old in btree_map(0..20u8, 0..3u8, 0..15), new in btree_map(0..20u8, 0..3u8, 0..15)) {
            let keys: BTreeSet<u8> = old.keys().chain(new.keys()).copied().collect();
            let expected: Vec<_> = keys.iter().map(|key| (key, old.get(key), new.get(key))).collect();
            prop_assert_eq!(both(&old, &new).collect::<Vec<_>>(), expected);
        }
    }
}
