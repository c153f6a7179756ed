//! Records that several CPUs and userspace write at the same time.
//!
//! One of the named places with `unsafe`: a map's memory is reached only through [`Shared`], which gives out one
//! [`Field`] at a time and never a Rust reference to the record, so that concurrent writers break no aliasing rule.
#![allow(
    unsafe_code,
    reason = "the one place that reads and writes memory shared with other CPUs and userspace"
)]

use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

use crate::{
    abi::{Common, Half},
    family::Family,
};

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

/// What the halves of both families have in common.
impl<'a, F: Family> Deref for Shared<'a, Half<F>> {
    type Target = Shared<'a, Common>;

    #[inline(always)]
    fn deref(&self) -> &Self::Target {
        // SAFETY: `Shared` is a pointer whatever it points to, and a half begins with its `Common` (`repr(C)`).
        unsafe { &*(&raw const *self).cast() }
    }
}

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
            self.value.write_volatile(value)
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

impl Shared<'_, u32> {
    /// The word itself.
    #[inline(always)]
    pub fn value(&self) -> Field<'_, u32> {
        // SAFETY: the pointer is this record's.
        unsafe { Field::new(self.record.as_ptr()) }
    }
}

impl Shared<'_, u64> {
    /// The word itself.
    #[inline(always)]
    pub fn value(&self) -> Field<'_, u64> {
        // SAFETY: the pointer is this record's.
        unsafe { Field::new(self.record.as_ptr()) }
    }
}

/// Gives `Shared<Record>` one method per named field.
macro_rules! shared_fields {
    ($record:ident { $($field:ident : $type:ty),+ $(,)? }) => {
        $crate::shared::shared_fields! { [] $record { $($field: $type),+ } }
    };
    ([$($family:ident)?] $record:ty { $($field:ident : $type:ty),+ $(,)? }) => {
        impl<'a $(, $family: $crate::family::Family)?> $crate::shared::Shared<'a, $record> {
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
