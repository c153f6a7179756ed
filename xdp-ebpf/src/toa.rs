//! The client's address as a TCP option (TOA): kind 254, right behind the 20-byte TCP header.
//!
//! A receiver parses one segment only: the one that creates the child socket. That may be the handshake's third
//! segment, or, if that was lost or the listener defers accept, the first with data; so every client segment
//! carries it until the backend has answered data or spoken first. For as long, and not longer, whatever a client sends
//! that a receiver could take for TOA is overwritten with NOPs, SYN included. Formats and receivers: `TCP_option_address` (Huawei), dpvs and
//! ucloud-toa.
//!
//! It has to have room: a SYN loses the options that would take it from later segments, and a segment whose options
//! leave none (a client answers a doubled SYN-ACK with 24 bytes of timestamps and SACK) keeps its timestamps alone.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    address::Address,
    checksum::Sum,
    family::Family,
    fragment,
    packet::Packet,
    parse::Segment,
    tables::Tables,
    verdict::Event,
    wire::{
        ETHERNET_LEN, Flags, Frame, IpHeader, MAX_OPTIONS, OPTION_END as END, OPTION_NOP as NOP, TCP_LEN, Tcp,
    },
};

/// Option kind of TOA.
pub const KIND: u8 = 254;

const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const TIMESTAMPS: u8 = 8;
/// Bytes of timestamps, the two NOPs that align them included (RFC 7323, appendix A).
const TIMESTAMPS_LEN: usize = 12;

/// This stage's functions that the kernel verifies once and apart: their loops, inlined behind every path that leads to
/// them, are more than the verifier follows.
pub trait OutOfLine: Packet + Sized {
    /// [`strip`], and then [`keep_timestamps`] if the segment `may_shrink` and has to.
    fn prepare_options<F: Family>(
        &mut self,
        header_len: usize,
        syn: bool,
        may_shrink: bool,
    ) -> Option<Prepared> {
        let stripped = strip::<F, Self>(self, header_len, syn)?;
        let must_shrink = may_shrink && must_shrink::<F>(header_len);
        let header_len = if must_shrink { keep_timestamps::<F, Self>(self, header_len)? } else { header_len };
        Some(Prepared { header_len, stripped })
    }

    /// [`lower_mss`].
    fn lower_mss<F: Family>(&mut self, header_len: usize, by: u16) -> Option<()> {
        lower_mss::<F, Self>(self, header_len, by)
    }
}

/// A client's segment when its options have been looked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Bytes of its TCP header by now.
    pub header_len: usize,
    /// Whether options were overwritten.
    pub stripped: bool,
}

/// Whether an option of a client's has to go. One could pass for TOA: kinds 253 and 254 are RFC 6994's experiments, 200 is
/// what ucloud's module also takes. Those of a SYN that ask for more than the four that every stack knows: what they
/// ask for takes TOA's room later (MPTCP, kind 30), or makes the child socket of the SYN, which carries no TOA (fast open,
/// kind 34).
#[inline(always)]
const fn must_go(kind: u8, syn: bool) -> bool {
    matches!(kind, 200 | 253 | 254)
        || (syn && !matches!(kind, MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS))
}

/// Whether a TCP header of this length leaves no room for TOA.
#[inline(always)]
pub const fn must_shrink<F: Family>(header_len: usize) -> bool {
    header_len + F::TOA_LEN > TCP_LEN + MAX_OPTIONS
}

/// What the client → backend direction does while TOA is on: strips, then inserts. `mtu` is the most bytes that the
/// packet may have as it came in, before its addresses are changed. `may_tell` says whether the client can be told that
/// a segment leaves no room below that, if it may not be fragmented: what it sends instead has room.
///
/// # Errors
/// [`Event::DropOverMtu`]: it is to be told. [`Event::DropInternal`] if the packet is not what `segment` says.
#[inline(always)]
pub fn outgoing<F: Family, P: OutOfLine, T: Tables>(
    packet: &mut P,
    tables: &T,
    segment: &Segment<F>,
    mtu: u32,
    may_tell: bool,
) -> Result<(), Event> {
    let syn = segment.flags.any(Flags::SYN);
    // The others of its fragments are where they are: this one can neither grow nor shrink.
    let is_fragment = fragment::is_one::<F, P, T>(packet, tables);
    let mut segment = *segment;
    if has_options_to_check(packet, &segment) {
        let may_shrink = !is_fragment && !syn;
        let prepared = packet.prepare_options::<F>(segment.header_len, syn, may_shrink);
        let Prepared { header_len, stripped } = prepared.ok_or(Event::DropInternal)?;
        segment.total_len = (segment.total_len + header_len as u32).wrapping_sub(segment.header_len as u32);
        segment.header_len = header_len;
        if stripped {
            tables.count(Event::ToaStripped);
        }
    }
    if segment.flags.any(Flags::RST) || (syn && segment.payload_len() == 0) {
        return Ok(());
    }
    let segment = &segment;
    let has_room = !is_fragment && !must_shrink::<F>(segment.header_len);
    let fits = segment.total_len + F::TOA_LEN as u32 <= mtu;
    if has_room
        && !fits
        && may_tell
        && packet.at::<F::Ip>(ETHERNET_LEN).is_some_and(|ip| !ip.may_be_fragmented())
    {
        return Err(Event::DropOverMtu);
    }
    let grown = has_room
        && fits
        && if F::VERSION == 4 { packet.grow_head::<8>() } else { packet.grow_head::<20>() }.is_ok();
    if grown {
        insert(packet, segment).ok_or(Event::DropInternal)?;
        tables.count(Event::ToaInserted);
    } else {
        tables.count(Event::ToaNoRoom);
    }
    Ok(())
}

