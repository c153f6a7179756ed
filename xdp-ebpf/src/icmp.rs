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
    abi::{Config, FLAG_MIXED, Half, PROTOCOL_TCP, PROTOCOL_UDP},
    address::Address,
    checksum::Sum,
    echo,
    family::Family,
    icmp_error::{self, Said},
    leg,
    lookup::{self, Buckets, Owner},
    packet::Packet,
    parse::Segment,
    shared::Shared,
    tables::{Direction, Mac, Tables},
    verdict::{Code, Event, Outcome},
    wire::{ETHERNET_LEN, Ethernet, Flags, IpHeader, UDP_LEN},
};

/// What the two ICMPs call the same things.
pub(crate) struct Names {
    /// The IP protocol.
    pub protocol: u8,
    /// The types of errors, from the first to the last.
    errors: [u8; 2],
    /// Type and code of "too big", which has the next hop's MTU in its last two bytes (IPv6: four).
    pub too_big: [u8; 2],
    /// The least MTU that a link may have.
    pub least_mtu: u16,
    /// Types of ping and its answer.
    pub echo_request: u8,
    /// See `echo_request`.
    pub echo_answer: u8,
}

/// RFC 792 and RFC 791. Of the types 3 to 12, 3, 11 and 12 quote a packet, and so do 4 and 5, which nobody should
/// send or believe any more (RFC 6633, RFC 1812): they are not ours to forward.
const V4: Names =
    Names { protocol: 1, errors: [3, 12], too_big: [3, 4], least_mtu: 68, echo_request: 8, echo_answer: 0 };
/// RFC 4443 and RFC 8200.
const V6: Names = Names {
    protocol: 58,
    errors: [1, 4],
    too_big: [2, 0],
    least_mtu: 1280,
    echo_request: 128,
    echo_answer: 129,
};

impl Names {
    /// Those of this family.
    pub const fn of<F: Family>() -> Self {
        if F::VERSION == 4 { V4 } else { V6 }
    }

    #[inline(always)]
    fn is_error(&self, kind: u8) -> bool {
        let [first, last] = self.errors;
        (first..=last).contains(&kind) && (self.protocol == V6.protocol || !(4..=10).contains(&kind))
    }
}

/// An ICMP error and what it quotes, as far as it must (RFC 792: the IP header and eight bytes).
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Quotation<Ip> {
    ethernet: Ethernet,
    ip: Ip,
    kind: u8,
    code: u8,
    checksum: [u8; 2],
    unused: [u8; 2],
    /// Only of "too big".
    mtu: [u8; 2],
    inner: Ip,
    sport: [u8; 2],
    dport: [u8; 2],
    /// UDP's length, or half of TCP's sequence number.
    word: [u8; 2],
    /// UDP's checksum, or the other half.
    udp_checksum: [u8; 2],
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
    let names = Names::of::<F>();
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
    if !names.is_error(error.kind)
        || !matches!(inner.protocol(), PROTOCOL_TCP | PROTOCOL_UDP)
        || !inner.is_plain()
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
    let (half, direction) = quoted::<F, T>(tables, config, error).ok_or(otherwise)?;
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
        let [word, checksum] = [error.word, error.udp_checksum];
        let whole = error.unused == [0; 2] || names.protocol != V6.protocol;
        let said = Said {
            kind: error.kind,
            code: error.code,
            mtu: if whole { u16::from_be_bytes(error.mtu) } else { u16::MAX },
            protocol: inner.protocol(),
            ttl: inner.ttl(),
            payload_len: inner.total_len().checked_sub(F::IP_LEN as u32).ok_or(Event::DropIcmp)? as u16,
            rest: [word[0], word[1], checksum[0], checksum[1]],
        };
        let peer = peer.ok_or(Event::DropInternal)?;
        return icmp_error::translate::<F, P, T>(packet, tables, said, *half, peer, (direction, out));
    }
    if total_len > out.mtu {
        return Err(Event::DropOverMtu);
    }
    let error = packet.at_mut::<Quotation<F::Ip>>(0).ok_or(Event::DropInternal)?;
    error.ethernet.dst = Mac::from(half.next_hop().get()).into();
    error.ethernet.src = Mac::from(out.mac).into();
    rewrite(error, half, direction);
    tables.count(Event::IcmpTranslated);
    Ok(leg::way_out(*half, out, packet))
}

/// The half in whose direction the error has to go on, and that direction.
#[inline(always)]
fn quoted<'a, F: Family, T: Tables>(
    tables: &'a T,
    config: &Config,
    error: &Quotation<F::Ip>,
) -> Option<(Shared<'a, Half<F>>, Direction)> {
    // The other direction of the packet that is quoted.
    let answer = Segment::<F> {
        src: error.inner.dst(),
        dst: error.inner.src(),
        sport: u16::from_be_bytes(error.dport),
        dport: u16::from_be_bytes(error.sport),
        protocol: error.inner.protocol(),
        seq: 0,
        ack: 0,
        flags: Flags::default(),
        ttl: 0,
        total_len: (F::IP_LEN + UDP_LEN) as u32,
        header_len: UDP_LEN,
    };
    match lookup::owner::<F, T>(tables, error.ip.dst()) {
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
fn rewrite<F: Family>(error: &mut Quotation<F::Ip>, half: Shared<'_, Half<F>>, direction: Direction) {
    let names = Names::of::<F>();
    let (src, dst) = (half.new_src().get(), half.new_dst().get());
    let (sport, dport) = (half.new_sport().get().to_be_bytes(), half.new_dport().get().to_be_bytes());

    let taken = error.ip.dst().take_from(error.ip.src().take_from(Sum::ZERO));
    let outer = dst.add_to(src.add_to(taken));
    error.ip.turn(src, dst, outer.sub2([1, 0]).delta());

    let taken = error.inner.dst().take_from(error.inner.src().take_from(Sum::ZERO));
    let addresses = dst.add_to(src.add_to(taken));
    let ports = Sum::ZERO.sub2(error.sport).sub2(error.dport).add2(dport).add2(sport);
    let mut quotation = error.inner.readdress(dst, src, addresses).add(ports);
    if names.protocol == V6.protocol {
        // Its checksum covers the outer addresses too (RFC 4443, 2.3).
        quotation = quotation.add(outer);
    }
    (error.sport, error.dport) = (dport, sport);
    if error.inner.protocol() == PROTOCOL_UDP && error.udp_checksum != [0; 2] {
        let checksum = addresses.add(ports).update(error.udp_checksum);
        quotation = quotation.sub2(error.udp_checksum).add2(checksum);
        error.udp_checksum = checksum;
    }
    // The client's packets grow by TOA on their way.
    if direction == Direction::Out
        && [error.kind, error.code] == names.too_big
        && error.inner.protocol() == PROTOCOL_TCP
    {
        let old = u16::from_be_bytes(error.mtu);
        let new = old.saturating_sub(F::TOA_LEN as u16).max(names.least_mtu).min(old).to_be_bytes();
        quotation = quotation.sub2(error.mtu).add2(new);
        error.mtu = new;
    }
    error.checksum = quotation.update(error.checksum);
}
