//! The stages' out-of-line entries: global functions of the program, which the verifier checks once for all callers and
//! for any arguments. What they take and return is numbers, in registers.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use aya_log_ebpf::macro_support::{Level, level_enabled};
use xdp_ebpf::{
    abi::{BackendIndex, MappedAddress, PoolIndex},
    admit::{self, Picked},
    connection::{self, Note},
    family::{Family, V4, V6},
    fragment,
    frame::{self, Kind},
    icmp, icmp_error, limit,
    next_hop::{self, Hops},
    open, ports, schedule, slow_path, stray,
    tables::{Hop, Tables},
    tcp_reset,
    toa::{self, Prepared},
    verdict::{Code, Event},
};

use zerocopy::transmute;

use super::{maps, packet::XdpPacket, tables::Maps};

impl frame::OutOfLine for XdpPacket {
    #[inline(always)]
    fn normalise<T: Tables>(&mut self, _tables: &T) -> Result<Kind, Event> {
        let answer = ek_normalise(self.ctx.ctx);
        match (answer >> 32) as u32 {
            0 => Err(Event::from_u32(answer as u32).unwrap_or(Event::DropInternal)),
            _ => Ok(Kind::from_u32(answer as u32)),
        }
    }

    #[inline(always)]
    fn restore<T: Tables>(&mut self, _tables: &T, code: Code) -> Code {
        Code::from_number(ek_restore(self.ctx.ctx, code.number()))
    }

    #[inline(always)]
    fn tag<T: Tables>(&mut self, _tables: &T, slot: u8) -> Result<(), Event> {
        Event::from_u32(ek_tag(self.ctx.ctx, slot.into())).map_or(Ok(()), Err)
    }

    #[inline(always)]
    fn is_for_us<T: Tables>(&self, _tables: &T) -> bool {
        ek_is_for_us(self.ctx.ctx) != 0
    }

    #[inline(always)]
    fn way_back<T: Tables>(&self, _tables: &T) -> Code {
        Code::from_number(ek_way_back(self.ctx.ctx))
    }
}

impl fragment::OutOfLine for XdpPacket {
    #[inline(always)]
    fn handle_fragment<F: Family, T: Tables>(&mut self, _tables: &T) -> Code {
        Code::from_number(if F::VERSION == 4 { ek_pieces(self.ctx.ctx) } else { ek_pieces6(self.ctx.ctx) })
    }
}

impl admit::OutOfLine for XdpPacket {
    #[inline(always)]
    fn pick_member<F: Family, T: Tables>(&self, _tables: &T) -> Result<Picked, Event> {
        let answer = if F::VERSION == 4 { ek_pick(self.ctx.ctx) } else { ek_pick6(self.ctx.ctx) };
        match (answer >> 32) as u32 {
            0 => Err(Event::from_u32(answer as u32).unwrap_or(Event::DropInternal)),
            kind => Ok(Picked::from_number(answer as u32, kind == PICKED_IPV4)),
        }
    }
}

impl schedule::OutOfLine for XdpPacket {
    #[inline(always)]
    fn schedule<T: Tables>(
        &self,
        _tables: &T,
        pool: PoolIndex,
        source: MappedAddress,
        spread: u32,
    ) -> Result<BackendIndex, Event> {
        let [first, second]: [u64; 2] = transmute!(source);
        let answer = ek_schedule(pool.into(), first, second, spread);
        match answer & FOUND {
            0 => Err(Event::from_u32(answer as u32).unwrap_or(Event::DropInternal)),
            _ => Ok(BackendIndex::new(answer as u32)),
        }
    }
}

impl next_hop::OutOfLine for XdpPacket {
    #[inline(always)]
    fn hop_to_client<F: Family, T: Tables>(&self, _tables: &T) -> Result<Hop, Event> {
        hop_of(if F::VERSION == 4 { ek_to_client(self.ctx.ctx) } else { ek_to_client6(self.ctx.ctx) })
    }