/// All but the commonest case: no options, or the timestamps alone as every stack sends them.
#[inline(always)]
fn has_options_to_check<F: Family, P: Packet>(packet: &P, segment: &Segment<F>) -> bool {
    match segment.header_len {
        TCP_LEN => false,
        32 => packet.at::<[u8; 4]>(F::OPTIONS_OFFSET) != Some(&BEFORE_TIMESTAMPS),
        _ => true,
    }
}

/// Overwrites options that have to go with NOPs; whether there was one. `header_len` is that of the TCP header. `None` if
/// the packet is shorter.
///
/// Byte by byte at constant offsets: a walk from option to option would make the verifier follow an offset that the
/// packet decides, and give up.
#[inline(always)]
pub fn strip<F: Family, P: Packet>(packet: &mut P, header_len: usize, syn: bool) -> Option<bool> {
    let end = F::L4_OFFSET + header_len;
    let (mut left, mut blank, mut found) = (0, false, false);
    let mut sum = Sum::ZERO;
    for at in F::OPTIONS_OFFSET..F::OPTIONS_OFFSET + MAX_OPTIONS {
        if at >= end {
            break;
        }
        if left == 0 {
            match option(packet, at, end)? {
                Next::Option { kind, len } => (left, blank) = (len, must_go(kind, syn)),
                Next::Nop => continue,
                Next::End => break,
            }
        }
        if blank {
            let byte = packet.at_mut::<u8>(at)?;
            sum = sum.replace1(at, *byte, NOP);
            *byte = NOP;
            found = true;
        }
        left -= 1;
    }
    if found {
        add_to_checksum::<F, P>(packet, sum)?;
    }
    Some(found)
}

/// Timestamps and what stands in front of them.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Kept {
    before: [u8; 4],
    values: [[u8; 4]; 2],
}

/// What stands in front of the values of timestamps.
const BEFORE_TIMESTAMPS: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];

/// Takes all options off but timestamps that come first, as every stack sends them; if none do, NOPs take their place.
/// Returns how long the TCP header is now, which was `header_len`; `None` if the packet is shorter, or the header.
///
/// What is lost is of no use to a backend that has no socket yet: SACK, padding, what it did not agree to.
#[inline(always)]
pub fn keep_timestamps<F: Family, P: Packet>(packet: &mut P, header_len: usize) -> Option<usize> {
    const KEPT: usize = TCP_LEN + TIMESTAMPS_LEN;
    let surplus = header_len.checked_sub(KEPT)?;
    let mut sum = Sum::ZERO;
    for word in 0..MAX_OPTIONS / 4 {
        let at = F::OPTIONS_OFFSET + 4 * word;
        if at >= F::L4_OFFSET + header_len {
            break;
        }
        sum = sum.sub4(*packet.at::<[u8; 4]>(at)?);
    }
    let mut kept = *packet.at::<Kept>(F::OPTIONS_OFFSET)?;
    if kept.before != BEFORE_TIMESTAMPS {
        kept = Kept { before: [NOP; 4], values: [[NOP; 4]; 2] };
    }
    sum = sum.add4(kept.before).add4(kept.values[0]).add4(kept.values[1]);
    // From the back, because source and destination overlap; in registers: see `insert`.
    *packet.at_mut::<Kept>(F::OPTIONS_OFFSET + surplus)? = kept;
    if F::VERSION == 4 {
        move_by::<P, 2>(packet, 52, surplus)?;
        move_by::<P, 4>(packet, 48, surplus)?;
    } else {
        move_by::<P, 2>(packet, 72, surplus)?;
        move_by::<P, 8>(packet, 64, surplus)?;
        move_by::<P, 8>(packet, 56, surplus)?;
        move_by::<P, 8>(packet, 48, surplus)?;
    }
    for piece in 0..6 {
        move_by::<P, 8>(packet, 40 - 8 * piece, surplus)?;
    }
    packet.shrink_head_by(surplus)?;
    let frame = packet.at_mut::<Frame<F::Ip, Tcp>>(0)?;
    let shorter = frame.ip.lengthen((surplus as u16).wrapping_neg());
    let old_offset = frame.l4.data_offset;
    frame.l4.data_offset = old_offset.wrapping_sub((surplus as u8 / 4) << 4);
    let sum = sum.add(shorter).replace1(0, old_offset, frame.l4.data_offset);
    frame.l4.checksum = sum.update(frame.l4.checksum);
    Some(KEPT)
}

