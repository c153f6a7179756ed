//! ICMP errors about our flows (RFC 792, RFC 1191; RFC 4443, RFC 8201): the packet that an error quotes is one that we had rewritten, so
//! the quotation is turned back into what its sender had sent, and the error goes on to that sender.
//!
//! ```text
//! a router says to the VIP         "VIP → client did not get through"
//!   → the backend hears from us    "backend → local address did not get through"
//! a router says to a local address "local address → backend did not get through"
//!   → the client hears from a VIP  "client → VIP did not get through", and an MTU that leaves room for TOA
//! ```
//!
//! An error that quotes no session of ours goes up to the host, who may have sent that packet itself.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    abi::{Common, Config, FLAG_MIXED, Half, PROTOCOL_TCP, PROTOCOL_UDP},
    address::Address,
    checksum::Sum,
    echo,
    family::Family,
    icmp_error::{self, Said},
    leg::{self, Leg},
    lookup,
    packet::Packet,
    parse::Segment,
    rewrite,
    shared::Shared,
    tables::{Direction, Tables},
    tcp_state,
    verdict::{Code, Event, Outcome},
    wire::{ETHERNET_LEN, Ethernet, Icmp, IpHeader, Quoted},
};

/// An ICMP error and what it quotes.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Quotation<Ip> {
    ethernet: Ethernet,
    ip: Ip,
    icmp: Icmp,
    inner: Ip,
    quoted: Quoted,
}

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`translate`].
    fn translate_icmp<F: Family, T: Tables>(&mut self, tables: &T, otherwise: Event) -> Code {
        translate::<F, Self, T>(self, tables, otherwise).into()
    }
}

/// Handles a packet that is neither TCP nor UDP to a port of ours; `otherwise` is how it ends if it is no ICMP error
/// about a session.
///
/// # Errors
/// The event with which it ends.
#[inline(always)]
pub fn translate<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    otherwise: Event,
) -> Result<Outcome, Event> {
    let names = F::ICMP;
    let ip = packet.at::<F::Ip>(ETHERNET_LEN).ok_or(otherwise)?;
    if ip.protocol() != names.protocol {
        return Err(otherwise);
    }
    if otherwise == Event::PassVipOther
        && let Some(answer) = echo::answer::<F, P>(packet)
    {
        tables.count(Event::EchoAnswered);
        return Ok(answer);
    }
    let error = packet.at::<Quotation<F::Ip>>(0).ok_or(otherwise)?;
    let inner = &error.inner;
    let total_len = error.ip.total_len();
    if !names.is_error(error.icmp.kind)
        || !matches!(inner.protocol(), PROTOCOL_TCP | PROTOCOL_UDP)
        || !inner.is_normalised()
        || (total_len as usize) < size_of::<Quotation<F::Ip>>() - ETHERNET_LEN
    {
        return Err(otherwise);
    }
    if !packet.reaches(ETHERNET_LEN + total_len as usize) {
        return Err(Event::DropMalformed);
    }
    // Whoever gets the error must be who sent the packet. Of a later fragment there are no ports to quote.
    if inner.src() != error.ip.dst() || inner.is_later_fragment() {
        return Err(Event::DropIcmp);
    }
    let config = tables.config().ok_or(Event::DropInternal)?;
    let Leg { half, direction } = quoted::<F, T>(tables, config, error).ok_or(otherwise)?;
    if inner.protocol() == PROTOCOL_TCP && !is_under_way(*half, error.quoted) {
        return Err(Event::DropIcmp);
    }
    let mtu = error.icmp.mtu(F::VERSION);
    let is_too_big = [error.icmp.kind, error.icmp.code] == names.too_big;
    if direction == Direction::In && is_too_big && u32::from(mtu) < config.min_path_mtu {
        return Err(Event::DropPathMtu);
    }
    if error.ip.ttl() <= 1 {
        return Err(Event::DropTtl);
    }
    let out = tables.interface(u32::from(half.interface().get())).ok_or(Event::DropInternal)?;
    if out.index == 0 {
        // It was taken out of the configuration.
        return Err(Event::DropInterface);
    }
    if half.flags().get() & FLAG_MIXED != 0 {
        let peer = match direction {
            Direction::In => tables.reverse::<F::Other>(half.peer().get()),
            Direction::Out => tables.forward::<F::Other>(half.peer().get()),
        };
        let said = Said {
            kind: error.icmp.kind,
            code: error.icmp.code,
            mtu,
            protocol: inner.protocol(),
            ttl: inner.ttl(),
            payload_len: inner.total_len().checked_sub(F::IP_LEN as u32).ok_or(Event::DropIcmp)? as u16,
            word: error.quoted.word,
            udp_checksum: error.quoted.udp_checksum,
        };
        let peer = peer.ok_or(Event::DropInternal)?;
        return icmp_error::translate::<F, P, T>(packet, tables, said, *half, peer, (direction, out));
    }
    if total_len > out.mtu {
        return Err(Event::DropOverMtu);
    }
    let error = packet.at_mut::<Quotation<F::Ip>>(0).ok_or(Event::DropInternal)?;
    rewrite::link(&mut error.ethernet, *half, out);
    turn(error, half, direction);
    tables.count(Event::IcmpTranslated);
    Ok(leg::way_out(*half, out, packet))
}

