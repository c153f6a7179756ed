//! Records that several CPUs and userspace write at the same time.
//!
//! One of the named places with `unsafe`: a map's memory is reached only through [`Shared`], which gives out one
//! [`Field`] at a time and never a Rust reference to the record, so that concurrent writers break no aliasing rule.
#![allow(
    unsafe_code,
    reason = "the one place that reads and writes memory shared with other CPUs and userspace"
)]

use core::{marker::PhantomData, ptr::NonNull};

/// A record in a map, shared with everybody. Fields are read and written one at a time, untorn up to 8 bytes.
#[repr(C)]
pub struct Shared<'a, T> {
    record: NonNull<T>,
    map: PhantomData<&'a T>,
}

impl<T> Clone for Shared<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<'_, T> {}

impl<T> Shared<'_, T> {
    /// Wraps a pointer to a record.
    ///
    /// # Safety
    /// `record` is aligned, readable and writable for the lifetime, and nobody holds a Rust reference to it.
    #[inline(always)]
    pub const unsafe fn new(record: NonNull<T>) -> Self {
        Self { record, map: PhantomData }
    }

    /// The record's address, for [`shared_fields!`].
    #[doc(hidden)]
    #[inline(always)]
    pub const fn as_ptr(self) -> *mut T {
        self.record.as_ptr()
    }
}

impl<T: Copy> Shared<'_, T> {
    /// A copy of the whole record; fields may be from different moments.
    #[inline(always)]
    pub fn snapshot(self) -> T {
        // SAFETY: `new`'s contract.
        unsafe { self.record.read_volatile() }
    }

    /// Writes the whole record, field by field in no order: only for a record that readers pass over.
    #[inline(always)]
    pub fn write(self, value: T) {
        // SAFETY: `new`'s contract.
        unsafe { self.record.write(value) }
    }
}

/// One field of a [`Shared`] record.
pub struct Field<'a, V> {
    value: *mut V,
    record: PhantomData<&'a V>,
}

impl<V: Copy> Field<'_, V> {
    /// For [`shared_fields!`].
    ///
    /// # Safety
    /// As for [`Shared::new`].
    #[doc(hidden)]
    #[inline(always)]
    pub const unsafe fn new(value: *mut V) -> Self {
        Self { value, record: PhantomData }
    }

    /// Reads it.
    #[inline(always)]
    pub fn get(&self) -> V {
        // A BPF program runs to its end in microseconds and may keep what it read; a process must look again.
        #[cfg(target_arch = "bpf")]
        // SAFETY: `Shared::new`'s contract.
        return unsafe { self.value.read() };
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: `Shared::new`'s contract.
        unsafe {
            self.value.read_volatile()
        }
    }

    /// Writes it.
    #[inline(always)]
    pub fn set(&self, value: V) {
        #[cfg(target_arch = "bpf")]
        // SAFETY: `Shared::new`'s contract.
        return unsafe { self.value.write(value) };
        #[cfg(not(target_arch = "bpf"))]
        // SAFETY: `Shared::new`'s contract.
        unsafe {
            self.value.write_volatile(value);
        }
    }
}