/// What stands where an option begins.
enum Next {
    Option {
        kind: u8,
        len: usize,
    },
    Nop,
    /// End of options, or one with a length that no receiver believes: below 2 or past the header.
    End,
}

/// What begins at `at`, below `end`. `None` if the packet is shorter.
#[inline(always)]
fn option<P: Packet>(packet: &P, at: usize, end: usize) -> Option<Next> {
    let kind = *packet.at::<u8>(at)?;
    if kind == NOP {
        return Some(Next::Nop);
    }
    if kind == END || at + 1 >= end {
        return Some(Next::End);
    }
    let len = usize::from(*packet.at::<u8>(at + 1)?);
    Some(if len >= 2 && at + len <= end { Next::Option { kind, len } } else { Next::End })
}

#[inline(always)]
fn add_to_checksum<F: Family, P: Packet>(packet: &mut P, sum: Sum) -> Option<()> {
    let tcp = packet.at_mut::<Tcp>(F::L4_OFFSET)?;
    tcp.checksum = sum.update(tcp.checksum);
    Some(())
}

/// Fills the gap that `grow_head` made: moves the headers up and puts the option behind them.
#[inline(always)]
fn insert<F: Family, P: Packet>(packet: &mut P, segment: &Segment<F>) -> Option<()> {
    // From the front, because source and destination overlap; in registers, because the stack cannot be accessed
    // unaligned as packets can.
    let by = F::TOA_LEN;
    move_up::<P, 8>(packet, 0, by)?;
    move_up::<P, 8>(packet, 8, by)?;
    move_up::<P, 8>(packet, 16, by)?;
    move_up::<P, 8>(packet, 24, by)?;
    move_up::<P, 8>(packet, 32, by)?;
    move_up::<P, 8>(packet, 40, by)?;
    if F::VERSION == 4 {
        move_up::<P, 4>(packet, 48, by)?;
        move_up::<P, 2>(packet, 52, by)?;
    } else {
        move_up::<P, 8>(packet, 48, by)?;
        move_up::<P, 8>(packet, 56, by)?;
        move_up::<P, 8>(packet, 64, by)?;
        move_up::<P, 2>(packet, 72, by)?;
    }
    let frame = packet.at_mut::<Frame<F::Ip, Tcp>>(0)?;
    // The TCP length in the pseudo-header grows by as much as the packet does.
    let longer = frame.ip.lengthen(F::TOA_LEN as u16);
    let old_offset = frame.l4.data_offset;
    let new_offset = old_offset + ((F::TOA_LEN as u8 / 4) << 4);
    let option =
        Toa { kind: KIND, len: F::TOA_LEN as u8, port: segment.sport.to_be_bytes(), address: segment.src };
    frame.l4.data_offset = new_offset;
    let sum = longer.replace1(0, old_offset, new_offset).add2([option.kind, option.len]).add2(option.port);
    frame.l4.checksum = option.address.add_to(sum).update(frame.l4.checksum);
    *packet.at_mut::<Toa<F::Address>>(F::OPTIONS_OFFSET)? = option;
    Some(())
}

/// The option for a client with such an address.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Toa<A> {
    kind: u8,
    len: u8,
    /// Network order.
    port: [u8; 2],
    address: A,
}

#[inline(always)]
fn move_up<P: Packet, const N: usize>(packet: &mut P, to: usize, by: usize) -> Option<()> {
    let bytes = *packet.at::<[u8; N]>(to + by)?;
    *packet.at_mut::<[u8; N]>(to)? = bytes;
    Some(())
}

/// The same down, to `from + by`.
#[inline(always)]
fn move_by<P: Packet, const N: usize>(packet: &mut P, from: usize, by: usize) -> Option<()> {
    let bytes = *packet.at::<[u8; N]>(from)?;
    *packet.at_mut::<[u8; N]>(from + by)? = bytes;
    Some(())
}

/// Lowers the MSS that a backend announces in its SYN-ACK by what TOA adds, so that full segments still fit.
/// `None` if the packet is shorter than `header_len` says.
#[inline(always)]
pub fn lower_mss<F: Family, P: Packet>(packet: &mut P, header_len: usize, by: u16) -> Option<()> {
    let end = F::L4_OFFSET + header_len;
    let mut left = 0;
    for at in F::OPTIONS_OFFSET..F::OPTIONS_OFFSET + MAX_OPTIONS {
        if at >= end {
            break;
        }
        if left == 0 {
            match option(packet, at, end)? {
                Next::Option { kind: MSS, len: 4 } => return lower_value::<F, P>(packet, at + 2, by),
                Next::Option { len, .. } => left = len,
                Next::Nop => continue,
                Next::End => break,
            }
        }
        left -= 1;
    }
    Some(())
}

#[inline(always)]
fn lower_value<F: Family, P: Packet>(packet: &mut P, at: usize, by: u16) -> Option<()> {
    let value = packet.at_mut::<[u8; 2]>(at)?;
    let old = *value;
    *value = u16::from_be_bytes(old).saturating_sub(by).to_be_bytes();
    let sum = Sum::ZERO.replace1(at, old[0], value[0]).replace1(at + 1, old[1], value[1]);
    add_to_checksum::<F, P>(packet, sum)
}
