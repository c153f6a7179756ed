//! ICMP errors about our flows (RFC 792, RFC 1191): the packet that an error quotes is one that we had rewritten, so
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

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, network_endian::U16};

use crate::{
    abi::{Config, Half, PROTOCOL_TCP, PROTOCOL_UDP},
    checksum::Sum,
    lookup::{self, Buckets, Owner},
    packet::Packet,
    parse::Segment,
    shared::Shared,
    tables::{Direction, Tables},
    toa,
    verdict::{Event, Outcome},
    wire::{ETHERNET_LEN, Ethernet, Flags, IPV4_LEN, Ipv4, UDP_LEN},
};

/// `IPPROTO_ICMP`.
const PROTOCOL_ICMP: u8 = 1;
const UNREACHABLE: u8 = 3;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;
/// Code of [`UNREACHABLE`]: fragmentation needed, with the next hop's MTU.
const TOO_BIG: u8 = 4;
/// The least MTU of IPv4 (RFC 791).
const LEAST_MTU: u16 = 68;

/// An ICMP error and what it quotes, as far as it must (RFC 792: the IP header and eight bytes).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Quotation {
    ethernet: Ethernet,
    ip: Ipv4,
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    unused: [u8; 2],
    /// Only of [`TOO_BIG`].
    mtu: U16,
    inner: Ipv4,
    sport: U16,
    dport: U16,
    /// UDP's length, or half of TCP's sequence number.
    word: [u8; 2],
    /// UDP's checksum, or the other half.
    udp_checksum: [u8; 2],
}

/// Handles a packet that is neither TCP nor UDP to a port of ours; `otherwise` is how it ends if it is no ICMP error
/// about a session.
///
/// # Errors
/// The event with which it ends.
#[inline(always)]
pub fn translate<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    otherwise: Event,
) -> Result<Outcome, Event> {
    let ip = packet.at::<Ipv4>(ETHERNET_LEN).ok_or(otherwise)?;
    if ip.protocol != PROTOCOL_ICMP || ip.version_ihl != 0x45 || ip.is_fragment() {
        return Err(otherwise);
    }
    let error = packet.at::<Quotation>(0).ok_or(otherwise)?;
    let (kind, inner) = (error.kind, &error.inner);
    if !matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
        || !matches!(inner.protocol, PROTOCOL_TCP | PROTOCOL_UDP)
        || inner.version_ihl != 0x45
        || usize::from(error.ip.total_len.get()) < size_of::<Quotation>() - ETHERNET_LEN
    {
        return Err(otherwise);
    }
    if !packet.reaches(ETHERNET_LEN + usize::from(error.ip.total_len.get())) {
        return Err(Event::DropMalformed);
    }
    // Whoever gets the error must be who sent the packet. Of a later fragment there are no ports to quote.
    if inner.src != error.ip.dst || inner.fragment.get() & 0x1fff != 0 {
        return Err(Event::DropIcmp);
    }
    let config = tables.config().ok_or(Event::DropInternal)?;
    let (half, direction) = quoted(tables, config, error).ok_or(otherwise)?;
    let ttl = error.ip.ttl;
    if ttl <= 1 {
        return Err(Event::DropTtl);
    }
    let out = tables.interface(u32::from(half.interface().get())).ok_or(Event::DropInternal)?;
    if u32::from(error.ip.total_len.get()) > out.mtu {
        return Err(Event::DropOverMtu);
    }
    let error = packet.at_mut::<Quotation>(0).ok_or(Event::DropInternal)?;
    error.ethernet.dst = half.next_hop().get();
    error.ethernet.src = out.mac;
    rewrite(error, half, direction);
    tables.count(Event::IcmpTranslated);
    Ok(if out.index == packet.ingress() { Outcome::Tx } else { Outcome::Redirect(half.interface().get()) })
}

/// The half in whose direction the error has to go on, and that direction.
#[inline(always)]
fn quoted<'a, T: Tables>(
    tables: &'a T,
    config: &Config,
    error: &Quotation,
) -> Option<(Shared<'a, Half>, Direction)> {
    // The other direction of the packet that is quoted.
    let answer = Segment {
        src: error.inner.dst,
        dst: error.inner.src,
        sport: error.dport.get(),
        dport: error.sport.get(),
        protocol: error.inner.protocol,
        seq: 0,
        ack: 0,
        flags: Flags::default(),
        ttl: 0,
        total_len: (IPV4_LEN + UDP_LEN) as u16,
        header_len: UDP_LEN,
    };
    match lookup::owner(tables, error.ip.dst) {
        Owner::Vip => {
            let half = lookup::forward(tables, Buckets::of(config, &answer), &answer)?;
            Some((half, Direction::In))
        }
        Owner::Local(local) => {
            let half = lookup::reverse(tables, config, local, &answer).ok()?;
            Some((half, Direction::Out))
        }
        Owner::Other => None,
    }
}

/// Turns the error to whom the half leads. What the half rewrites a packet of its direction to is, the other way
/// round, what the one that is quoted was before.
#[inline(always)]
fn rewrite(error: &mut Quotation, half: Shared<'_, Half>, direction: Direction) {
    let (src, dst) = (half.new_src().get(), half.new_dst().get());
    let (sport, dport) = (half.new_sport().get().to_be_bytes(), half.new_dport().get().to_be_bytes());

    let outer = Sum::ZERO.sub4(error.ip.src).sub4(error.ip.dst).add4(src).add4(dst).sub2([1, 0]);
    error.ip.checksum = outer.update(error.ip.checksum);
    error.ip.ttl = error.ip.ttl.wrapping_sub(1);
    (error.ip.src, error.ip.dst) = (src, dst);

    let addresses = Sum::ZERO.sub4(error.inner.src).sub4(error.inner.dst).add4(dst).add4(src);
    let ports = Sum::ZERO
        .sub2(error.sport.get().to_be_bytes())
        .sub2(error.dport.get().to_be_bytes())
        .add2(dport)
        .add2(sport);
    let inner_checksum = addresses.update(error.inner.checksum);
    let mut quotation = addresses.add(ports).sub2(error.inner.checksum).add2(inner_checksum);
    error.inner.checksum = inner_checksum;
    (error.inner.src, error.inner.dst) = (dst, src);
    error.sport.set(half.new_dport().get());
    error.dport.set(half.new_sport().get());
    if error.inner.protocol == PROTOCOL_UDP && error.udp_checksum != [0; 2] {
        let checksum = addresses.add(ports).update(error.udp_checksum);
        quotation = quotation.sub2(error.udp_checksum).add2(checksum);
        error.udp_checksum = checksum;
    }
    // The client's packets grow by TOA on their way.
    if direction == Direction::Out
        && error.kind == UNREACHABLE
        && error.code == TOO_BIG
        && error.inner.protocol == PROTOCOL_TCP
    {
        let old = error.mtu.get();
        let new = old.saturating_sub(toa::LEN_V4 as u16).max(LEAST_MTU).min(old);
        quotation = quotation.sub2(old.to_be_bytes()).add2(new.to_be_bytes());
        error.mtu.set(new);
    }
    error.checksum = quotation.update(error.checksum);
}