    #[inline(always)]
    fn hop_to_backend<T: Tables>(&self, _tables: &T, backend: BackendIndex) -> Result<Hop, Event> {
        hop_of(ek_to_backend(self.ctx.ctx, backend.into()))
    }
}

impl limit::OutOfLine for XdpPacket {
    #[inline(always)]
    fn note<T: Tables>(&self, _tables: &T, note: Note) {
        _ = ek_note(note.number());
    }

    #[inline(always)]
    fn enter<T: Tables>(&self, _tables: &T, note: Note) -> Result<(), Event> {
        Event::from_u32(ek_enter(note.number())).map_or(Ok(()), Err)
    }
}

impl open::OutOfLine for XdpPacket {
    #[inline(always)]
    fn open_session<F: Family, T: Tables>(
        &self,
        _tables: &T,
        picked: Picked,
        hops: Hops,
    ) -> Result<(), Event> {
        let (ctx, indexes) = (self.ctx.ctx, picked.number());
        let (there, back, generation) = (hops.to_backend.number(), hops.to_client.number(), hops.generation);
        // A call in each arm: a choice of functions would be a call through a register, which BPF has not.
        let opened = match (F::VERSION, picked.ipv4) {
            (4, true) => ek_open(ctx, indexes, there, back, generation),
            (4, false) => ek_open46(ctx, indexes, there, back, generation),
            (_, true) => ek_open64(ctx, indexes, there, back, generation),
            (_, false) => ek_open6(ctx, indexes, there, back, generation),
        };
        Event::from_u32(opened).map_or(Ok(()), Err)
    }

    #[inline(always)]
    fn tell_of_session<F: Family, T: Tables>(&self, _tables: &T, opened: Result<(), Event>) {
        // A constant for the verifier, who takes the call out if nobody listens.
        if !level_enabled(Level::Info) {
            return;
        }
        let code = opened.err().map_or(DONE, |event| event as u32);
        // Two functions: what one with both needs of the stack is not left on Linux 6.1, which gives every call 32 bytes.
        let ctx = self.ctx.ctx;
        _ = if F::VERSION == 4 { ek_tell(ctx, code) } else { ek_tell6(ctx, code) };
        if opened.is_ok() {
            _ = if F::VERSION == 4 { ek_join(ctx) } else { ek_join6(ctx) };
        }
    }
}

impl tcp_reset::OutOfLine for XdpPacket {
    #[inline(always)]
    fn answer_reset<F: Family>(&mut self) -> Option<()> {
        let reset = if F::VERSION == 4 { ek_reset } else { ek_reset6 };
        (reset(self.ctx.ctx) == 0).then_some(())
    }
}

impl icmp::OutOfLine for XdpPacket {
    #[inline(always)]
    fn translate_icmp<F: Family, T: Tables>(&mut self, _tables: &T, otherwise: Event) -> Code {
        let translate = if F::VERSION == 4 { ek_icmp } else { ek_icmp6 };
        Code::from_number(translate(self.ctx.ctx, otherwise as u32))
    }
}

impl icmp_error::OutOfLine for XdpPacket {
    #[inline(always)]
    fn answer_too_big<F: Family, T: Tables>(&mut self, _tables: &T) -> Code {
        Code::from_number(if F::VERSION == 4 { ek_too_big(self.ctx.ctx) } else { ek_too_big6(self.ctx.ctx) })
    }
}

impl slow_path::OutOfLine for XdpPacket {
    #[inline(always)]
    fn handle_slow_path<F: Family, T: Tables>(&mut self, _tables: &T) -> Code {
        Code::from_number(if F::VERSION == 4 {
            ek_slow_path(self.ctx.ctx)
        } else {
            ek_slow_path6(self.ctx.ctx)
        })
    }
}

impl stray::OutOfLine for XdpPacket {
    #[inline(always)]
    fn answer_stray<F: Family, T: Tables>(&mut self, _tables: &T, event: Event) -> Code {
        let answer = if F::VERSION == 4 { ek_stray } else { ek_stray6 };
        Code::from_number(answer(self.ctx.ctx, event as u32))
    }
}

