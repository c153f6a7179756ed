//! Pages of a buffer that nothing is in, but once was.
#![allow(unsafe_code, reason = "only the kernel can take pages back")]

use nix::sys::mman::{MmapAdvise, madvise};
use tokio::io::ReadBuf;

/// What the kernel has at least as a page; where its pages are larger, it refuses, and they stay.
const PAGE: usize = 4096;

/// Gives back the memory behind what a buffer holds, which stays as long as before.
pub(super) fn give_back(buffer: &mut ReadBuf<'_>) {
    // SAFETY: nobody reads what was not filled, and nothing is written here.
    let rest = unsafe { buffer.unfilled_mut() };
    let offset = rest.as_ptr().align_offset(PAGE);
    let length = rest.len().saturating_sub(offset) / PAGE * PAGE;
    if length == 0 {
        return;
    }
    if let Some(first) = std::ptr::NonNull::new(rest[offset..].as_mut_ptr()) {
        // SAFETY: these pages are within the buffer, which is ours alone for now. They become zeros, which is as good as
        // anything that was there.
        let _ = unsafe { madvise(first.cast(), length, MmapAdvise::MADV_DONTNEED) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_stays_and_the_rest_is_gone() {
        let mut memory = vec![7_u8; 16 * PAGE];
        let mut buffer = ReadBuf::new(&mut memory);
        buffer.set_filled(5);
        give_back(&mut buffer);
        assert_eq!((buffer.filled(), buffer.capacity()), (&[7; 5][..], 16 * PAGE));
        // Whole pages of it were zeroed, and at most one at each end was not.
        let kept = memory.iter().filter(|&&byte| byte == 7).count();
        assert!((5..=2 * PAGE).contains(&kept), "{kept} bytes are still there");
    }

    #[test]
    fn less_than_a_page_is_left_alone() {
        let mut memory = [7_u8; 100];
        give_back(&mut ReadBuf::new(&mut memory));
        assert_eq!(memory, [7; 100]);
    }
}
