//! The stages as a list: what happens to a packet from the driver to its verdict.
//!
//! Here is the way of most packets: settled sessions, whose packets change nothing but themselves and counters.
//! Everything else is in [`crate::unsettled`], which the kernel verifies and calls apart: inlined, its many values
//! would drive those of this way out of the registers.

use crate::{
    abi::{Config, Half, Interface, PROTOCOL_UDP},
    lookup::{self, Buckets, Owner},
    open,
    packet::Packet,
    parse::{self, Segment},
    rewrite,
    shared::Shared,
    tables::{Direction, Tables},
    tcp_state::State,
    verdict::{Event, Outcome},
    wire::Flags,
};

/// Handles one packet, counts what became of it, and says where it goes.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let outcome = match steer(packet, tables) {
        Err(event @ (Event::PassVipOther | Event::PassLocalOther)) => packet.translate_icmp(tables, event),
        outcome => outcome,
    };
    match outcome {
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
    match lookup::forward(tables, Buckets::of(config, &segment), &segment) {
        Some(half) if !(segment.flags.opens() && open::is_over(half)) => {
            let leg = Leg { half, direction: Direction::In };
            if leg.is_settled(&segment, config) {
                let out = leg.interface(tables, &segment)?;
                return leg.send(packet, tables, &segment, out);
            }
        }
        _ => packet.open_session(tables)?,
    }
    packet.handle_unsettled(tables)
}

#[inline(always)]
fn from_backend<P: Packet, T: Tables>(packet: &mut P, tables: &T, local: u32) -> Result<Outcome, Event> {
    let segment = parse::segment(packet, Event::PassLocalOther)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let half = lookup::reverse(tables, config, local, &segment)?;
    let leg = Leg { half, direction: Direction::Out };
    if leg.is_settled(&segment, config) {
        let out = leg.interface(tables, &segment)?;
        return leg.send(packet, tables, &segment, out);
    }
    packet.handle_unsettled(tables)
}

/// A packet's half, and which way it goes.
#[derive(Clone, Copy)]
pub(crate) struct Leg<'a> {
    pub half: Shared<'a, Half>,
    pub direction: Direction,
}

impl Leg<'_> {
    /// Whether this segment leaves its session as it is, with nothing to add to it or to ask.
    #[inline(always)]
    fn is_settled(&self, segment: &Segment, config: &Config) -> bool {
        let quiet = !segment.flags.any(Flags::SYN.and(Flags::FIN).and(Flags::RST));
        // Datagrams that nobody answers do not move their session.
        let stays = self.half.tcp().get() == State::Established as u8
            || (segment.protocol == PROTOCOL_UDP && self.direction == Direction::In);
        quiet
            && stays
            && self.half.flags().get() == 0
            && self.half.generation().get() == config.generation as u16
    }

    /// The interface that the packet leaves by, if it may.
    #[inline(always)]
    pub fn interface<'t, T: Tables>(&self, tables: &'t T, segment: &Segment) -> Result<&'t Interface, Event> {
        if segment.ttl <= 1 {
            return Err(Event::DropTtl);
        }
        let out = tables.interface(u32::from(self.half.interface().get())).ok_or(Event::DropInternal)?;
        if u32::from(segment.total_len) > out.mtu {
            return Err(Event::DropOverMtu);
        }
        Ok(out)
    }

    /// Rewrites the packet, which came in as `segment`, and keeps the books.
    #[inline(always)]
    pub fn send<P: Packet, T: Tables>(
        self,
        packet: &mut P,
        tables: &T,
        segment: &Segment,
        out: &Interface,
    ) -> Result<Outcome, Event> {
        rewrite::rewrite(packet, self.half, segment.protocol, out)?;
        self.half.last_seen().set(tables.now());
        if segment.flags.any(Flags::ACK) {
            self.half.ack().set(segment.ack);
        }
        self.half.packets().set(self.half.packets().get().wrapping_add(1));
        let (listener, backend) = (self.half.listener().get(), self.half.backend().get());
        tables.count_packet(listener.into(), backend.into(), self.direction, segment.total_len.into());
        Ok(if out.index == packet.ingress() {
            Outcome::Tx
        } else {
            Outcome::Redirect(self.half.interface().get())
        })
    }
}