impl toa::OutOfLine for XdpPacket {
    #[inline(always)]
    fn prepare_options<F: Family>(
        &mut self,
        header_len: usize,
        syn: bool,
        may_shrink: bool,
    ) -> Option<Prepared> {
        let prepare = if F::VERSION == 4 { ek_options } else { ek_options6 };
        match prepare(self.ctx.ctx, header_len as u32, u32::from(syn), u32::from(may_shrink)) {
            TOO_SHORT => None,
            // A header's length is a multiple of four.
            answer => {
                Some(Prepared { header_len: (answer & HEADER_MASK) as usize, stripped: answer & 1 != 0 })
            }
        }
    }

    #[inline(always)]
    fn lower_mss<F: Family>(&mut self, header_len: usize, by: u16) -> Option<()> {
        let lower = if F::VERSION == 4 { ek_lower_mss } else { ek_lower_mss6 };
        (lower(self.ctx.ctx, header_len as u32, by.into()) == 0).then_some(())
    }
}

/// The longest TCP header; tells the verifier of a function that stands alone what its caller has checked.
const HEADER_MASK: u32 = 0x3c;

/// A frame normalised: 1 and a [`Kind`], or 0 and an event.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_normalise(ctx: *mut xdp_md) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    match frame::normalise(&mut XdpPacket::new(ctx), &maps) {
        Ok(kind) => 1 << 32 | kind as u64,
        Err(event) => event as u64,
    }
}

/// What [`ek_normalise`] took off, put back: from an outcome to an outcome.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_restore(ctx: *mut xdp_md, code: u64) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    frame::restore(&mut XdpPacket::new(ctx), &maps, Code::from_number(code)).number()
}

/// Whether a frame is for a MAC of ours: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_is_for_us(ctx: *mut xdp_md) -> u32 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    u32::from(frame::is_for_us(&XdpPacket::new(ctx), &maps))
}

/// Where an answer leaves.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_way_back(ctx: *mut xdp_md) -> u64 {
    let ctx = XdpContext::new(ctx);
    let maps = Maps::new(&ctx);
    Code::from(frame::way_back(&XdpPacket::new(ctx), &maps)).number()
}

/// The tags of an interface, put on: [`DONE`] or an event.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_tag(ctx: *mut xdp_md, slot: u32) -> u32 {
    let Some(interface) = maps::INTERFACE.get(slot) else { return Event::DropInternal as u32 };
    let mut packet = XdpPacket::new(XdpContext::new(ctx));
    frame::tag(&mut packet, interface.tags).err().map_or(DONE, |event| event as u32)
}

/// Kind of a picked member; 0 is none.
const PICKED_IPV4: u32 = 1;
/// See [`PICKED_IPV4`].
const PICKED_IPV6: u32 = 2;

/// What the functions that look for a next hop or a member return: this bit and a [`Hop`] or an index, or an event.
const FOUND: u64 = 1 << 56;

#[inline(always)]
const fn number_of(hop: Result<Hop, Event>) -> u64 {
    match hop {
        Ok(hop) => FOUND | hop.number(),
        Err(event) => event as u64,
    }
}

#[inline(always)]
fn hop_of(number: u64) -> Result<Hop, Event> {
    match number & FOUND {
        0 => Err(Event::from_u32(number as u32).unwrap_or(Event::DropInternal)),
        _ => Ok(Hop::from_number(number)),
    }
}

/// The next hop towards a member: see [`number_of`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_to_backend(ctx: *mut xdp_md, backend: u32) -> u64 {
    let maps = Maps::new(&XdpContext::new(ctx));
    number_of(next_hop::to_backend(&maps, BackendIndex::new(backend & 0xffff)))
}

/// Whether there is a local port towards a member: 1 or 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_has_port(member: u32, spread: u32) -> u32 {
    u32::from(ports::has_any(&Maps::without_context(), BackendIndex::new(member), spread) == Some(true))
}

