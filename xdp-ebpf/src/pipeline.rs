//! The stages as a list: what happens to a packet from the driver to its verdict.

use crate::{
    abi::{Config, FLAG_RESET, FLAG_TOA, Half, Interface, PROTOCOL_UDP},
    lookup::{self, Buckets, Owner},
    open,
    packet::Packet,
    parse::{self, Segment},
    rewrite,
    shared::Shared,
    tables::{Direction, Route, Tables},
    tcp_state::{self, State},
    toa,
    verdict::{Event, Outcome},
    wire::Flags,
};

/// Handles one packet, counts what became of it, and says where it goes.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    match steer(packet, tables) {
        Ok(outcome) => outcome,
        Err(event) => {
            tables.count(event);
            Outcome::Stop(event)
        }
    }
}

#[inline(always)]
fn steer<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    match lookup::owner(tables, parse::destination(packet)?) {
        Owner::Vip => from_client(packet, tables),
        Owner::Local(local) => from_backend(packet, tables, local),
        Owner::Other => Err(Event::PassNotOurs),
    }
}

#[inline(always)]
fn from_client<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    let segment = parse::segment(packet, Event::PassVipOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let buckets = Buckets::of(config, &segment);
    let half = match lookup::forward(tables, buckets, &segment) {
        Some((_, half)) if !(segment.flags.opens() && open::is_over(half)) => half,
        _ => tables.forward(packet.open_session(tables)?).ok_or(Event::DropInternal)?,
    };
    let peer = tables.reverse(half.peer().get()).ok_or(Event::DropInternal)?;
    Leg { half, peer, direction: Direction::In }.send(packet, tables, config, segment)
}

#[inline(always)]
fn from_backend<P: Packet, T: Tables>(packet: &mut P, tables: &T, local: u32) -> Result<Outcome, Event> {
    let segment = parse::segment(packet, Event::PassLocalOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let index = lookup::reverse_index(config, local, segment.dport, (segment.src, segment.sport))
        .ok_or(Event::PassLocalOther)?;
    let half = lookup::reverse(tables, index, &segment).ok_or(Event::PassNoSession)?;
    let peer = tables.forward(half.peer().get()).ok_or(Event::DropInternal)?;
    Leg { half, peer, direction: Direction::Out }.send(packet, tables, config, segment)
}

/// A packet's half, the other half, and which way it goes.
struct Leg<'a> {
    half: Shared<'a, Half>,
    peer: Shared<'a, Half>,
    direction: Direction,
}

impl Leg<'_> {
    /// What both directions do with a packet of a session.
    #[inline(always)]
    fn send<P: Packet, T: Tables>(
        self,
        packet: &mut P,
        tables: &T,
        config: &Config,
        mut segment: Segment,
    ) -> Result<Outcome, Event> {
        let bytes = u32::from(segment.total_len);
        if segment.ttl <= 1 {
            return Err(Event::DropTtl);
        }
        if self.half.generation().get() != config.generation as u16 {
            self.renew_next_hop(tables, config);
        }
        let out = self.interface(tables)?;
        if bytes > out.mtu {
            return Err(Event::DropOverMtu);
        }
        self.follow(tables, &segment);
        if self.half.flags().get() & FLAG_TOA != 0 {
            match self.direction {
                Direction::In => toa::outgoing(packet, tables, &mut segment, out.mtu)?,
                Direction::Out => self.watch_for_answer(packet, &segment)?,
            }
        }
        rewrite::rewrite(packet, self.half, segment.protocol, out)?;

        self.half.last_seen().set(tables.now());
        if segment.flags.any(Flags::ACK) {
            self.half.ack().set(segment.ack);
        }
        self.half.packets().set(self.half.packets().get().wrapping_add(1));
        tables.count_packet(u32::from(self.half.backend().get()), self.direction, bytes);
        Ok(if out.index == packet.ingress() {
            Outcome::Tx
        } else {
            Outcome::Redirect(self.half.interface().get())
        })
    }

    #[inline(always)]
    fn interface<'t, T: Tables>(&self, tables: &'t T) -> Result<&'t Interface, Event> {
        tables.interface(u32::from(self.half.interface().get())).ok_or(Event::DropInternal)
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
            if after.is_over() != before.is_over()
                && let Some(load) = tables.load(u32::from(self.half.backend().get()))
            {
                load.value().add(if after.is_over() { u32::MAX } else { 1 });
            }
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
