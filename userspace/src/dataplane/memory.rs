//! Maps as plain memory: one [`Mapping`] per mmapable array map, one [`Shared`] record per index.
//!
//! The only place of `dataplane/` that maps memory, and with [`Shared`] the only one that hands out what other CPUs
//! write at the same time. Next: `tables`, which opens them all.
#![allow(
    unsafe_code,
    reason = "maps the memory of BPF array maps and hands out bounds-checked records in it"
)]

use std::{io, marker::PhantomData, num::NonZero, os::fd::BorrowedFd, ptr::NonNull};

use aya::Pod;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use xdp_ebpf::shared::Shared;

/// The memory of an array map with `BPF_F_MMAPABLE`, readable and writable, whose indexes are `I`.
pub struct Mapping<T, I = u32> {
    start: NonNull<u8>,
    bytes: usize,
    len: u32,
    record: PhantomData<(T, I)>,
}

// SAFETY: the memory belongs to the kernel and is reached only through `Shared`, which any thread may use.
unsafe impl<T, I> Send for Mapping<T, I> {}
// SAFETY: as above.
unsafe impl<T, I> Sync for Mapping<T, I> {}

impl<T: Pod, I: From<u32> + Into<u32>> Mapping<T, I> {
    /// The kernel lays array elements out at multiples of eight bytes.
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps `len` records of the map behind `fd`.
    ///
    /// # Errors
    /// What `mmap` says; `InvalidInput` for an empty map.
    pub fn of_map(fd: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        Self::new(Some(fd), len)
    }

    /// Zeroed memory without a map, for tests.
    #[cfg(test)]
    pub fn of_zeros(len: u32) -> Self {
        Self::new(None, len).expect("anonymous memory")
    }

    fn new(fd: Option<BorrowedFd<'_>>, len: u32) -> io::Result<Self> {
        let bytes = Self::STRIDE * len as usize;
        let length = NonZero::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no memory of ours.
        let start = unsafe {
            match fd {
                Some(fd) => mmap(None, length, access, MapFlags::MAP_SHARED, fd, 0)?,
                None => nix::sys::mman::mmap_anonymous(None, length, access, MapFlags::MAP_PRIVATE)?,
            }
        };
        Ok(Self { start: start.cast(), bytes, len, record: PhantomData })
    }

    /// How many records there are.
    pub fn entries(&self) -> u32 {
        self.len
    }

    /// The record at `index`, or `None` past the end.
    #[inline]
    pub fn get(&self, index: I) -> Option<Shared<'_, T>> {
        let index = index.into();
        if index >= self.len {
            return None;
        }
        // SAFETY: the index is inside the mapping, which lives as long as `self`; the kernel aligns the first
        // element to a page and the stride keeps the alignment of every record up to eight bytes, and of the larger
        // ones because their size is a multiple of their alignment. Nobody makes a reference to the record.
        Some(unsafe { Shared::new(self.start.add(index as usize * Self::STRIDE).cast()) })
    }

    /// Every record with its index.
    pub fn iter(&self) -> impl Iterator<Item = (I, Shared<'_, T>)> {
        (0..self.len).filter_map(|index| self.get(index.into()).map(|record| (index.into(), record)))
    }
}

impl<T, I> Drop for Mapping<T, I> {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and every `Shared` borrowed from it is gone.
        let unmapped = unsafe { munmap(self.start.cast(), self.bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_records_stand_eight_bytes_apart() {
        let ports = Mapping::<u16>::of_zeros(3);
        for (index, record) in ports.iter() {
            record.write(index as u16 + 7);
        }
        let raw: Vec<_> = ports.iter().map(|(_, record)| record.snapshot()).collect();
        assert_eq!(raw, [7, 8, 9]);
        assert_eq!(Mapping::<u16>::STRIDE, 8);
        assert!(ports.get(3).is_none());
    }
}
