//! What [`crate::pipeline`] leaves aside: packets that move the state of their session, that get or end TOA, that
//! carry on a reset, or whose next hop may have changed. Each begins anew with the packet, because this stands alone.

use crate::{
    abi::{Config, DYING, FLAG_LIMITED, FLAG_RESET, FLAG_TOA, Half, LIVE, PROTOCOL_UDP},
    access, limit,
    lookup::{self, Buckets, Owner},
    open,
    packet::Packet,
    parse::{self, Segment},
    pipeline::Leg,
    shared::Shared,
    tables::{Direction, Route, Tables},
    tcp_state::{self, State},
    toa,
    verdict::{Event, Outcome},
    wire::Flags,
};

/// Handles a packet of any session.
///
/// # Errors
/// The event with which it ends.
#[inline(always)]
pub fn handle<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    let config = tables.config().ok_or(Event::DropInternal)?;
    match lookup::owner(tables, parse::destination(packet)?) {
        Owner::Vip => {
            let segment = parse::segment(packet, Event::PassVipOther)?;
            let half = lookup::forward(tables, Buckets::of(config, &segment), &segment);
            let half = half.ok_or(Event::DropNoSession)?;
            let peer = tables.reverse(half.peer().get()).ok_or(Event::DropInternal)?;
            Unsettled { half, peer, direction: Direction::In }.send(packet, tables, config, segment)
        }
        Owner::Local(local) => {
            let segment = parse::segment(packet, Event::PassLocalOther)?;
            let half = lookup::reverse(tables, config, local, &segment)?;
            let peer = tables.forward(half.peer().get()).ok_or(Event::DropInternal)?;
            Unsettled { half, peer, direction: Direction::Out }.send(packet, tables, config, segment)
        }
        Owner::Other => Err(Event::PassNotOurs),
    }
}

/// A packet's half, the other half, and which way it goes.
struct Unsettled<'a> {
    half: Shared<'a, Half>,
    peer: Shared<'a, Half>,
    direction: Direction,
}