/// Which member of a pool gets a session of a client with this address, in two words as they lie in memory: [`FOUND`] and
/// its index, or an event.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_schedule(pool: u32, source_0: u64, source_1: u64, spread: u32) -> u64 {
    let source = transmute!([source_0, source_1]);
    let has_port = |member: BackendIndex| ek_has_port(member.into(), spread) != 0;
    match schedule::pick(&Maps::without_context(), PoolIndex::new(pool), source, has_port) {
        Ok(member) => FOUND | u64::from(member.index),
        Err(event) => event as u64,
    }
}

/// What a session counts as by now; always 0.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_note(note: u64) -> u32 {
    connection::note(&Maps::without_context(), Note::from_number(note));
    0
}

/// One more session, let in: [`DONE`] or an event.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_enter(note: u64) -> u32 {
    match limit::enter(&Maps::without_context(), Note::from_number(note)) {
        Ok(()) => DONE,
        Err(event) => event as u32,
    }
}

/// The packet is shorter than its header says.
const TOO_SHORT: u32 = u32::MAX;

/// No event's number.
const DONE: u32 = u32::MAX;

/// The functions of one family: global ones, which the verifier checks once for all callers.
macro_rules! functions {
    ($family:ty: $options:ident, $timestamps:ident, $lower_mss:ident, $pick:ident, $to_client:ident, $reset:ident, $tell:ident, $join:ident, $slow_path:ident, $icmp:ident,
     $fragment:ident, $too_big:ident, $stray:ident) => {
        /// A segment's options, looked through: the TCP header's length, with 1 added if some were overwritten, or
        /// [`TOO_SHORT`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $options(ctx: *mut xdp_md, header_len: u32, syn: u32, may_shrink: u32) -> u32 {
            let mut packet = XdpPacket::new(XdpContext::new(ctx));
            let header_len = (header_len & HEADER_MASK) as usize;
            let Some(stripped) = toa::strip::<$family, XdpPacket>(&mut packet, header_len, syn != 0) else {
                return TOO_SHORT;
            };
            let shrunk = if may_shrink != 0 && toa::must_shrink::<$family>(header_len) {
                $timestamps(ctx, header_len as u32)
            } else {
                header_len as u32
            };
            shrunk | u32::from(stripped)
        }

        /// All options but timestamps, taken off: the TCP header's length, or [`TOO_SHORT`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $timestamps(ctx: *mut xdp_md, header_len: u32) -> u32 {
            let mut packet = XdpPacket::new(XdpContext::new(ctx));
            let header_len = (header_len & HEADER_MASK) as usize;
            toa::keep_timestamps::<$family, XdpPacket>(&mut packet, header_len)
                .map_or(TOO_SHORT, |header_len| header_len as u32)
        }

        /// The MSS, lowered: 0 done, 1 the packet is too short.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $lower_mss(ctx: *mut xdp_md, header_len: u32, by: u32) -> u32 {
            let mut packet = XdpPacket::new(XdpContext::new(ctx));
            let header_len = (header_len & HEADER_MASK) as usize;
            u32::from(toa::lower_mss::<$family, XdpPacket>(&mut packet, header_len, by as u16).is_none())
        }

        /// Who gets a new session: 0 and an event, or [`PICKED_IPV4`] or [`PICKED_IPV6`] and the indexes.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $pick(ctx: *mut xdp_md) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            match admit::pick::<$family, XdpPacket, Maps>(&XdpPacket::new(ctx), &maps) {
                Ok(picked) => {
                    let kind = if picked.ipv4 { PICKED_IPV4 } else { PICKED_IPV6 };
                    u64::from(kind) << 32 | u64::from(picked.number())
                }
                Err(event) => event as u64,
            }
        }

        /// The next hop towards the client: see [`number_of`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $to_client(ctx: *mut xdp_md) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            number_of(next_hop::to_client::<$family, XdpPacket, Maps>(&XdpPacket::new(ctx), &maps))
        }

        /// A segment without a session that would end with this event.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $stray(ctx: *mut xdp_md, event: u32) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            let event = Event::from_u32(event).unwrap_or(Event::DropInternal);
            stray::answer::<$family, XdpPacket, Maps>(&mut XdpPacket::new(ctx), &maps, event).number()
        }

        /// The answer to a SYN that nobody takes: 0 done, 1 it is none.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $reset(ctx: *mut xdp_md) -> u32 {
            let mut packet = XdpPacket::new(XdpContext::new(ctx));
            u32::from(tcp_reset::refuse::<$family, XdpPacket>(&mut packet).is_none())
        }

        /// A log entry of a session, by what opening it returned; always 0.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $tell(ctx: *mut xdp_md, opened: u32) -> u32 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            let opened = Event::from_u32(opened).map_or(Ok(()), Err);
            open::tell::<$family, XdpPacket, Maps>(&XdpPacket::new(ctx), &maps, opened);
            0
        }

        /// A log entry of its other side; always 0.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $join(ctx: *mut xdp_md) -> u32 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            open::tell_of_backend::<$family, XdpPacket, Maps>(&XdpPacket::new(ctx), &maps);
            0
        }

        /// The packets that are no matter of routine.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $slow_path(ctx: *mut xdp_md) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            Code::from(slow_path::handle::<$family, XdpPacket, Maps>(&mut XdpPacket::new(ctx), &maps))
                .number()
        }

        /// A later fragment.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $fragment(ctx: *mut xdp_md) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            Code::from(fragment::handle::<$family, XdpPacket, Maps>(&mut XdpPacket::new(ctx), &maps)).number()
        }

        /// "Too big".
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $too_big(ctx: *mut xdp_md) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            Code::from(icmp_error::too_big::<$family, XdpPacket, Maps>(&mut XdpPacket::new(ctx), &maps))
                .number()
        }

        /// ICMP; `otherwise` is the number of the event with which all else ends.
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $icmp(ctx: *mut xdp_md, otherwise: u32) -> u64 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            let otherwise = Event::from_u32(otherwise).unwrap_or(Event::DropInternal);
            Code::from(icmp::translate::<$family, XdpPacket, Maps>(
                &mut XdpPacket::new(ctx),
                &maps,
                otherwise,
            ))
            .number()
        }
    };
}

