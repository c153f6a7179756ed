//! [`Packet`] over an XDP context.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use xdp_ebpf::{
    open,
    packet::{Header, NoHeadroom, Packet},
    tables::Tables,
    toa,
    verdict::Event,
};

use super::tables::Maps;

/// The packet under the program.
pub struct XdpPacket {
    ctx: XdpContext,
}

impl XdpPacket {
    pub const fn new(ctx: XdpContext) -> Self {
        Self { ctx }
    }

    /// A checked pointer: the verifier wants to see the comparison with `data_end` right here.
    #[inline(always)]
    fn pointer<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.ctx.data() + offset;
        (start + size_of::<T>() <= self.ctx.data_end()).then_some(start as *mut T)
    }
}

impl Packet for XdpPacket {
    #[inline(always)]
    fn at<T: Header>(&self, offset: usize) -> Option<&T> {
        // SAFETY: inside the packet; a `Header` has no alignment and no invalid bytes; `&self` keeps writers out.
        self.pointer(offset).map(|p| unsafe { &*p })
    }

    #[inline(always)]
    fn at_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        // SAFETY: as in `at`; `&mut self` keeps everybody else out.
        self.pointer(offset).map(|p| unsafe { &mut *p })
    }

    #[inline(always)]
    fn reaches(&self, bytes: usize) -> bool {
        // SAFETY: the context is the kernel's. The helper is only asked about jumbo frames and broken ones.
        self.ctx.data_end() - self.ctx.data() >= bytes
            || unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) } as usize >= bytes
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
    fn strip_forged(&mut self, header_len: usize, syn: bool) -> Option<bool> {
        match ek_strip(self.ctx.ctx, header_len as u32, u32::from(syn)) {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    #[inline(always)]
    fn lower_mss(&mut self, header_len: usize) -> Option<()> {
        (ek_lower_mss(self.ctx.ctx, header_len as u32) == 0).then_some(())
    }

    #[inline(always)]
    fn open_session<T: Tables>(&self, _tables: &T) -> Result<u32, Event> {
        let answer = ek_open(self.ctx.ctx);
        match Event::from_u32((answer >> 32) as u32) {
            Some(event) => Err(event),
            None => Ok(answer as u32),
        }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: the context is the kernel's.
        unsafe { (*self.ctx.ctx).ingress_ifindex }
    }
}

/// The longest TCP header; tells the verifier of a function that stands alone what its caller has checked.
const HEADER_MASK: u32 = 0x3c;

/// A global function, which the verifier checks once for all callers: 0 nothing found, 1 something stripped, 2 the
/// packet is too short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_strip(ctx: *mut xdp_md, header_len: u32, syn: u32) -> u32 {
    let mut packet = XdpPacket::new(XdpContext::new(ctx));
    match toa::strip(&mut packet, (header_len & HEADER_MASK) as usize, syn != 0) {
        Some(stripped) => u32::from(stripped),
        None => 2,
    }
}

/// Stands where an event's number would.
const OPENED: u64 = u32::MAX as u64;

/// The same for a new session: the index of its forward half and [`OPENED`], or the event that stops the packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_open(ctx: *mut xdp_md) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    match open::open(&XdpPacket::new(ctx), &maps) {
        Ok(index) => OPENED << 32 | u64::from(index),
        Err(event) => (event as u64) << 32,
    }
}

/// The same for the MSS: 0 done, 1 the packet is too short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_lower_mss(ctx: *mut xdp_md, header_len: u32) -> u32 {
    let mut packet = XdpPacket::new(XdpContext::new(ctx));
    u32::from(toa::lower_mss(&mut packet, (header_len & HEADER_MASK) as usize).is_none())
}
