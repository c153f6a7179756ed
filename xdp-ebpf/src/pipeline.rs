//! The stages as a list: what happens to a packet from the driver to its verdict.
//!
//! Here is the way of most packets: settled sessions, whose packets change nothing but themselves and counters.
//! Everything else is in [`crate::unsettled`], which the kernel verifies and calls apart: inlined, its many values
//! would drive those of this way out of the registers.

use crate::{
    abi::{Config, Half, Interface, PROTOCOL_UDP},
    admit::Picked,
    family::{Family, V4, V6},
    frame::Kind,
    lookup::{self, Buckets, Owner},
    next_hop, open,
    packet::Packet,
    parse::{self, Segment},
    rewrite,
    shared::Shared,
    tables::{Direction, Tables},
    tcp_state::State,
    verdict::{Code, Event, Outcome},
    wire::Flags,
};

/// Handles one packet, counts what became of it, and says where it goes.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let kind = Kind::of(packet);
    let odd = kind == Kind::Odd;
    let mut code = match if odd { packet.make_plain(tables) } else { Ok(kind) } {
        Ok(Kind::V4) => of_family::<V4, P, T>(packet, tables),
        Ok(Kind::V6) => of_family::<V6, P, T>(packet, tables),
        Ok(Kind::LaterFragment4) => packet.handle_fragment::<V4, T>(tables),
        Ok(Kind::LaterFragment6) => packet.handle_fragment::<V6, T>(tables),
        Ok(Kind::Odd | Kind::Other) => Code::stop(Event::PassNotIp),
        Err(event) => Code::stop(event),
    };
    if odd {
        code = packet.restore(tables, code);
    }
    match code.outcome() {
        Outcome::Tag(slot) => match packet.tag(tables, slot) {
            Ok(()) => Outcome::Redirect(slot),
            Err(event) => stop(tables, event),
        },
        Outcome::Reply => packet.way_back(tables).outcome(),
        Outcome::Stop(event) => stop(tables, event),
        outcome => outcome,
    }
}

#[inline(always)]
fn stop<T: Tables>(tables: &T, event: Event) -> Outcome {
    tables.count(event);
    Outcome::Stop(event)
}

/// The value, or the end of the packet.
macro_rules! or_stop {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(event) => return Code::stop(event),
        }
    };
}

#[inline(always)]
fn of_family<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Code {
    let code = match lookup::owner::<F, T>(tables, or_stop!(parse::destination::<F, P>(packet))) {
        Owner::Vip => from_client::<F, P, T>(packet, tables),
        Owner::Local(local) => from_backend::<F, P, T>(packet, tables, local),
        Owner::Other => Code::stop(Event::PassNotOurs),
    };
    for event in [Event::PassVipOther, Event::PassLocalOther] {
        if code.is_stop(event) {
            return packet.translate_icmp::<F, T>(tables, event);
        }
    }
    if code.is_stop(Event::DropOverMtu) {
        return packet.answer_too_big::<F, T>(tables);
    }
    code
}

#[inline(always)]
fn from_client<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Code {
    let segment = or_stop!(parse::segment::<F, P>(packet, Event::PassVipOther));
    let config = or_stop!(tables.config().ok_or(Event::DropInternal));
    match lookup::forward(tables, Buckets::of(config, &segment), &segment) {
        Some(half) if !(segment.flags.opens() && open::is_over(*half)) => {
            let leg = Leg { half, direction: Direction::In };
            if leg.is_settled(&segment, config) {
                return leg.send(packet, tables, &segment);
            }
        }
        _ => {
            let picked = packet.pick_member::<F, T>(tables);
            if picked == Err(Event::PassLayer7) {
                return Code::stop(Event::PassLayer7);
            }
            let opened = picked.and_then(|picked| open_with::<F, P, T>(packet, tables, picked));
            packet.tell_of_session::<F, T>(tables, opened);
            if opened == Err(Event::ResetNoMember) {
                or_stop!(packet.answer_reset::<F>().ok_or(Event::DropInternal));
                tables.count(Event::ResetNoMember);
                return Code::ANSWER;
            }
            or_stop!(opened);
        }
    }
    packet.handle_unsettled::<F, T>(tables)
}

