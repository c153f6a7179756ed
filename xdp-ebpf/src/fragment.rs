//! Fragments after the first: they have no ports, so they follow the first one by its addresses and identification,
//! through a small table that forgets the oldest.
//!
//! The first fragment is handled like a whole packet ([`crate::frame`]); it must come before the others.
//!
//! All keep their identification. So two clients who use the same one at the same time, behind the same local address
//! towards the same backend, mix their pieces there, as behind any NAT that does not reassemble; the checksum tells.

use crate::{
    abi::{FLAG_LIMITED, FLAG_MIXED, Fragment, FragmentKey, LISTENER_LAYER7, Service},
    address::Address,
    family::Family,
    leg::Leg,
    limit,
    lookup::{self, Owner},
    packet::Packet,
    parse::Segment,
    rewrite,
    tables::Tables,
    verdict::{Code, Event, Outcome},
    wire::{ETHERNET_LEN, Frame, IpHeader, Ipv4, UDP_LEN},
};

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`handle`].
    fn handle_fragment<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        handle::<F, Self, T>(self, tables).into()
    }
}

/// Seconds for which the fragments of a datagram may follow the first (RFC 8200, 4.5, gives them 60; Linux 30).
const LIFETIME: u32 = 30;

/// Remembers the ports of a first fragment with `len` bytes behind the IP header.
///
/// # Errors
/// [`Event::DropMalformed`] if it has none, or not a multiple of eight bytes.
#[inline(always)]
pub fn remember<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    id: u32,
    len: usize,
) -> Result<(), Event> {
    let frame = packet.at::<Frame<F::Ip, [[u8; 2]; 2]>>(0).ok_or(Event::DropMalformed)?;
    if len < UDP_LEN || !len.is_multiple_of(8) {
        return Err(Event::DropMalformed);
    }
    let [sport, dport] = frame.l4.map(u16::from_be_bytes);
    let ports = Fragment { sport, dport, first_len: len as u32, last_seen: tables.now() };
    tables.remember_fragment(&key::<F>(&frame.ip, id, frame.ip.protocol()), &ports);
    Ok(())
}

/// Whether a packet that the stages see as a whole is the first fragment of one.
#[inline(always)]
pub fn is_one<F: Family, P: Packet, T: Tables>(packet: &P, tables: &T) -> bool {
    if F::VERSION == 4 {
        packet.at::<F::Ip>(ETHERNET_LEN).is_some_and(|ip| ip.is_fragment())
    } else {
        tables.scratch().is_some_and(|scratch| scratch.fragment().get() != [0; 2])
    }
}

#[inline(always)]
fn key<F: Family>(ip: &F::Ip, id: u32, protocol: u8) -> FragmentKey {
    FragmentKey { src: ip.src().mapped(), dst: ip.dst().mapped(), id, protocol: protocol.into() }
}

/// What a later fragment says of itself.
struct Later {
    id: u32,
    protocol: u8,
    /// Bytes of the datagram before it.
    offset: usize,
    /// Its own bytes of it.
    len: usize,
}

/// Of a frame that is [`crate::frame::Kind::LaterFragment4`] or its sibling.
#[inline(always)]
fn later<F: Family, P: Packet>(packet: &P) -> Option<Later> {
    if F::VERSION == 4 {
        let ip = packet.at::<Ipv4>(ETHERNET_LEN)?;
        let offset = usize::from(ip.fragment.get() & 0x1fff) * 8;
        let len = usize::from(ip.total_len.get()) - F::IP_LEN;
        Some(Later { id: ip.id.get().into(), protocol: ip.protocol, offset, len })
    } else {
        // next header, reserved, offset and M, identification (RFC 8200, 4.5)
        let frame = packet.at::<Frame<F::Ip, [u8; 8]>>(0)?;
        let [protocol, _, high, low, a, b, c, d] = frame.l4;
        let len = (frame.ip.total_len() as usize).checked_sub(F::IP_LEN + 8)?;
        let offset = usize::from(u16::from_be_bytes([high, low]) & 0xfff8);
        Some(Later { id: u32::from_be_bytes([a, b, c, d]), protocol, offset, len })
    }
}

/// Sends a later fragment after the first one.
///
/// # Errors
/// [`Event::DropFragment`] if the first one did not come, if this one lies over it, or if its session's sides are of
/// two families; what else a packet can end with.
#[inline(always)]
pub fn handle<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    let ip = packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::PassNotIp)?;
    let owner = lookup::owner::<F, T>(tables, ip.dst());
    if owner == Owner::Other {
        return Err(Event::PassNotOurs);
    }
    let fragment = later::<F, P>(packet).ok_or(Event::DropMalformed)?;
    let total_len = ip.total_len();
    // IPv4 counts its header, IPv6 does not.
    let before = if F::VERSION == 4 { F::IP_LEN } else { 0 };
    if before + fragment.offset + fragment.len > usize::from(u16::MAX)
        || !packet.reaches(ETHERNET_LEN + total_len as usize)
    {
        return Err(Event::DropMalformed);
    }
    let first = tables.fragment(&key::<F>(ip, fragment.id, fragment.protocol)).ok_or(Event::DropFragment)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let age = tables.now().wrapping_sub(first.last_seen);
    if age > LIFETIME * config.jiffies_hz || fragment.offset < first.first_len as usize {
        return Err(Event::DropFragment);
    }
    let segment = Segment::<F> {
        sport: first.sport,
        dport: first.dport,
        protocol: fragment.protocol,
        total_len,
        ..Segment::of(ip)
    };
    let leg = Leg::of(tables, config, owner, &segment).map_err(|event| match event {
        Event::DropNoSession => without_session(tables, &segment),
        event => event,
    })?;
    let half = leg.half;
    if half.flags().get() & FLAG_MIXED != 0 {
        return Err(Event::DropFragment);
    }
    let out = leg.interface(tables, segment.ttl, total_len)?;
    if half.flags().get() & FLAG_LIMITED != 0 {
        limit::charge(tables, half.listener().get().into(), segment.total_len)?;
    }
    rewrite::rewrite_addresses(packet, half, out)?;
    tables.count(Event::FragmentForwarded);
    Ok(leg.account(packet, tables, &segment, out))
}

/// How a client's later fragment ends that is of no session: the first one of a Layer-7 listener's went up to the host.
#[inline(always)]
fn without_session<F: Family, T: Tables>(tables: &T, segment: &Segment<F>) -> Event {
    let service = Service::new(segment.dst.mapped(), segment.dport, segment.protocol);
    match lookup::listener(tables, &service) {
        Some((_, listener)) if listener.kind == LISTENER_LAYER7 => Event::PassLayer7,
        _ => Event::DropNoSession,
    }
}
