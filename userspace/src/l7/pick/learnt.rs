//! Which member set which value of the application's cookie. Of values only a keyed hash is kept.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::SocketAddrV4,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lru::LruCache;

/// Members by what their cookies are; the least recently used are forgotten when there are too many.
#[derive(Debug)]
pub(super) struct Learnt {
    hasher: RandomState,
    most: usize,
    members: Mutex<LruCache<u64, Entry>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    member: SocketAddrV4,
    ends: Instant,
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

    /// The member that set a value.
    pub(super) fn member(&self, value: &str, now: Instant) -> Option<SocketAddrV4> {
        let key = self.hasher.hash_one(value);
        let mut members = self.lock();
        let entry = *members.get(&key)?;
        if entry.ends <= now {
            members.pop(&key);
            return None;
        }
        Some(entry.member)
    }

    /// A member set a value, or its client came again.
    pub(super) fn learn(&self, value: &str, member: SocketAddrV4, time: Duration, now: Instant) {
        let key = self.hasher.hash_one(value);
        let mut members = self.lock();
        members.put(key, Entry { member, ends: now + time });
        while members.len() > self.most {
            members.pop_lru();
        }
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Entry>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
