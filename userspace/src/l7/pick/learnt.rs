//! Which member set which value of the application's cookie. Of values only a keyed hash is kept.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use lru::LruCache;

/// Members by what their cookies are; the least recently used are forgotten when there are too many.
#[derive(Debug)]
pub(super) struct Learnt {
    hasher: RandomState,
    most: usize,
    members: Mutex<LruCache<u64, Entry>>,
}

/// Who has the clients with one value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) member: SocketAddr,
    /// Until when it is remembered.
    pub(super) ends: Instant,
}

impl Learnt {
    /// Remembers `most` at most.
    pub(super) fn new(most: usize) -> Self {
        Self { hasher: RandomState::new(), most, members: Mutex::new(LruCache::unbounded()) }
    }

    /// How many it remembers at most.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Who has the clients with a value.
    pub(super) fn of(&self, value: &str, now: Instant) -> Option<Entry> {
        let key = self.hasher.hash_one(value);
        let mut members = self.lock();
        let entry = *members.get(&key)?;
        if entry.ends <= now {
            members.pop(&key);
            return None;
        }
        Some(entry)
    }

    /// A member set a value, or its client came again.
    pub(super) fn learn(&self, value: &str, entry: Entry) {
        let key = self.hasher.hash_one(value);
        let mut members = self.lock();
        members.put(key, entry);
        while members.len() > self.most {
            members.pop_lru();
        }
    }

    /// A client with a value got another member. If nobody set the value, it is not remembered: clients may make up any.
    pub(super) fn change(&self, value: &str, entry: Entry, now: Instant) {
        let key = self.hasher.hash_one(value);
        if let Some(known) = self.lock().get_mut(&key).filter(|known| known.ends > now) {
            *known = entry;
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Entry>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
