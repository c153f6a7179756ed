//! Who has which index of a map: an index stays the same for as long as its key does, and is given to another only
//! when nothing refers to it any more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
    marker::PhantomData,
};

/// Passes without a session after which a removed index is free. One could have begun before the removal.
const QUIET_PASSES: u8 = 2;

/// The indexes of one map by key.
pub struct Indexes<K, I> {
    capacity: u32,
    /// Active and removed keys.
    by_key: HashMap<K, u32>,
    /// Removed ones by index, with the number of passes that saw no use.
    removed: BTreeMap<u32, (K, u8)>,
    /// Free indexes below `fresh`; from there on all are free.
    free: BTreeSet<u32>,
    fresh: u32,
    kind: PhantomData<I>,
}

impl<K: Clone + Eq + Hash, I: From<u32> + Into<u32>> Indexes<K, I> {
    /// All of `capacity` indexes are free.
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            by_key: HashMap::new(),
            removed: BTreeMap::new(),
            free: BTreeSet::new(),
            fresh: 0,
            kind: PhantomData,
        }
    }

    /// Takes over what a map says: `key` has `index`.
    pub fn adopt(&mut self, key: K, index: I) {
        let index = index.into();
        self.free.extend(self.fresh..index);
        self.fresh = self.fresh.max(index + 1);
        self.free.remove(&index);
        self.by_key.insert(key, index);
    }

    /// The key's index, removed or not.
    pub fn get(&self, key: &K) -> Option<I> {
        self.by_key.get(key).copied().map(I::from)
    }

    /// Whether `count` more keys find room.
    pub fn has_room_for(&self, count: usize) -> bool {
        self.free.len() + (self.capacity - self.fresh) as usize >= count
    }

    /// The key's index, which is active from now on; a free one for a new key, and then `true`. `None`: no room.
    pub fn put(&mut self, key: K) -> Option<(I, bool)> {
        if let Some(&index) = self.by_key.get(&key) {
            self.removed.remove(&index);
            return Some((index.into(), false));
        }
        let index = match self.free.pop_first() {
            Some(index) => index,
            None if self.fresh < self.capacity => {
                self.fresh += 1;
                self.fresh - 1
            }
            None => return None,
        };
        self.by_key.insert(key, index);
        Some((index.into(), true))
    }

    /// The key goes; its index waits. Returns the index.
    pub fn remove(&mut self, key: &K) -> Option<I> {
        let index = *self.by_key.get(key)?;
        self.removed.insert(index, (key.clone(), 0));
        Some(index.into())
    }

    /// A pass went by in which the removed indexes for which `in_use` answers no had no use. Returns those that are
    /// free now.
    pub fn settle(&mut self, mut in_use: impl FnMut(I) -> bool) -> Vec<I> {
        for (&index, (_, quiet)) in &mut self.removed {
            *quiet = if in_use(index.into()) { 0 } else { *quiet + 1 };
        }
        let freed: Vec<_> = self
            .removed
            .iter()
            .filter(|(_, (_, quiet))| *quiet >= QUIET_PASSES)
            .map(|(&index, _)| index)
            .collect();
        for index in &freed {
            if let Some((key, _)) = self.removed.remove(index) {
                self.by_key.remove(&key);
                self.free.insert(*index);
            }
        }
        freed.into_iter().map(I::from).collect()
    }

    /// Whether the key was removed and its index waits.
    pub fn is_removed(&self, key: &K) -> bool {
        self.by_key.get(key).is_some_and(|index| self.removed.contains_key(index))
    }

    /// Indexes that were removed and wait.
    pub fn removed(&self) -> impl Iterator<Item = I> {
        self.removed.keys().copied().map(I::from)
    }

    /// Keys that were removed, with the indexes that wait for their last use.
    pub fn removed_keys(&self) -> impl Iterator<Item = (&K, I)> {
        self.removed.iter().map(|(&index, (key, _))| (key, index.into()))
    }

    /// Every key, removed or not, with its index.
    pub fn iter(&self) -> impl Iterator<Item = (&K, I)> {
        self.by_key.iter().map(|(key, &index)| (key, index.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_index_waits_for_its_last_session() {
        let mut indexes = Indexes::<_, u32>::new(2);
        assert_eq!(indexes.put("a"), Some((0, true)));
        assert_eq!(indexes.put("b"), Some((1, true)));
        assert_eq!(indexes.put("c"), None);
        assert_eq!(indexes.remove(&"a"), Some(0));
        assert!(!indexes.has_room_for(1));
        assert!(indexes.settle(|_| false).is_empty());
        assert!(indexes.settle(|_| true).is_empty(), "a session turned up");
        assert!(indexes.settle(|_| false).is_empty());
        assert_eq!(indexes.settle(|_| false), [0]);
        assert_eq!(indexes.put("c"), Some((0, true)));
    }

    #[test]
    fn a_key_that_comes_back_in_time_keeps_its_index() {
        let mut indexes = Indexes::<_, u32>::new(2);
        indexes.put("a");
        indexes.remove(&"a");
        indexes.settle(|_| false);
        assert_eq!(indexes.put("a"), Some((0, false)));
        assert!(indexes.settle(|_| false).is_empty());
        assert!(indexes.settle(|_| false).is_empty(), "it is active again");
    }

    #[test]
    fn adopted_indexes_are_not_given_out() {
        let mut indexes = Indexes::<_, u32>::new(5);
        indexes.adopt("c", 3);
        indexes.adopt("b", 1);
        assert!(indexes.has_room_for(3) && !indexes.has_room_for(4));
        let given: Vec<_> = ["x", "y", "z"].map(|key| indexes.put(key).unwrap().0).into();
        assert_eq!(given, [0, 2, 4]);
        assert_eq!(indexes.put("w"), None);
    }
}