/// A new session of a client and a backend of these families: [`DONE`], or the event that stops the packet.
macro_rules! opening {
    ($open:ident: $family:ty, $backend:ty) => {
        /// See [`open::open`].
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $open(
            ctx: *mut xdp_md,
            indexes: u32,
            to_backend: u64,
            to_client: u64,
            generation: u32,
        ) -> u32 {
            let ctx = XdpContext::new(ctx);
            let maps = Maps::new(&ctx);
            let picked = Picked::from_number(indexes, <$backend>::VERSION == 4);
            let packet = XdpPacket::new(ctx);
            let (to_backend, to_client) = (Hop::from_number(to_backend), Hop::from_number(to_client));
            let hops = Hops { to_backend, to_client, generation };
            match open::open::<$family, $backend, XdpPacket, Maps>(&packet, &maps, picked, hops) {
                Ok(()) => DONE,
                Err(event) => event as u32,
            }
        }
    };
}

opening!(ek_open: V4, V4);
opening!(ek_open46: V4, V6);
opening!(ek_open64: V6, V4);
opening!(ek_open6: V6, V6);
functions!(V4: ek_options, ek_timestamps, ek_lower_mss, ek_pick, ek_to_client, ek_reset, ek_tell, ek_join, ek_slow_path, ek_icmp, ek_pieces, ek_too_big, ek_stray);
functions!(V6: ek_options6, ek_timestamps6, ek_lower_mss6, ek_pick6, ek_to_client6, ek_reset6, ek_tell6, ek_join6, ek_slow_path6, ek_icmp6, ek_pieces6, ek_too_big6, ek_stray6);
