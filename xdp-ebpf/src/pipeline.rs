//! The stages as a list: what happens to a packet from the driver to its verdict.
//!
//! Here is the way of most packets: settled sessions, whose packets change nothing but themselves and counters.
//! Everything else is in [`crate::slow_path`], which the kernel verifies and calls apart: inlined, its many values
//! would drive those of this way out of the registers.

use crate::{
    admit::{self, Picked},
    family::{Family, V4, V6},
    fragment,
    frame::{self, Kind},
    icmp, icmp_error,
    leg::Leg,
    lookup::{self, Buckets, Owner},
    next_hop, open,
    packet::Packet,
    parse::{self, Segment},
    rewrite, slow_path, stray,
    tables::{Direction, Tables},
    tcp_reset,
    verdict::{Code, Event, Outcome},
};

/// A packet for which all stages have their out-of-line entries.
pub trait Staged:
    admit::OutOfLine
    + fragment::OutOfLine
    + frame::OutOfLine
    + icmp::OutOfLine
    + icmp_error::OutOfLine
    + next_hop::OutOfLine
    + open::OutOfLine
    + tcp_reset::OutOfLine
    + slow_path::OutOfLine
    + stray::OutOfLine
{
}

impl<P> Staged for P where
    P: admit::OutOfLine
        + fragment::OutOfLine
        + frame::OutOfLine
        + icmp::OutOfLine
        + icmp_error::OutOfLine
        + next_hop::OutOfLine
        + open::OutOfLine
        + tcp_reset::OutOfLine
        + slow_path::OutOfLine
        + stray::OutOfLine
{
}

/// Handles one packet, counts what became of it, and says where it goes.
#[inline(always)]
pub fn process<P: Staged, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let kind = Kind::of(packet);
    let needs_normalising = kind == Kind::NeedsNormalising;
    let mut code = match if needs_normalising { packet.normalise(tables) } else { Ok(kind) } {
        Ok(Kind::V4) => of_family::<V4, P, T>(packet, tables),
        Ok(Kind::V6) => of_family::<V6, P, T>(packet, tables),
        Ok(Kind::LaterFragment4) => packet.handle_fragment::<V4, T>(tables),
        Ok(Kind::LaterFragment6) => packet.handle_fragment::<V6, T>(tables),
        Ok(Kind::NeedsNormalising | Kind::Other) => Code::stop(Event::PassNotIp),
        Err(event) => Code::stop(event),
    };
    if needs_normalising {
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
fn of_family<F: Family, P: Staged, T: Tables>(packet: &mut P, tables: &T) -> Code {
    let code = match lookup::owner::<F, T>(tables, or_stop!(parse::destination::<F, P>(packet))) {
        Owner::Vip => from_client::<F, P, T>(packet, tables),
        Owner::Local(local) => from_backend::<F, P, T>(packet, tables, local),
        Owner::Other => Code::stop(Event::PassNotOurs),
    };
    if code.goes_on() {
        return code;
    }
    let (strays, others) = (
        [Event::DropNoSession, Event::PassNoSession, Event::DropDenied],
        [Event::PassVipOther, Event::PassLocalOther],
    );
    let is_too_big = code.is_stop(Event::DropOverMtu);
    let is_answered = is_too_big || strays.iter().chain(&others).any(|event| code.is_stop(*event));
    if is_answered && !packet.is_for_us(tables) {
        return Code::stop(Event::PassOtherMac);
    }
    for event in strays {
        if code.is_stop(event) {
            return packet.answer_stray::<F, T>(tables, event);
        }
    }
    for event in others {
        if code.is_stop(event) {
            return packet.translate_icmp::<F, T>(tables, event);
        }
    }
    if is_too_big {
        return packet.answer_too_big::<F, T>(tables);
    }
    code
}

#[inline(always)]
fn from_client<F: Family, P: Staged, T: Tables>(packet: &mut P, tables: &T) -> Code {
    let segment = or_stop!(parse::segment::<F, P>(packet, Event::PassVipOther));
    let config = or_stop!(tables.config().ok_or(Event::DropInternal));
    let is_known = match lookup::forward(tables, Buckets::of(config, &segment), &segment) {
        Some(half) if !(segment.flags.opens() && open::is_over(*half)) => {
            let leg = Leg { half, direction: Direction::In };
            if leg.is_settled(&segment, config) {
                return send(leg, packet, tables, &segment);
            }
            true
        }
        _ => false,
    };
    if !packet.is_for_us(tables) {
        return Code::stop(Event::PassOtherMac);
    }
    if !is_known {
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
    packet.handle_slow_path::<F, T>(tables)
}

/// Opens a session with this member.
#[inline(always)]
fn open_with<F: Family, P: Staged, T: Tables>(packet: &P, tables: &T, picked: Picked) -> Result<(), Event> {
    let opened = next_hop::both::<F, P, T>(packet, tables, picked)
        .and_then(|hops| packet.open_session::<F, T>(tables, picked, hops));
    if let Err(event) = opened {
        tables.count_refused(picked.listener(), event);
    }
    opened
}

#[inline(always)]
fn from_backend<F: Family, P: Staged, T: Tables>(packet: &mut P, tables: &T, local: u32) -> Code {
    let segment = or_stop!(parse::segment::<F, P>(packet, Event::PassLocalOther));
    let config = or_stop!(tables.config().ok_or(Event::DropInternal));
    let half = or_stop!(lookup::reverse(tables, config, local, &segment));
    let leg = Leg { half, direction: Direction::Out };
    if leg.is_settled(&segment, config) {
        return send(leg, packet, tables, &segment);
    }
    if !packet.is_for_us(tables) {
        return Code::stop(Event::PassOtherMac);
    }
    packet.handle_slow_path::<F, T>(tables)
}

/// Sends the packet of a settled session on.
#[inline(always)]
fn send<F: Family, P: Packet, T: Tables>(
    leg: Leg<'_, F>,
    packet: &mut P,
    tables: &T,
    segment: &Segment<F>,
) -> Code {
    let out = or_stop!(leg.interface(tables, segment.ttl, segment.total_len));
    or_stop!(rewrite::rewrite(packet, leg.half, segment.protocol, out));
    leg.keep_ack(segment);
    leg.account(packet, tables, segment, out).into()
}
