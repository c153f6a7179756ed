//! [`Packet`] over an XDP context.

use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    programs::XdpContext,
};
use xdp_ebpf::{
    icmp, open,
    packet::{Header, NoHeadroom, Packet},
    tables::Tables,
    toa, unsettled,
    verdict::{Event, Outcome},
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
    fn cut_tail(&mut self, length: usize) -> Option<()> {
        // SAFETY: the context is the kernel's; no reference into the packet can be alive across `&mut self`.
        let cut = unsafe {
            let surplus = bpf_xdp_get_buff_len(self.ctx.ctx) as i32 - length as i32;
            bpf_xdp_adjust_tail(self.ctx.ctx, -surplus)
        };
        (cut == 0).then_some(())
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
    fn handle_unsettled<T: Tables>(&mut self, _tables: &T) -> Result<Outcome, Event> {
        decoded(ek_unsettled(self.ctx.ctx))
    }

    #[inline(always)]
    fn translate_icmp<T: Tables>(&mut self, _tables: &T, otherwise: Event) -> Result<Outcome, Event> {
        decoded(ek_icmp(self.ctx.ctx, otherwise as u32))
    }

    #[inline(always)]
    fn open_session<T: Tables>(&mut self, _tables: &T) -> Result<(), Event> {
        Event::from_u32(ek_open(self.ctx.ctx)).map_or(Ok(()), Err)
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

/// High words of an outcome as a function returns it; in the low word is the slot, or with any other the event.
const TX: u64 = 1;
/// See [`TX`].
const REDIRECT: u64 = 2;

#[inline(always)]
fn encoded(outcome: Result<Outcome, Event>) -> u64 {
    match outcome {
        Ok(Outcome::Tx) => TX << 32,
        Ok(Outcome::Redirect(slot)) => REDIRECT << 32 | u64::from(slot),
        Ok(Outcome::Stop(event)) | Err(event) => event as u64,
    }
}

#[inline(always)]
fn decoded(answer: u64) -> Result<Outcome, Event> {
    match (answer >> 32, answer as u32) {
        (TX, _) => Ok(Outcome::Tx),
        (REDIRECT, slot) => Ok(Outcome::Redirect(slot as u8)),
        (_, event) => Err(Event::from_u32(event).unwrap_or(Event::DropInternal)),
    }
}

/// The same for ICMP; `otherwise` is the number of the event with which all else ends.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_icmp(ctx: *mut xdp_md, otherwise: u32) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    let otherwise = Event::from_u32(otherwise).unwrap_or(Event::DropInternal);
    encoded(icmp::translate(&mut XdpPacket::new(ctx), &maps, otherwise))
}

/// The same for the packets that are no matter of routine.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_unsettled(ctx: *mut xdp_md) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    encoded(unsettled::handle(&mut XdpPacket::new(ctx), &maps))
}

/// No event's number.
const OPENED: u32 = u32::MAX;

/// The same for a new session: [`OPENED`], or the event that stops the packet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_open(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    match open::open(&mut XdpPacket::new(ctx), &maps) {
        Ok(()) => OPENED,
        Err(event) => event as u32,
    }
}

/// The same for the MSS: 0 done, 1 the packet is too short.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_lower_mss(ctx: *mut xdp_md, header_len: u32) -> u32 {
    let mut packet = XdpPacket::new(XdpContext::new(ctx));
    u32::from(toa::lower_mss(&mut packet, (header_len & HEADER_MASK) as usize).is_none())
}