impl Unsettled<'_> {
    #[inline(always)]
    fn send<P: Packet, T: Tables>(
        self,
        packet: &mut P,
        tables: &T,
        config: &Config,
        segment: Segment,
    ) -> Result<Outcome, Event> {
        let leg = Leg { half: self.half, direction: self.direction };
        if self.half.generation().get() != config.generation as u16 {
            self.look_again_at_the_listener(tables)?;
            self.renew_next_hop(tables, config);
        }
        let out = leg.interface(tables, &segment)?;
        if self.half.flags().get() & FLAG_LIMITED != 0 {
            limit::charge(tables, self.half.listener().get().into(), segment.total_len.into())?;
        }
        self.follow(tables, &segment);
        if self.half.flags().get() & FLAG_TOA != 0 {
            match self.direction {
                Direction::In => toa::outgoing(packet, tables, segment, out.mtu)?,
                Direction::Out => self.watch_for_answer(packet, &segment)?,
            }
        }
        leg.send(packet, tables, &segment, out)
    }

    /// The listener may have changed: ends the session if it keeps the client out by now, and learns whether its
    /// bandwidth is limited.
    #[inline(always)]
    fn look_again_at_the_listener<T: Tables>(&self, tables: &T) -> Result<(), Event> {
        let client = match self.direction {
            Direction::In => self.half.src().get(),
            Direction::Out => self.half.new_dst().get(),
        };
        let listener = tables.listener(self.half.listener().get().into()).ok_or(Event::DropInternal)?;
        if access::lets_in(tables, listener, client) {
            self.half.flags().set(self.half.flags().get() & !FLAG_LIMITED | limit::flag(listener));
            return Ok(());
        }
        let over = open::is_over(self.half);
        self.peer.state().swap_if(LIVE, DYING);
        if self.half.state().swap_if(LIVE, DYING) && !over {
            self.count_connection(tables, u32::MAX);
        }
        tables.count_refused(self.half.listener().get().into(), Event::DropDenied);
        Err(Event::DropDenied)
    }

    /// Routes or neighbours have changed: asks again, and keeps the old next hop if there is no answer.
    #[inline(always)]
    fn renew_next_hop<T: Tables>(&self, tables: &T, config: &Config) {
        let src = match self.direction {
            Direction::In => [0; 4],
            Direction::Out => self.half.new_src().get(),
        };
        if let Route::Via { interface, mac } = tables.route(src, self.half.new_dst().get())
            && let Some(slot) = open::slot_of(tables, interface)
        {
            self.half.interface().set(slot);
            self.half.next_hop().set(mac.into());
        }
        self.half.generation().set(config.generation as u16);
        tables.count(Event::NextHopRenewed);
    }

    /// Moves the session's state on. Data in an established session changes nothing and costs two comparisons.
    #[inline(always)]
    fn follow<T: Tables>(&self, tables: &T, segment: &Segment) {
        let state = self.half.tcp().get();
        if segment.protocol == PROTOCOL_UDP {
            if self.direction == Direction::Out && state != State::Established as u8 {
                self.half.tcp().set(State::Established as u8);
                self.peer.tcp().set(State::Established as u8);
            }
            return;
        }
        let quiet = !segment.flags.any(Flags::SYN.and(Flags::FIN).and(Flags::RST));
        if quiet && state == State::Established as u8 {
            return;
        }
        let Some(before) = State::from_u8(state) else { return };
        let mut after = tcp_state::next(before, self.direction, segment.flags);
        if segment.flags.any(Flags::RST) {
            self.half.flags().set(self.half.flags().get() | FLAG_RESET);
            self.peer.flags().set(self.peer.flags().get() | FLAG_RESET);
        } else if before == State::Close {
            self.half.flags().set(self.half.flags().get() & !FLAG_RESET);
            after = tcp_state::revived(after, false, self.peer.flags().get() & FLAG_RESET != 0);
        }
        if after == State::SynRecv && segment.flags.opens() && self.direction == Direction::In {
            self.begin_toa(segment);
        }
        if after != before {
            self.half.tcp().set(after as u8);
            self.peer.tcp().set(after as u8);
            if after.is_over() != before.is_over() {
                self.count_connection(tables, if after.is_over() { u32::MAX } else { 1 });
            }
        }
    }

    /// Adds to what the member and the listener have; `u32::MAX` takes one away.
    #[inline(always)]
    fn count_connection<T: Tables>(&self, tables: &T, amount: u32) {
        if let Some(load) = tables.load(self.half.backend().get().into()) {
            load.value().add(amount);
        }
        if let Some(limit) = tables.limit(self.half.listener().get().into()) {
            limit.connections().add(amount);
        }
    }

    /// A SYN, the first or a later one with another sequence number: TOA from here on.
    #[inline(always)]
    fn begin_toa(&self, segment: &Segment) {
        self.half.flags().set(self.half.flags().get() | FLAG_TOA);
        self.peer.flags().set(self.peer.flags().get() | FLAG_TOA);
        self.peer.ack().set(segment.seq.wrapping_add(1));
    }

    /// The backend's side while TOA is on: lowers the MSS in its SYN-ACK, and ends TOA once it has acknowledged
    /// client data or sent data, for then its socket exists.
    #[inline(always)]
    fn watch_for_answer<P: Packet>(&self, packet: &mut P, segment: &Segment) -> Result<(), Event> {
        if segment.flags.any(Flags::SYN) {
            return packet.lower_mss(segment.header_len).ok_or(Event::DropInternal);
        }
        if segment.payload_len() > 0
            || (segment.flags.any(Flags::ACK) && segment.ack != self.half.ack().get())
        {
            self.half.flags().set(self.half.flags().get() & !FLAG_TOA);
            self.peer.flags().set(self.peer.flags().get() & !FLAG_TOA);
        }
        Ok(())
    }
}
