//! What [`crate::pipeline`] leaves aside: packets that move the state of their session, that get or end TOA, that
//! carry on a reset, or whose next hop may have changed. Each begins anew with the packet, because this stands alone.

use crate::{
    abi::{
        CUT, Common, Config, DYING, ENTRY_REMOVED, FLAG_HEARD, FLAG_LIMITED, FLAG_MIXED, FLAG_RESET,
        FLAG_TOA, FLAG_TOLD, Half, LIVE, PROTOCOL_UDP,
    },
    access,
    address::Address,
    connection::{self, Note, Standing},
    family::Family,
    fragment,
    leg::Leg,
    limit,
    lookup::{self, Buckets, Owner},
    parse::{self, Segment},
    rewrite,
    shared::Shared,
    tables::{ANY_SOURCE, Direction, Route, Tables},
    tcp_state::{self, RESET_WINDOW, State, WINDOW},
    toa,
    verdict::{Code, Event, Outcome},
    wire::Flags,
};

/// This stage's function that the kernel verifies once and apart: see [`crate::pipeline`].
pub trait OutOfLine: toa::OutOfLine + limit::OutOfLine {
    /// [`handle`].
    fn handle_slow_path<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        handle::<F, Self, T>(self, tables).into()
    }
}

/// The part of a second in which a client that sends too much for TOA is told so: less than any TCP waits until it sends
/// again (RFC 6298, 2.4; Linux waits 200 ms).
const TELLING: u32 = 10;

/// Handles a packet of any session.
///
/// # Errors
/// The event with which it ends.
#[inline(always)]
pub fn handle<F: Family, P: OutOfLine, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    let config = tables.config().ok_or(Event::DropInternal)?;
    match lookup::owner::<F, T>(tables, parse::destination::<F, P>(packet)?) {
        Owner::Vip => {
            let segment = parse::segment::<F, P>(packet, Event::PassVipOther)?;
            let half = lookup::forward(tables, Buckets::of(config, &segment), &segment);
            let half = half.ok_or(Event::DropNoSession)?;
            Unsettled::new(tables, half, Direction::In)?.send(packet, tables, config, &segment)
        }
        Owner::Local(local) => {
            let segment = parse::segment::<F, P>(packet, Event::PassLocalOther)?;
            let half = lookup::reverse(tables, config, local, &segment)?;
            Unsettled::new(tables, half, Direction::Out)?.send(packet, tables, config, &segment)
        }
        Owner::Other => Err(Event::PassNotOurs),
    }
}

/// A packet's half, the other half, and which way it goes.
struct Unsettled<'a, F: Family> {
    half: Shared<'a, Half<F>>,
    /// The other half but for its addresses.
    peer: Shared<'a, Common>,
    /// Whether the other half is of the other family.
    is_mixed: bool,
    direction: Direction,
}

impl<'a, F: Family> Unsettled<'a, F> {
    #[inline(always)]
    fn new<T: Tables>(tables: &'a T, half: Shared<'a, Half<F>>, direction: Direction) -> Result<Self, Event> {
        let is_mixed = half.flags().get() & FLAG_MIXED != 0;
        let peer = if is_mixed {
            peer::<F::Other, T>(tables, *half, direction).map(|peer| *peer)
        } else {
            peer::<F, T>(tables, *half, direction).map(|peer| *peer)
        };
        Ok(Self { half, peer: peer.ok_or(Event::DropInternal)?, is_mixed, direction })
    }

