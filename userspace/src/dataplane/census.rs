//! What a pass of the sweeper has seen sessions refer to. What was removed and is in none of it any more is free.

use std::marker::PhantomData;

use xdp_ebpf::abi::{BackendIndex, ListenerIndex};

/// Words for every index that fits into a half: 16 bits.
const WORDS: usize = (1 << u16::BITS) / u64::BITS as usize;

/// To what the sessions that a pass has seen refer, dying ones included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Indexes in `ek_backend`.
    pub backends: Seen<BackendIndex>,
    /// Indexes in `ek_listener`.
    pub listeners: Seen<ListenerIndex>,
}

/// Indexes that were seen; adding one to them costs next to nothing, for there may be millions of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<I>(Box<[u64; WORDS]>, PhantomData<I>);

impl<I> Default for Seen<I> {
    fn default() -> Self {
        Self(Box::new([0; WORDS]), PhantomData)
    }
}

impl<I: Into<u32>> Seen<I> {
    /// Adds one.
    #[inline]
    pub fn add(&mut self, index: I) {
        let index = index.into();
        if let Some(word) = self.0.get_mut((index / u64::BITS) as usize) {
            *word |= 1 << (index % u64::BITS);
        }
    }

    /// Whether it was seen.
    pub fn contains(&self, index: I) -> bool {
        let index = index.into();
        let word = self.0.get((index / u64::BITS) as usize);
        word.is_some_and(|word| word & (1 << (index % u64::BITS)) != 0)
    }
}

impl<I: Into<u32>> FromIterator<I> for Seen<I> {
    fn from_iter<T: IntoIterator<Item = I>>(indexes: T) -> Self {
        let mut seen = Self::default();
        indexes.into_iter().for_each(|index| seen.add(index));
        seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn whoever_was_added_was_seen(added in collection::hash_set(any::<u16>(), 0..40), others in collection::vec(any::<u16>(), 40)) {
            let index = |index: u16| BackendIndex::new(index.into());
            let seen: Seen<_> = added.iter().copied().map(index).collect();
            for number in added.iter().copied().chain(others) {
                prop_assert_eq!(seen.contains(index(number)), added.contains(&number));
            }
        }
    }
}
