//! ICMP errors that we write ourselves: "too big" for a packet that does not fit the way out, and an error of one
//! family told in the other (RFC 7915, 4.2 and 5.2).
//!
//! Such an error has a fixed size: what it quotes is an IP header and eight bytes, which is what RFC 792 asks for and
//! all that a host needs to find the connection.

use crate::{
    abi::{Common, FLAG_MIXED, Half, Interface, PROTOCOL_TCP, PROTOCOL_UDP},
    address::Address,
    checksum::Sum,
    family::Family,
    leg::{self, Leg},
    lookup,
    packet::Packet,
    parse,
    shared::Shared,
    tables::{Direction, Tables},
    verdict::{Code, Event, Outcome},
    wire::{DEFAULT_TTL, ETHERNET_LEN, Ethernet, ICMP_LEN, Icmp, IpHeader, Mac, Quoted},
};

/// Where IPv6's next header field is: what a parameter problem points to (RFC 7915, 4.2).
const NEXT_HEADER: u16 = 6;

/// An error to be written, of family `F`.
struct Error<F: Family> {
    src: F::Address,
    dst: F::Address,
    kind: u8,
    code: u8,
    /// The header's last two bytes: an MTU or a pointer.
    word: u16,
    quoted: Quoted,
}

impl<F: Family> Error<F> {
    const LEN: usize = 2 * F::IP_LEN + ICMP_LEN + size_of::<Quoted>();
    /// Where the IP header is that it quotes.
    const INNER: usize = F::L4_OFFSET + ICMP_LEN;

    /// Writes it over a packet that is as long as it has to be, and in which the IP header that it quotes stands
    /// already.
    #[inline(always)]
    fn write<P: Packet>(&self, packet: &mut P, to: Mac, from: Mac) -> Option<()> {
        let ethernet = packet.at_mut::<Ethernet>(0)?;
        (ethernet.dst, ethernet.src) = (to.into(), from.into());
        ethernet.ethertype.set(F::ETHERTYPE);

        let icmp_len = (Self::LEN - F::IP_LEN) as u16;
        let protocol = F::ICMP.protocol;
        *packet.at_mut::<F::Ip>(ETHERNET_LEN)? =
            F::Ip::new(self.src, self.dst, protocol, DEFAULT_TTL, 0, icmp_len);
        *packet.at_mut::<Quoted>(Self::INNER + F::IP_LEN)? = self.quoted;

        let word = self.word.to_be_bytes();
        let quoted = self.quoted;
        let mut sum = Sum::ZERO.add2([self.kind, self.code]).add2(word).add2(quoted.sport).add2(quoted.dport);
        sum = sum.add2(quoted.word).add2(quoted.udp_checksum);
        sum = packet.at::<F::Ip>(Self::INNER)?.add_to(sum);
        if F::VERSION == 6 {
            // The pseudo-header (RFC 8200, 8.1).
            sum = self.dst.add_to(self.src.add_to(sum)).add2(icmp_len.to_be_bytes()).add2([0, protocol]);
        }
        let checksum = sum.update([0xff; 2]);
        *packet.at_mut::<Icmp>(F::L4_OFFSET)? =
            Icmp { kind: self.kind, code: self.code, checksum, high: [0; 2], word };
        Some(())
    }

    /// Cuts the packet to the error's length and copies its own IP header to where the error quotes it.
    #[inline(always)]
    fn quote<P: Packet>(packet: &mut P) -> Option<()> {
        packet.resize(ETHERNET_LEN + Self::LEN)?;
        // Word by word, in registers.
        for at in 0..F::IP_LEN / 4 {
            let word = *packet.at::<[u8; 4]>(ETHERNET_LEN + 4 * at)?;
            *packet.at_mut::<[u8; 4]>(Self::INNER + 4 * at)? = word;
        }
        Some(())
    }
}

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`too_big`].
    fn answer_too_big<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        too_big::<F, Self, T>(self, tables).into()
    }
}

/// Tells the sender of a packet that does not fit the way out what would: less by what TOA adds on the way.
///
/// # Errors
/// [`Event::DropOverMtu`] for an IPv4 packet that might have been fragmented; what else a packet can end with.
#[inline(always)]
pub fn too_big<F: Family, P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Event> {
    if packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::DropInternal)?.may_be_fragmented() {
        return Err(Event::DropOverMtu);
    }
    let segment = parse::segment::<F, P>(packet, Event::DropOverMtu)?;
    let config = tables.config().ok_or(Event::DropInternal)?;
    let owner = lookup::owner::<F, T>(tables, segment.dst);
    let Leg { half, direction } = Leg::of(tables, config, owner, &segment)?;
    let out = tables.interface(half.interface().get().into()).ok_or(Event::DropInternal)?;
    let mut mtu = out.mtu;
    if half.flags().get() & FLAG_MIXED != 0 {
        mtu = (mtu + F::IP_LEN as u32).saturating_sub(F::Other::IP_LEN as u32);
    }
    if direction == Direction::In && segment.protocol == PROTOCOL_TCP {
        mtu = mtu.saturating_sub(F::TOA_LEN as u32);
    }
    let quoted = *packet.at::<Quoted>(F::L4_OFFSET).ok_or(Event::DropInternal)?;
    let ethernet = packet.at::<Ethernet>(0).ok_or(Event::DropInternal)?;
    let (to, from) = (Mac::from(ethernet.src), Mac::from(ethernet.dst));
    let [kind, code] = F::ICMP.too_big;
    let error = Error::<F> { src: segment.dst, dst: segment.src, kind, code, word: told::<F>(mtu), quoted };
    Error::<F>::quote(packet).ok_or(Event::DropInternal)?;
    error.write(packet, to, from).ok_or(Event::DropInternal)?;
    tables.count(Event::IcmpTooBig);
    Ok(Outcome::Reply)
}