/// The leg on which the error has to go on.
#[inline(always)]
fn quoted<'a, F: Family, T: Tables>(
    tables: &'a T,
    config: &Config,
    error: &Quotation<F::Ip>,
) -> Option<Leg<'a, F>> {
    // The other direction of the packet that is quoted.
    let answer = Segment::<F> {
        src: error.inner.dst(),
        dst: error.inner.src(),
        sport: u16::from_be_bytes(error.quoted.dport),
        dport: u16::from_be_bytes(error.quoted.sport),
        ..Segment::of(&error.inner)
    };
    Leg::of(tables, config, lookup::owner::<F, T>(tables, error.ip.dst()), &answer).ok()
}

/// Whether what is quoted of a TCP segment can be on its way to whom the half is from: it has acknowledged nothing behind
/// that, as [`tcp_state::WINDOW`] has it. The SYN and the SYN-ACK take a number too.
#[inline(always)]
fn is_under_way(half: Shared<'_, Common>, quoted: Quoted) -> bool {
    quoted.seq().wrapping_sub(half.ack().get().wrapping_sub(1)) <= tcp_state::WINDOW
}

/// Turns the error to whom the half leads. What the half rewrites a packet of its direction to is, the other way
/// round, what the one that is quoted was before.
#[inline(always)]
fn turn<F: Family>(error: &mut Quotation<F::Ip>, half: Shared<'_, Half<F>>, direction: Direction) {
    let names = F::ICMP;
    let (src, dst) = (half.new_src().get(), half.new_dst().get());
    let (sport, dport) = (half.new_sport().get().to_be_bytes(), half.new_dport().get().to_be_bytes());

    let taken = error.ip.dst().take_from(error.ip.src().take_from(Sum::ZERO));
    let outer = dst.add_to(src.add_to(taken));
    error.ip.turn(src, dst, outer.sub2([1, 0]).delta());

    let taken = error.inner.dst().take_from(error.inner.src().take_from(Sum::ZERO));
    let addresses = dst.add_to(src.add_to(taken));
    let ports = Sum::ZERO.sub2(error.quoted.sport).sub2(error.quoted.dport).add2(dport).add2(sport);
    let mut quotation = error.inner.readdress(dst, src, addresses).add(ports);
    if F::VERSION == 6 {
        // Its checksum covers the outer addresses too (RFC 4443, 2.3).
        quotation = quotation.add(outer);
    }
    (error.quoted.sport, error.quoted.dport) = (dport, sport);
    if error.inner.protocol() == PROTOCOL_UDP && error.quoted.udp_checksum != [0; 2] {
        let checksum = addresses.add(ports).update(error.quoted.udp_checksum);
        quotation = quotation.sub2(error.quoted.udp_checksum).add2(checksum);
        error.quoted.udp_checksum = checksum;
    }
    // The client's packets grow by TOA on their way.
    if direction == Direction::Out
        && [error.icmp.kind, error.icmp.code] == names.too_big
        && error.inner.protocol() == PROTOCOL_TCP
    {
        let old = u16::from_be_bytes(error.icmp.word);
        let new = old.saturating_sub(F::TOA_LEN as u16).max(names.least_mtu).min(old).to_be_bytes();
        quotation = quotation.sub2(error.icmp.word).add2(new);
        error.icmp.word = new;
    }
    error.icmp.checksum = quotation.update(error.icmp.checksum);
}