    /// The other half of a session of two families, with its addresses. Looked up again wherever they are needed: Linux
    /// 6.1's verifier loses which family a pointer is of that is kept over a branch.
    #[inline(always)]
    fn mixed_peer<T: Tables>(&self, tables: &'a T) -> Result<Shared<'a, Half<F::Other>>, Event> {
        peer::<F::Other, T>(tables, *self.half, self.direction).ok_or(Event::DropInternal)
    }

    /// The forward half and the reverse half.
    #[inline(always)]
    fn halves(&self) -> (Shared<'a, Common>, Shared<'a, Common>) {
        match self.direction {
            Direction::In => (*self.half, self.peer),
            Direction::Out => (self.peer, *self.half),
        }
    }

    #[inline(always)]
    fn send<P: OutOfLine, T: Tables>(
        self,
        packet: &mut P,
        tables: &'a T,
        config: &Config,
        segment: &Segment<F>,
    ) -> Result<Outcome, Event> {
        if self.is_mixed && fragment::is_one::<F, P, T>(packet, tables) {
            return Err(Event::DropFragment);
        }
        let leg = Leg { half: self.half, direction: self.direction };
        if self.half.generation().get() != config.generation as u16 {
            self.look_again_at_the_listener(packet, tables, segment)?;
            self.leave_a_removed_member(packet, tables, segment)?;
            self.renew_next_hop(tables)?;
        }
        let (header, other_header, toa) = if self.is_mixed {
            (F::IP_LEN as u32, F::Other::IP_LEN as u32, F::Other::TOA_LEN)
        } else {
            (0, 0, F::TOA_LEN)
        };
        let out = leg.interface(tables, segment.ttl, segment.total_len - header + other_header)?;
        if self.half.flags().get() & FLAG_LIMITED != 0 {
            limit::charge(tables, self.half.listener().get().into(), segment.total_len)?;
        }
        let mut is_believed = self.follow(packet, tables, segment)?;
        // A SYN is always looked through: the backend may have forgotten the session, and open another.
        let opens = self.direction == Direction::In && segment.flags.any(Flags::SYN);
        if opens || self.half.flags().get() & FLAG_TOA != 0 {
            match self.direction {
                Direction::In => {
                    self.add_toa(packet, tables, config, segment, out.mtu + header - other_header)?;
                }
                Direction::Out => is_believed &= self.watch_for_answer(packet, segment, toa as u16)?,
            }
        }
        if is_believed {
            leg.keep_ack(segment);
        }
        if self.is_mixed {
            rewrite::translate(packet, *self.half, self.mixed_peer(tables)?, segment, out)?;
        } else {
            rewrite::rewrite(packet, self.half, segment.protocol, out)?;
        }
        Ok(leg.account(packet, tables, segment, out))
    }

    /// The listener may have changed: ends the session if it keeps the client out by now, and learns whether its
    /// bandwidth is limited.
    #[inline(always)]
    fn look_again_at_the_listener<P: OutOfLine, T: Tables>(
        &self,
        packet: &P,
        tables: &'a T,
        segment: &Segment<F>,
    ) -> Result<(), Event> {
        let client = match self.direction {
            Direction::In => self.half.src().get().mapped(),
            Direction::Out if self.is_mixed => self.mixed_peer(tables)?.src().get().mapped(),
            Direction::Out => self.half.new_dst().get().mapped(),
        };
        let listener = tables.listener(self.half.listener().get().into()).ok_or(Event::DropInternal)?;
        if access::allows(tables, listener, client) {
            if limit::flag(listener) == 0 {
                self.half.clear_flags(FLAG_LIMITED);
            } else {
                self.half.set_flags(FLAG_LIMITED);
            }
            return Ok(());
        }
        let is_over = State::from_u8(self.halves().0.tcp().get()).is_none_or(State::is_over);
        self.end(packet, tables, if segment.protocol == PROTOCOL_UDP || is_over { DYING } else { CUT });
        tables.count_refused(self.half.listener().get().into(), Event::DropDenied);
        Err(Event::DropDenied)
    }

    /// The member may have been removed: a datagram for it is its last, and the client's next one opens a session with
    /// another. A connection stays.
    #[inline(always)]
    fn leave_a_removed_member<P: OutOfLine, T: Tables>(
        &self,
        packet: &P,
        tables: &T,
        segment: &Segment<F>,
    ) -> Result<(), Event> {
        if segment.protocol != PROTOCOL_UDP || self.direction == Direction::Out {
            return Ok(());
        }
        let member = tables.backend(self.half.backend().get().into()).ok_or(Event::DropInternal)?;
        if member.state != ENTRY_REMOVED {
            return Ok(());
        }
        self.end(packet, tables, DYING);
        Err(Event::DropMemberRemoved)
    }

    /// Ends the session, whose state is [`CUT`] or [`DYING`] now; the sweeper gives its local port back.
    #[inline(always)]
    fn end<P: OutOfLine, T: Tables>(&self, packet: &P, tables: &T, state: u8) {
        let (forward, reverse) = self.halves();
        if forward.swap_state_if(LIVE, state) {
            let before = connection::end(forward);
            packet.note(tables, Note::new(forward, [before, Standing::Over]));
        }
        reverse.swap_state_if(LIVE, state);
    }

    /// Routes or neighbours have changed: asks again, and keeps the old next hop if there is no answer. The daemon moves the
    /// generation again when there is one.
    #[inline(always)]
    fn renew_next_hop<T: Tables>(&self, tables: &'a T) -> Result<(), Event> {
        let (src, dst) = if self.is_mixed {
            let peer = self.mixed_peer(tables)?;
            (peer.dst().get().mapped(), peer.src().get().mapped())
        } else {
            (self.half.new_src().get().mapped(), self.half.new_dst().get().mapped())
        };
        // Towards the client from the VIP, towards the backend from anybody.
        let src = match self.direction {
            Direction::In => ANY_SOURCE,
            Direction::Out => src,
        };
        // Read before asking: the answer must not seem newer than it is.
        let generation = tables.generation();
        if let Route::Via(hop) = tables.route(src, dst) {
            self.half.interface().set(hop.slot());
            self.half.next_hop().set(hop.mac().into());
        }
        self.half.generation().set(generation as u16);
        tables.count(Event::NextHopRenewed);
        Ok(())
    }

    /// Moves the session's state on, by what can be believed. Data in an established session changes nothing and costs
    /// three comparisons. Whether the segment's acknowledgement is its sender's.
    ///
    /// # Errors
    /// [`Event::DropConnectionLimit`]: the handshake is complete and its listener has no place left. It stays half-open, and
    /// what comes next may find one.
    #[inline(always)]
    fn follow<P: OutOfLine, T: Tables>(
        &self,
        packet: &P,
        tables: &T,
        segment: &Segment<F>,
    ) -> Result<bool, Event> {
        let flags = segment.flags;
        let was = self.half.flags().get();
        let is_reset = flags.any(Flags::RST);
        if !is_reset && was & FLAG_RESET != 0 {
            // Whatever the session's state: a reset that moved nothing must not keep it on the slow path.
            self.half.clear_flags(FLAG_RESET | FLAG_HEARD);
        } else if !flags.any(Flags::SYN.and(Flags::FIN).and(Flags::RST))
            && self.half.tcp().get() == State::Established as u8
        {
            return Ok(true);
        }
        let (forward, reverse) = self.halves();
        let believed = self.believed(segment, forward.tcp().get());
        if is_reset && believed.any(Flags::RST) {
            let is_next = segment.seq == self.peer.ack().get();
            let flags = if is_next { FLAG_RESET | FLAG_HEARD } else { FLAG_RESET };
            self.half.set_flags(flags);
            self.peer.set_flags(flags);
        }
        let step = connection::step(forward, |before| {
            if segment.protocol == PROTOCOL_UDP {
                return if self.direction == Direction::Out { State::Established } else { before };
            }
            let after = tcp_state::after(before, self.direction, believed);
            if before == State::Close && !is_reset {
                return tcp_state::revived(after, false, self.peer.flags().get() & FLAG_RESET != 0);
            }
            after
        });
        let Some(step) = step else { return Ok(false) };
        let standings = step.standings(segment.protocol);
        if standings[0] != standings[1] {
            let note = Note::new(forward, standings);
            packet.note(tables, note);
            if note.completes()
                && self.finds_no_place(tables)
                && forward.swap_tcp_if(step.after as u8, step.before as u8)
            {
                packet.note(tables, note.turned_round());
                return Err(Event::DropConnectionLimit);
            }
        }
        let after = step.after;
        if reverse.tcp().get() != after as u8 {
            reverse.tcp().set(after as u8);
        }
        if step.before == State::SynRecv && after == State::Close && self.direction == Direction::In {
            // The client has taken its SYN back, and the backend hears of it now: a port less that strangers can hold.
            self.end(packet, tables, DYING);
        }
        if flags.any(Flags::RST.and(Flags::FIN)) && !believed.any(Flags::RST.and(Flags::FIN)) {
            if !after.is_over() {
                tables.count(Event::OutOfWindow);
            }
        } else if believed.any(Flags::SYN) {
            if self.direction == Direction::Out || step.before == State::None {
                self.begin(segment);
            } else {
                return Ok(false);
            }
        }
        Ok(believed.any(Flags::ACK))
    }

    /// Those of the segment's flags that can be believed, judged by what the other end has acknowledged. `tcp` is the
    /// session's state.
    #[inline(always)]
    fn believed(&self, segment: &Segment<F>, tcp: u8) -> Flags {
        let flags = segment.flags;
        let opening = tcp == State::SynRecv as u8;
        let of_backend = self.direction == Direction::Out;
        let beyond = segment.seq.wrapping_sub(self.peer.ack().get());
        let is_believed = if flags.any(Flags::RST) {
            // Before a client has answered the SYN-ACK, nothing of its own is on its way; and a backend that takes no
            // connection has no sequence number (RFC 9293, 3.10.7.1).
            let refuses =
                opening && of_backend && flags.any(Flags::ACK) && segment.ack == self.half.ack().get();
            refuses || beyond < if opening && !of_backend { 1 } else { RESET_WINDOW }
        } else if flags.any(Flags::SYN) {
            // The one that the client has acknowledged may come twice; any other is of a backend that opens anew.
            let again = self.peer.ack().get().wrapping_sub(segment.seq.wrapping_add(1)) < RESET_WINDOW;
            !of_backend || opening || !again
        } else if flags.any(Flags::FIN) && beyond.wrapping_add(segment.payload_len() as u32) >= WINDOW {
            false
        } else if !opening {
            true
        } else if of_backend {
            segment.payload_len() > 0 || flags.any(Flags::FIN)
        } else {
            self.peer.packets().get() != 0 && segment.ack.wrapping_sub(self.half.ack().get()) < WINDOW
        };
        if is_believed { flags } else { Flags::default() }
    }

    /// Whether a backend's segment has data or acknowledges some, and is of the connection that the client has: late ones
    /// of another on the same port, and what answers a SYN there, prove nothing.
    #[inline(always)]
    fn goes_on(&self, segment: &Segment<F>) -> bool {
        let acknowledged = segment.ack.wrapping_sub(self.half.ack().get());
        segment.seq.wrapping_sub(self.peer.ack().get()) < WINDOW
            && (segment.payload_len() > 0
                || (segment.flags.any(Flags::ACK) && acknowledged != 0 && acknowledged < WINDOW))
    }

    /// A connection begins, by a first SYN or a SYN-ACK: TOA from here on, whatever was before. Its receiver expects what
    /// comes behind it.
    #[inline(always)]
    fn begin(&self, segment: &Segment<F>) {
        self.half.set_flags(FLAG_TOA);
        self.peer.set_flags(FLAG_TOA);
        self.half.clear_flags(FLAG_TOLD | FLAG_RESET | FLAG_HEARD);
        self.peer.clear_flags(FLAG_TOLD | FLAG_RESET | FLAG_HEARD);
        self.peer.ack().set(segment.seq.wrapping_add(1));
    }

    /// Whether its listener has more connections with this one than it may.
    #[inline(always)]
    fn finds_no_place<T: Tables>(&self, tables: &T) -> bool {
        let listener = self.half.listener().get().into();
        let is_exceeded = tables.limit(listener).is_some_and(limit::is_exceeded);
        if is_exceeded {
            tables.count_refused(listener, Event::DropConnectionLimit);
        }
        is_exceeded
    }

    /// The client's side while TOA is on. It is told that its segments are too large for the option, until what it sends
    /// comes again: whoever does not hear that (or cannot send smaller ones) goes on without.
    #[inline(always)]
    fn add_toa<P: toa::OutOfLine, T: Tables>(
        &self,
        packet: &mut P,
        tables: &T,
        config: &Config,
        segment: &Segment<F>,
        mtu: u32,
    ) -> Result<(), Event> {
        let (flags, now) = (self.half.flags().get(), tables.now());
        let first = flags & FLAG_TOLD == 0;
        let may_tell = first || now.wrapping_sub(self.half.last_seen().get()) < config.jiffies_hz / TELLING;
        let added = toa::outgoing(packet, tables, segment, mtu, may_tell);
        if added == Err(Event::DropOverMtu) && first {
            // The backend's side may have ended TOA meanwhile: this flag alone would stay for good.
            if self.half.set_flags(FLAG_TOLD) & FLAG_TOA == 0 {
                self.half.clear_flags(FLAG_TOLD);
            }
            self.half.last_seen().set(now);
        }
        added
    }

    /// The backend's side while TOA is on: lowers the MSS in its SYN-ACK by an option's length, and ends TOA once it
    /// has acknowledged client data or sent data, for then its socket exists. Whether the segment is of this connection:
    /// a backend answers for one that it still has on the same port (a SYN in its TIME_WAIT, for instance), and that
    /// answer may come late.
    #[inline(always)]
    fn watch_for_answer<P: toa::OutOfLine>(
        &self,
        packet: &mut P,
        segment: &Segment<F>,
        toa_len: u16,
    ) -> Result<bool, Event> {
        if segment.flags.any(Flags::SYN) {
            return packet
                .lower_mss::<F>(segment.header_len, toa_len)
                .map(|()| true)
                .ok_or(Event::DropInternal);
        }
        // What the client expects is known since the SYN-ACK.
        let expected = self.peer.ack().get();
        if expected == 0 || segment.seq.wrapping_sub(expected) >= RESET_WINDOW {
            return Ok(false);
        }
        if !segment.flags.any(Flags::RST) && self.goes_on(segment) {
            self.half.clear_flags(FLAG_TOA);
            self.peer.clear_flags(FLAG_TOA | FLAG_TOLD);
        }
        Ok(true)
    }
}

/// The other half of a session that has it in `F`'s table.
#[inline(always)]
fn peer<'a, F: Family, T: Tables>(
    tables: &'a T,
    half: Shared<'a, Common>,
    direction: Direction,
) -> Option<Shared<'a, Half<F>>> {
    let index = half.peer().get();
    match direction {
        Direction::In => tables.reverse::<F>(index),
        Direction::Out => tables.forward::<F>(index),
    }
}