/// An MTU as an error of family `F` tells it.
#[inline(always)]
fn told<F: Family>(mtu: u32) -> u16 {
    (mtu.min(u16::MAX.into()) as u16).max(F::ICMP.least_mtu)
}

/// What an error of family `F` says, as far as the other family has a word for it.
pub(crate) struct Said {
    pub kind: u8,
    pub code: u8,
    pub mtu: u16,
    /// Of the packet that is quoted.
    pub protocol: u8,
    /// Likewise.
    pub ttl: u8,
    /// Likewise, bytes behind the IP header.
    pub payload_len: u16,
    /// As [`Quoted::word`].
    pub word: [u8; 2],
    /// As [`Quoted::udp_checksum`].
    pub udp_checksum: [u8; 2],
}

/// Type and code in the other family (RFC 7915, 4.2 and 5.2). `None`: it has none, or the error points into a header
/// that it does not know.
#[inline(always)]
const fn in_other_family<F: Family>(kind: u8, code: u8) -> Option<(u8, u8)> {
    if F::VERSION == 4 {
        match (kind, code) {
            (3, 4) => Some((2, 0)),
            (3, 2) => Some((4, 1)),
            (3, 3) => Some((1, 4)),
            (3, 9 | 10 | 13 | 15) => Some((1, 1)),
            (3, 0 | 1 | 5..=8 | 11 | 12) => Some((1, 0)),
            (11, code) => Some((3, code)),
            _ => None,
        }
    } else {
        match (kind, code) {
            (1, 4) => Some((3, 3)),
            (1, 1) => Some((3, 10)),
            (1, 0 | 2 | 3) => Some((3, 1)),
            (2, _) => Some((3, 4)),
            (3, code) => Some((11, code)),
            (4, 1) => Some((3, 2)),
            _ => None,
        }
    }
}

/// Sends an error of family `F` on to the side of a session that is of the other one. `half` leads there, and `peer`
/// is that side's half.
///
/// # Errors
/// [`Event::DropIcmp`] for an error that the other family does not know.
#[inline(always)]
pub(crate) fn translate<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    said: Said,
    half: Shared<'_, Common>,
    peer: Shared<'_, Half<F::Other>>,
    (direction, out): (Direction, &Interface),
) -> Result<Outcome, Event> {
    let (kind, code) = in_other_family::<F>(said.kind, said.code).ok_or(Event::DropIcmp)?;
    let word = if [kind, code] == <F::Other as Family>::ICMP.too_big {
        // What fits on the far side of us, seen from the near side.
        let mut mtu = (u32::from(said.mtu) + F::Other::IP_LEN as u32).saturating_sub(F::IP_LEN as u32);
        if direction == Direction::Out && said.protocol == PROTOCOL_TCP {
            mtu = mtu.saturating_sub(F::Other::TOA_LEN as u32);
        }
        told::<F::Other>(mtu)
    } else if (F::Other::VERSION, kind, code) == (6, 4, 1) {
        NEXT_HEADER
    } else {
        0
    };
    let mut udp_checksum = said.udp_checksum;
    if said.protocol == PROTOCOL_UDP && udp_checksum != [0; 2] {
        // What the half does to a checksum is, the other way round, what was done to the one that is quoted.
        udp_checksum = Sum::from_delta(half.l4_delta().get()).update(udp_checksum);
    }
    let error = Error::<F::Other> {
        src: peer.dst().get(),
        dst: peer.src().get(),
        kind,
        code,
        word,
        quoted: Quoted {
            sport: half.new_dport().get().to_be_bytes(),
            dport: half.new_sport().get().to_be_bytes(),
            word: said.word,
            udp_checksum,
        },
    };
    let (to, from) = (Mac::from(half.next_hop().get()), Mac::from(out.mac));
    packet.resize(ETHERNET_LEN + Error::<F::Other>::LEN).ok_or(Event::DropNoHeadroom)?;
    *packet.at_mut(Error::<F::Other>::INNER).ok_or(Event::DropInternal)? =
        <<F::Other as Family>::Ip as IpHeader>::new(
            error.dst,
            error.src,
            said.protocol,
            said.ttl,
            0,
            said.payload_len,
        );
    error.write(packet, to, from).ok_or(Event::DropInternal)?;
    tables.count(Event::IcmpTranslated);
    Ok(leg::way_out(half, out, packet))
}
