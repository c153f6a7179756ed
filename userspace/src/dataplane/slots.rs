//! Which ranges of `ek_slot` are in use: a first-fit allocator whose freed blocks rest for a while, because the XDP
//! program may have read the word of a pool just before it changed.

use std::collections::BTreeMap;

use xdp_ebpf::abi::SlotIndex;

/// Ranges of slots.
#[derive(Clone)]
pub struct SlotRanges {
    capacity: u32,
    /// Taken ranges, resting ones included: first → count.
    taken: BTreeMap<u32, u32>,
    resting: Vec<u32>,
    rested: Vec<u32>,
}

impl SlotRanges {
    /// All of `capacity` slots are free.
    pub fn new(capacity: u32) -> Self {
        Self { capacity, taken: BTreeMap::new(), resting: Vec::new(), rested: Vec::new() }
    }

    /// Marks a range as taken that a map says is in use. Whether that contradicts nothing.
    pub fn adopt(&mut self, first: SlotIndex, count: u32) -> bool {
        let first = first.index;
        if count == 0 {
            return true;
        }
        let before = self.taken.range(..=first).next_back().is_none_or(|(&f, &c)| f + c <= first);
        let Some(end) = first.checked_add(count).filter(|&end| end <= self.capacity) else { return false };
        let after = self.taken.range(first..end).next().is_none();
        if before && after {
            self.taken.insert(first, count);
        }
        before && after
    }

    /// The first free range of `count` slots; `None` if there is none.
    pub fn take(&mut self, count: u32) -> Option<SlotIndex> {
        if count == 0 {
            return Some(SlotIndex::new(0));
        }
        let first = self.first_free(count)?;
        self.taken.insert(first, count);
        Some(SlotIndex::new(first))
    }

    /// Whether [`Self::take`] would find a range of `count` slots, and so one of fewer.
    pub fn has_room_for(&self, count: u32) -> bool {
        self.first_free(count).is_some()
    }

    fn first_free(&self, count: u32) -> Option<u32> {
        let mut first = 0;
        for (&start, &len) in &self.taken {
            if start - first >= count {
                break;
            }
            first = start + len;
        }
        (self.capacity - first >= count).then_some(first)
    }

    /// A range that is no longer used; it becomes free at the second [`Self::rest`] from now.
    pub fn give_back(&mut self, first: SlotIndex, count: u32) {
        if count > 0 {
            self.resting.push(first.index);
        }
    }

    /// A full sweep has gone by.
    pub fn rest(&mut self) {
        for first in std::mem::replace(&mut self.rested, std::mem::take(&mut self.resting)) {
            self.taken.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_range_comes_back_after_two_rests() {
        let mut ranges = SlotRanges::new(10);
        assert_eq!(ranges.take(4), Some(SlotIndex::new(0)));
        assert_eq!(ranges.take(4), Some(SlotIndex::new(4)));
        ranges.give_back(SlotIndex::new(0), 4);
        assert_eq!(ranges.take(4), None);
        ranges.rest();
        assert_eq!(ranges.take(4), None);
        ranges.rest();
        assert_eq!(ranges.take(4), Some(SlotIndex::new(0)));
        assert_eq!(ranges.take(2), Some(SlotIndex::new(8)));
        assert_eq!(ranges.take(1), None);
        assert_eq!(ranges.take(0), Some(SlotIndex::new(0)), "a pool without members needs no room");
    }

    #[test]
    fn holes_are_filled_first() {
        let mut ranges = SlotRanges::new(100);
        assert!(ranges.adopt(SlotIndex::new(2), 3) && ranges.adopt(SlotIndex::new(10), 5));
        assert_eq!(ranges.take(3), Some(SlotIndex::new(5)));
        assert_eq!(ranges.take(2), Some(SlotIndex::new(0)));
        assert_eq!(ranges.take(3), Some(SlotIndex::new(15)));
        assert_eq!(ranges.take(2), Some(SlotIndex::new(8)));
    }

    #[test]
    fn overlaps_and_overhangs_are_refused() {
        let mut ranges = SlotRanges::new(100);
        assert!(ranges.adopt(SlotIndex::new(10), 5));
        assert!(
            !ranges.adopt(SlotIndex::new(14), 1)
                && !ranges.adopt(SlotIndex::new(8), 3)
                && !ranges.adopt(SlotIndex::new(9), 10)
                && !ranges.adopt(SlotIndex::new(99), 2)
        );
        assert!(!ranges.adopt(SlotIndex::new(u32::MAX), 2));
        assert!(
            ranges.adopt(SlotIndex::new(15), 1)
                && ranges.adopt(SlotIndex::new(9), 1)
                && ranges.adopt(SlotIndex::new(0), 0)
        );
    }
}