impl Field<'_, u32> {
    /// Adds and returns what was there before, atomically; wraps, so that `u32::MAX` takes one away.
    #[inline(always)]
    pub fn add(&self, amount: u32) -> u32 {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_xadd};
            // SAFETY: `Shared::new`'s contract.
            unsafe { atomic_xadd::<u32, u32, { SeqCst }>(self.value, amount) }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u32`s.
            unsafe { AtomicU32::from_ptr(self.value) }.fetch_add(amount, SeqCst)
        }
    }

    /// Compare and swap, sequentially consistent. Whether it was `old` and is `new` now.
    #[inline(always)]
    pub fn swap_if(&self, old: u32, new: u32) -> bool {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};
            // SAFETY: `Shared::new`'s contract.
            unsafe { atomic_cxchg::<u32, { SeqCst }, { SeqCst }>(self.value, old, new).1 }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u32`s.
            unsafe { AtomicU32::from_ptr(self.value) }.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
        }
    }

    /// Sets these bits and returns what was there before, atomically.
    #[inline(always)]
    pub fn set_bits(&self, bits: u32) -> u32 {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_or};
            // SAFETY: `Shared::new`'s contract.
            unsafe { atomic_or::<u32, u32, { SeqCst }>(self.value, bits) }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u32`s.
            unsafe { AtomicU32::from_ptr(self.value) }.fetch_or(bits, SeqCst)
        }
    }

    /// Clears these bits, atomically.
    #[inline(always)]
    pub fn clear_bits(&self, bits: u32) {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_and};
            // SAFETY: `Shared::new`'s contract.
            let _ = unsafe { atomic_and::<u32, u32, { SeqCst }>(self.value, !bits) };
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u32`s.
            unsafe { AtomicU32::from_ptr(self.value) }.fetch_and(!bits, SeqCst);
        }
    }

    /// Writes it after all earlier writes (a release store).
    #[inline(always)]
    pub fn publish(&self, value: u32) {
        // BPF's atomics are all read-modify-write; an exchange is a full barrier.
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_xchg};
            // SAFETY: `Shared::new`'s contract.
            let _ = unsafe { atomic_xchg::<u32, { SeqCst }>(self.value, value) };
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU32, Ordering::Release};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u32`s.
            unsafe { AtomicU32::from_ptr(self.value) }.store(value, Release);
        }
    }
}

impl Field<'_, u64> {
    /// Adds one, atomically, and orders nothing: the one atomic that BPF had before Linux 5.12.
    #[inline(always)]
    pub fn count(&self) {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::Relaxed, atomic_xadd};
            // SAFETY: `Shared::new`'s contract.
            let _ = unsafe { atomic_xadd::<u64, u64, { Relaxed }>(self.value, 1) };
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u64`s.
            unsafe { AtomicU64::from_ptr(self.value) }.fetch_add(1, Relaxed);
        }
    }

    /// Adds and returns what was there before, atomically; wraps.
    #[inline(always)]
    pub fn add(&self, amount: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_xadd};
            // SAFETY: `Shared::new`'s contract.
            unsafe { atomic_xadd::<u64, u64, { SeqCst }>(self.value, amount) }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u64`s.
            unsafe { AtomicU64::from_ptr(self.value) }.fetch_add(amount, SeqCst)
        }
    }

    /// Compare and swap, sequentially consistent. Whether it was `old` and is `new` now.
    #[inline(always)]
    pub fn swap_if(&self, old: u64, new: u64) -> bool {
        #[cfg(target_arch = "bpf")]
        {
            use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};
            // SAFETY: `Shared::new`'s contract.
            unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(self.value, old, new).1 }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
            // SAFETY: `Shared::new`'s contract; every record aligns its `u64`s.
            unsafe { AtomicU64::from_ptr(self.value) }.compare_exchange(old, new, SeqCst, SeqCst).is_ok()
        }
    }
}

/// A byte of a [`Shared`] record that several CPUs change at the same moment. BPF's atomics are of whole words, so the
/// byte changes in the aligned word that it lies in, whose other bytes stay what they are.
pub struct Byte<'a> {
    word: Field<'a, u32>,
    shift: usize,
}

impl Byte<'_> {
    /// The byte at `offset` in a record, for [`shared_bytes!`].
    ///
    /// # Safety
    /// As for [`Shared::new`]; the record is aligned as a `u32` and reaches to the end of the word.
    #[doc(hidden)]
    #[inline(always)]
    pub const unsafe fn new(record: *mut u8, offset: usize) -> Self {
        // SAFETY: this function's contract.
        let word = unsafe { Field::new(record.add(offset & !3).cast()) };
        Self { word, shift: shift(offset) }
    }

    /// Sets these bits and returns what was there before, atomically.
    #[inline(always)]
    pub fn set_bits(&self, bits: u8) -> u8 {
        (self.word.set_bits(u32::from(bits) << self.shift) >> self.shift) as u8
    }

    /// Clears these bits, atomically.
    #[inline(always)]
    pub fn clear_bits(&self, bits: u8) {
        self.word.clear_bits(u32::from(bits) << self.shift);
    }

    /// Compare and swap. Whether it was `old` and is `new` now; a change of another byte of the word may keep it from
    /// that.
    #[inline(always)]
    pub fn swap_if(&self, old: u8, new: u8) -> bool {
        let there = self.word.get();
        (there >> self.shift) as u8 == old
            && self.word.swap_if(there, there ^ (u32::from(old ^ new) << self.shift))
    }

    /// Writes it after all earlier writes (a release store). Nobody else writes to its word meanwhile.
    #[inline(always)]
    pub fn publish(&self, value: u8) {
        let others = self.word.get() & !(u32::from(u8::MAX) << self.shift);
        self.word.publish(others | u32::from(value) << self.shift);
    }
}

/// The lowest bit of the byte at this offset in its word.
#[inline(always)]
const fn shift(byte: usize) -> usize {
    8 * if cfg!(target_endian = "little") { byte % 4 } else { 3 - byte % 4 }
}

impl<'a, T: Copy> Shared<'a, T> {
    /// The record as a field: of use where it is one word.
    #[inline(always)]
    pub fn value(&self) -> Field<'a, T> {
        // SAFETY: the pointer is this record's.
        unsafe { Field::new(self.record.as_ptr()) }
    }
}

/// Gives `Shared<Record>` one method per named field. Of a record of either family: `[F: Family] Record<F> { … }`.
macro_rules! shared_fields {
    ($record:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $crate::shared::shared_fields! { [] $record { $($field: $type),+ } }
    };
    ([$($family:ident : $bound:ident)?] $record:ty { $($field:ident : $type:ty),+ $(,)? }) => {
        impl<'a $(, $family: $bound)?> $crate::shared::Shared<'a, $record> {
            $(
                #[doc = concat!("[`", stringify!($record), "`]'s `", stringify!($field), "`.")]
                #[inline(always)]
                #[allow(unsafe_code, reason = "projects a field of a record that `Shared::new` vouches for")]
                pub fn $field(&self) -> $crate::shared::Field<'a, $type> {
                    // SAFETY: the field is inside the record.
                    unsafe { $crate::shared::Field::new(&raw mut (*self.as_ptr()).$field) }
                }
            )+
        }
    };
}
pub(crate) use shared_fields;

/// Gives `Shared<Record>` a method that finds a byte of it as [`Byte`]: `Record { method: field, … }`.
macro_rules! shared_bytes {
    ($record:ident { $($method:ident : $field:ident),+ $(,)? }) => {
        const _: () = {
            assert!(align_of::<$record>() >= 4 && size_of::<$record>().is_multiple_of(4));
            $(let _: fn($record) -> u8 = |record| record.$field;)+
        };
        impl<'a> $crate::shared::Shared<'a, $record> {
            $(
                #[inline(always)]
                #[allow(unsafe_code, reason = "projects a byte of a record that `Shared::new` vouches for")]
                fn $method(&self) -> $crate::shared::Byte<'a> {
                    // SAFETY: the record consists of aligned words, and the byte is one of its bytes.
                    unsafe {
                        $crate::shared::Byte::new(self.as_ptr().cast(), core::mem::offset_of!($record, $field))
                    }
                }
            )+
        }
    };
}
pub(crate) use shared_bytes;

/// Lets `Shared<Record>` be used as the `Shared` of what the record begins with.
macro_rules! shared_beginning {
    ([$family:ident : $bound:ident] $record:ty { $field:ident : $type:ty }) => {
        impl<'a, $family: $bound> core::ops::Deref for $crate::shared::Shared<'a, $record> {
            type Target = $crate::shared::Shared<'a, $type>;

            #[inline(always)]
            #[allow(unsafe_code, reason = "a pointer to a record is one to what it begins with")]
            fn deref(&self) -> &Self::Target {
                const { assert!(core::mem::offset_of!($record, $field) == 0) };
                // SAFETY: `Shared` is a pointer whatever it points to, and the record begins with this field.
                unsafe { &*(&raw const *self).cast() }
            }
        }
    };
}
pub(crate) use shared_beginning;