/// Opens a session with this member.
#[inline(always)]
fn open_with<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T, picked: Picked) -> Result<(), Event> {
    let opened = next_hop::both::<F, P, T>(packet, tables, picked)
        .and_then(|hops| packet.open_session::<F, T>(tables, picked, hops));
    if let Err(event) = opened {
        tables.count_refused(picked.listener().into(), event);
    }
    opened
}

#[inline(always)]
fn from_backend<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T, local: u32) -> Code {
    let segment = or_stop!(parse::segment::<F, P>(packet, Event::PassLocalOther));
    let config = or_stop!(tables.config().ok_or(Event::DropInternal));
    let half = or_stop!(lookup::reverse(tables, config, local, &segment));
    let leg = Leg { half, direction: Direction::Out };
    if leg.is_settled(&segment, config) {
        return leg.send(packet, tables, &segment);
    }
    packet.handle_unsettled::<F, T>(tables)
}

/// A packet's half, and which way it goes.
#[derive(Clone, Copy)]
pub(crate) struct Leg<'a, F: Family> {
    pub half: Shared<'a, Half<F>>,
    pub direction: Direction,
}

impl<F: Family> Leg<'_, F> {
    /// Whether this segment leaves its session as it is, with nothing to add to it or to ask.
    #[inline(always)]
    fn is_settled(&self, segment: &Segment<F>, config: &Config) -> bool {
        let quiet = !segment.flags.any(Flags::SYN.and(Flags::FIN).and(Flags::RST));
        // Datagrams that nobody answers do not move their session.
        let stays = self.half.tcp().get() == State::Established as u8
            || (segment.protocol == PROTOCOL_UDP && self.direction == Direction::In);
        quiet
            && stays
            && self.half.flags().get() == 0
            && self.half.generation().get() == config.generation as u16
    }

    /// The interface that the packet leaves by with this many bytes from the IP header on, if it may.
    ///
    /// # Errors
    /// [`Event::DropTtl`], or what [`next_hop::too_large_for`] says.
    #[inline(always)]
    pub fn interface<'t, T: Tables>(
        &self,
        tables: &'t T,
        ttl: u8,
        leaves_with: u32,
    ) -> Result<&'t Interface, Event> {
        if ttl <= 1 {
            return Err(Event::DropTtl);
        }
        let out = tables.interface(u32::from(self.half.interface().get())).ok_or(Event::DropInternal)?;
        if leaves_with > out.mtu {
            return Err(next_hop::too_large_for(out));
        }
        Ok(out)
    }

    #[inline(always)]
    fn send<P: Packet, T: Tables>(self, packet: &mut P, tables: &T, segment: &Segment<F>) -> Code {
        let out = or_stop!(self.interface(tables, segment.ttl, segment.total_len));
        or_stop!(rewrite::rewrite(packet, self.half, segment.protocol, out));
        self.account(packet, tables, segment, out).into()
    }

    /// Keeps the books on a packet that came in as `segment` and is rewritten.
    #[inline(always)]
    pub fn account<P: Packet, T: Tables>(
        self,
        packet: &P,
        tables: &T,
        segment: &Segment<F>,
        out: &Interface,
    ) -> Outcome {
        self.half.last_seen().set(tables.now());
        if segment.flags.any(Flags::ACK) {
            self.half.ack().set(segment.ack);
        }
        self.half.packets().set(self.half.packets().get().wrapping_add(1));
        let (listener, backend) = (self.half.listener().get(), self.half.backend().get());
        tables.count_packet(listener.into(), backend.into(), self.direction, segment.total_len);
        Outcome::out_of(self.half.interface().get(), out, packet.ingress())
    }
}
