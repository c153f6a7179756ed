//! What stands for an array map: records in a vector that many may read and write.
#![allow(unsafe_code, reason = "hands out `Shared` records of vectors that never move, as maps do")]

use core::{cell::UnsafeCell, ptr::NonNull};
use std::vec::Vec;

use crate::shared::Shared;

/// An array map: records that never move.
pub struct Records<T>(Vec<UnsafeCell<T>>);

impl<T: Copy> Records<T> {
    /// `count` copies of `record`.
    pub fn new(count: u32, record: T) -> Self {
        Self((0..count).map(|_| UnsafeCell::new(record)).collect())
    }

    /// The record at `index`.
    pub fn shared(&self, index: u32) -> Option<Shared<'_, T>> {
        let record = NonNull::new(self.0.get(index as usize)?.get())?;
        // SAFETY: aligned, alive as long as `self`, and only ever reached by `Shared`.
        Some(unsafe { Shared::new(record) })
    }

    /// Copies of all records.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.0.len() as u32).filter_map(|index| self.shared(index)).map(Shared::snapshot)
    }
}
