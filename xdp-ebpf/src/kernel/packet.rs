//! [`Packet`] over an XDP context.

use core::ptr::NonNull;

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use xdp_ebpf::packet::{Header, NoHeadroom, Packet};

/// Whether frames may come in several pieces ([`xdp_ebpf::abi::FRAGS`]). The verifier takes out what is for those if not: a
/// kernel without them has no helper that tells a frame's length.
#[unsafe(no_mangle)]
static EK_FRAGS: Global<u8> = Global::new(1);

/// The packet under the program.
pub struct XdpPacket {
    pub(super) ctx: XdpContext,
}

impl XdpPacket {
    pub const fn new(ctx: XdpContext) -> Self {
        Self { ctx }
    }

    /// A checked pointer: the verifier wants to see the comparison with `data_end` right here.
    #[inline(always)]
    fn pointer<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let start = self.start() + offset;
        // SAFETY: no frame begins at address 0.
        let pointer = unsafe { NonNull::new_unchecked(start as *mut T) };
        (start + size_of::<T>() <= self.ctx.data_end()).then_some(pointer)
    }

    /// The length of the whole frame.
    #[inline(always)]
    fn length(&self) -> usize {
        if EK_FRAGS.load() == 0 {
            return self.ctx.data_end() - self.start();
        }
        // SAFETY: the context is the kernel's.
        unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) as usize }
    }

    /// The frame's first byte. Read behind the compiler's back: it would know that the context holds 32 bits, and copy
    /// them as such, and to the verifier half a pointer is a number.
    #[inline(always)]
    fn start(&self) -> usize {
        let start;
        // SAFETY: reads `xdp_md::data`.
        unsafe {
            core::arch::asm!(
                "{0} = *(u32 *)({1} + 0)",
                out(reg) start,
                in(reg) self.ctx.ctx,
                options(pure, readonly, nostack, preserves_flags)
            )
        };
        start
    }
}

impl Packet for XdpPacket {
    #[inline(always)]
    fn at<T: Header>(&self, offset: usize) -> Option<&T> {
        // SAFETY: inside the packet; a `Header` has no alignment and no invalid bytes; `&self` keeps writers out.
        self.pointer(offset).map(|p| unsafe { p.as_ref() })
    }

    #[inline(always)]
    fn at_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        // SAFETY: as in `at`; `&mut self` keeps everybody else out.
        self.pointer(offset).map(|mut p| unsafe { p.as_mut() })
    }

    #[inline(always)]
    fn reaches(&self, bytes: usize) -> bool {
        // The helper is only asked about jumbo frames and broken ones.
        self.ctx.data_end() - self.start() >= bytes || self.length() >= bytes
    }

    #[inline(always)]
    fn grow_head<const BY: usize>(&mut self) -> Result<(), NoHeadroom> {
        // SAFETY: the context is the kernel's; no reference into the packet can be alive across `&mut self`.
        match unsafe { bpf_xdp_adjust_head(self.ctx.ctx, -(BY as i32)) } {
            0 => Ok(()),
            _ => Err(NoHeadroom),
        }
    }

    #[inline(always)]
    fn shrink_head<const BY: usize>(&mut self) -> Option<()> {
        // SAFETY: as in `grow_head`.
        (unsafe { bpf_xdp_adjust_head(self.ctx.ctx, BY as i32) } == 0).then_some(())
    }

    #[inline(always)]
    fn shrink_head_by(&mut self, bytes: usize) -> Option<()> {
        // SAFETY: as in `grow_head`.
        (unsafe { bpf_xdp_adjust_head(self.ctx.ctx, bytes as i32) } == 0).then_some(())
    }

    #[inline(always)]
    fn resize(&mut self, bytes: usize) -> Option<()> {
        let surplus = self.length() as i32 - bytes as i32;
        // SAFETY: the context is the kernel's; no reference into the packet can be alive across `&mut self`.
        let resized = unsafe {
            if surplus > 0 {
                bpf_xdp_adjust_tail(self.ctx.ctx, -surplus)
            } else {
                bpf_xdp_adjust_head(self.ctx.ctx, surplus)
            }
        };
        (resized == 0).then_some(())
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.ctx.ctx).ingress_ifindex }
    }
}
