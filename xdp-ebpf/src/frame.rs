//! Frames that need normalising: VLAN tags, IPv4 options, IPv6 extension headers, fragments.
//!
//! The stages know where everything is in a normalised frame. So whatever stands between is taken off first and, where it
//! must not be lost, put back at the end:
//!
//! - VLAN tags are put back if the frame goes up to the host. A frame that is forwarded gets the tags of the interface
//!   that it leaves by.
//! - Options of IPv4 and of IPv6 (hop-by-hop, routing, destination) were for the way to us. They end here.
//! - The header of an IPv6 fragment is put back.
//!
//! Of a fragmented datagram only the first fragment has ports; it goes through the stages like any packet, and
//! [`crate::fragment`] sends the others after it.

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    network_endian::{U16, U32},
};

use crate::{
    abi::{MAX_INTERFACES, PROTOCOL_TCP, PROTOCOL_UDP, Scratch},
    checksum::Sum,
    family::{Family, V4, V6},
    fragment,
    lookup::{self, Owner},
    packet::Packet,
    shared::Shared,
    tables::Tables,
    verdict::{Code, Event, Outcome},
    wire::{ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Frame, Icmp, IpHeader, Ipv4, Ipv6, Mac},
};

/// This stage's functions that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`normalise`].
    ///
    /// # Errors
    /// As there.
    fn normalise<T: Tables>(&mut self, tables: &T) -> Result<Kind, Event> {
        normalise(self, tables)
    }

    /// [`restore`].
    fn restore<T: Tables>(&mut self, tables: &T, code: Code) -> Code {
        restore(self, tables, code)
    }

    /// [`tag`] with the tags of the interface in this slot.
    ///
    /// # Errors
    /// The event with which the packet ends instead.
    fn tag<T: Tables>(&mut self, tables: &T, slot: u8) -> Result<(), Event> {
        tag(self, tables.interface(slot.into()).ok_or(Event::DropInternal)?.tags)
    }

    /// [`is_for_us`].
    fn is_for_us<T: Tables>(&self, tables: &T) -> bool {
        is_for_us(self, tables)
    }

    /// [`way_back`].
    fn way_back<T: Tables>(&self, tables: &T) -> Code {
        way_back(self, tables).into()
    }
}

/// The way that a frame has to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// IPv4 without options, whole or a first fragment.
    V4 = 0,
    /// IPv6 without extension headers, or what is not [`Kind::NeedsNormalising`].
    V6 = 1,
    /// A later fragment, without options.
    LaterFragment4 = 2,
    /// A later fragment, with its fragment header and no other.
    LaterFragment6 = 3,
    /// [`normalise`] has to look.
    NeedsNormalising = 4,
    /// Not IP.
    Other = 5,
}

impl Kind {
    /// The kind with this number; [`Kind::Other`] for any other.
    #[inline(always)]
    pub const fn from_u32(number: u32) -> Self {
        match number {
            0 => Kind::V4,
            1 => Kind::V6,
            2 => Kind::LaterFragment4,
            3 => Kind::LaterFragment6,
            4 => Kind::NeedsNormalising,
            _ => Kind::Other,
        }
    }

    /// The kind of a frame as it comes in.
    #[inline(always)]
    pub fn of<P: Packet>(packet: &P) -> Self {
        let Some(ethernet) = packet.at::<Ethernet>(0) else { return Kind::Other };
        match ethernet.ethertype.get() {
            ETHERTYPE_IPV4 => match packet.at::<Ipv4>(ETHERNET_LEN) {
                Some(ip) if ip.is_normalised() && !ip.is_fragment() => Kind::V4,
                Some(_) => Kind::NeedsNormalising,
                None => Kind::Other,
            },
            ETHERTYPE_IPV6 => match packet.at::<Ipv6>(ETHERNET_LEN) {
                Some(ip) if ip.is_normalised() && !is_extension(ip.next_header) => Kind::V6,
                Some(_) => Kind::NeedsNormalising,
                None => Kind::Other,
            },
            TAG_C | TAG_S => Kind::NeedsNormalising,
            _ => Kind::Other,
        }
    }
}

/// EtherType of a VLAN tag (IEEE 802.1Q).
const TAG_C: u16 = 0x8100;
/// EtherType of a provider's VLAN tag (IEEE 802.1ad).
const TAG_S: u16 = 0x88a8;
/// Where the first tag is.
const TAG_OFFSET: usize = 12;

/// IPv6 extension headers (RFC 8200, 4): those that are skipped, and the fragment header.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
/// The most extension headers that are skipped.
const MOST_EXTENSIONS: usize = 6;
/// The most bytes of them.
const MOST_EXTENSION_BYTES: usize = 256;

#[inline(always)]
const fn is_extension(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
}

/// A VLAN tag as it lies in the frame.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tag(U32);

impl Tag {
    #[inline(always)]
    fn is_one(self) -> bool {
        matches!((self.0.get() >> 16) as u16, TAG_C | TAG_S)
    }
}

/// The two MACs, in registers.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Macs([u8; 8], [u8; 4]);

/// Normalises a frame that needs it, and says what it is now. What has to be put back stands in [`Tables::scratch`].
///
/// # Errors
/// The event with which it ends: the frame goes up to the host without its tags, which [`restore`] puts back, or is
/// dropped.
#[inline(always)]
pub fn normalise<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Kind, Event> {
    let scratch = tables.scratch().ok_or(Event::DropInternal)?;
    untag(packet, scratch)?;
    match Kind::of(packet) {
        Kind::NeedsNormalising => match packet.at::<Ethernet>(0).ok_or(Event::PassNotIp)?.ethertype.get() {
            ETHERTYPE_IPV4 => plain4(packet, tables),
            ETHERTYPE_IPV6 => plain6(packet, tables, scratch),
            // More tags than two.
            _ => Err(Event::PassNotIp),
        },
        Kind::Other => Err(Event::PassNotIp),
        kind => Ok(kind),
    }
}

/// Takes off one or two tags.
#[inline(always)]
fn untag<P: Packet>(packet: &mut P, scratch: Shared<'_, Scratch>) -> Result<(), Event> {
    scratch.tags().set([0; 2]);
    let Some(first) = packet.at::<Tag>(TAG_OFFSET).copied().filter(|tag| tag.is_one()) else { return Ok(()) };
    let second = packet.at::<Tag>(TAG_OFFSET + 4).copied().filter(|tag| tag.is_one());
    // A frame of which less than an Ethernet header would be left goes up as it is.
    if packet.at::<Ethernet>(if second.is_none() { 4 } else { 8 }).is_none() {
        return Err(Event::PassNotIp);
    }
    let macs = *packet.at::<Macs>(0).ok_or(Event::PassNotIp)?;
    match second {
        None => packet.shrink_head::<4>(),
        Some(_) => packet.shrink_head::<8>(),
    }
    .ok_or(Event::DropInternal)?;
    *packet.at_mut::<Macs>(0).ok_or(Event::DropInternal)? = macs;
    scratch.tags().set([first.0.get(), second.map_or(0, |tag| tag.0.get())]);
    Ok(())
}

/// Puts tags on, the outer one first; 0 is none.
///
/// # Errors
/// There is no room in front of the frame.
#[inline(always)]
pub fn tag<P: Packet>(packet: &mut P, [outer, inner]: [u32; 2]) -> Result<(), Event> {
    let macs = *packet.at::<Macs>(0).ok_or(Event::DropInternal)?;
    if inner == 0 { packet.grow_head::<4>() } else { packet.grow_head::<8>() }
        .map_err(|_| Event::DropNoHeadroom)?;
    *packet.at_mut::<Macs>(0).ok_or(Event::DropInternal)? = macs;
    packet.at_mut::<Tag>(TAG_OFFSET).ok_or(Event::DropInternal)?.0.set(outer);
    if inner != 0 {
        packet.at_mut::<Tag>(TAG_OFFSET + 4).ok_or(Event::DropInternal)?.0.set(inner);
    }
    Ok(())
}

/// Where an answer to who sent this frame leaves. Redirected, although it goes back to where it came from, because a
/// virtual link (`veth`) carries what is sent by `XDP_TX` only to an end that runs a program itself.
#[inline(always)]
pub fn way_back<P: Packet, T: Tables>(packet: &P, tables: &T) -> Outcome {
    for slot in 0..MAX_INTERFACES {
        let Some(interface) = tables.interface(slot) else { break };
        if interface.device == packet.ingress() {
            return Outcome::Redirect(slot as u8);
        }
    }
    Outcome::Tx
}

/// Whether the frame is for a MAC of ours: an interface's, or a virtual router's. A switch floods what it has not learned,
/// so frames for others come in as well; the interfaces of a bond have each other's.
#[inline(always)]
pub fn is_for_us<P: Packet, T: Tables>(packet: &P, tables: &T) -> bool {
    let Some(ethernet) = packet.at::<Ethernet>(0) else { return false };
    let to = Mac::from(ethernet.dst);
    for slot in 0..MAX_INTERFACES {
        let Some(interface) = tables.interface(slot) else { break };
        if Mac::from(interface.mac) == to {
            return true;
        }
    }
    let virtual_macs = tables.config().map(|config| &config.virtual_macs);
    virtual_macs.is_some_and(|macs| macs.iter().any(|mac| Mac::from(*mac) == to))
}

/// How a packet ends that is neither TCP nor UDP, or an error if it is not for us at all.
#[inline(always)]
fn other_to<F: Family, T: Tables>(tables: &T, destination: F::Address) -> Result<Event, Event> {
    match lookup::owner::<F, T>(tables, destination) {
        Owner::Vip => Ok(Event::PassVipOther),
        Owner::Local(_) => Ok(Event::PassLocalOther),
        Owner::Other => Err(Event::PassNotOurs),
    }
}

#[inline(always)]
fn plain4<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Kind, Event> {
    let ip = *packet.at::<Ipv4>(ETHERNET_LEN).ok_or(Event::PassNotIp)?;
    let otherwise = other_to::<V4, T>(tables, ip.dst)?;
    let header_len = usize::from(ip.version_ihl & 15) * 4;
    let total_len = usize::from(ip.total_len.get());
    let is_error = !ip.is_fragment() && is_error::<V4, P>(packet, ip.protocol, header_len, total_len);
    if ip.protocol != PROTOCOL_TCP && ip.protocol != PROTOCOL_UDP && !is_error {
        return Err(otherwise);
    }
    if ip.version_ihl >> 4 != 4
        || header_len < V4::IP_LEN
        || total_len < header_len
        || !packet.reaches(ETHERNET_LEN + total_len)
    {
        return Err(Event::DropMalformed);
    }
    if header_len > V4::IP_LEN {
        cut_options(packet, header_len)?;
    }
    if !ip.is_fragment() {
        return Ok(Kind::V4);
    }
    if ip.is_later_fragment() {
        return Ok(Kind::LaterFragment4);
    }
    let len = total_len - header_len;
    fragment::remember::<V4, P, T>(packet, tables, ip.id.get().into(), len)?;
    Ok(Kind::V4)
}

/// Whether an ICMP error begins so many bytes behind the first of this many of an IP packet. Only these lose what is
/// between: it was for the way to us, while the host may answer a ping's options.
#[inline(always)]
fn is_error<F: Family, P: Packet>(packet: &P, protocol: u8, offset: usize, total_len: usize) -> bool {
    protocol == F::ICMP.protocol
        && offset + size_of::<Icmp>() <= total_len
        && packet.at::<Icmp>(ETHERNET_LEN + offset).is_some_and(|icmp| F::ICMP.is_error(icmp.kind))
}

/// Takes off IPv4 options: the header moves up to what follows them.
#[inline(always)]
fn cut_options<P: Packet>(packet: &mut P, header_len: usize) -> Result<(), Event> {
    const FIRST: usize = ETHERNET_LEN + V4::IP_LEN;
    let mut sum = Sum::ZERO;
    for at in 0..10 {
        let offset = FIRST + 4 * at;
        if offset >= ETHERNET_LEN + header_len {
            break;
        }
        sum = sum.sub4(*packet.at::<[u8; 4]>(offset).ok_or(Event::DropMalformed)?);
    }
    let headers = *packet.at::<Headers4>(0).ok_or(Event::DropMalformed)?;
    let options = header_len - V4::IP_LEN;
    packet.shrink_head_by(options).ok_or(Event::DropInternal)?;
    *packet.at_mut::<Headers4>(0).ok_or(Event::DropInternal)? = headers;
    let ip = packet.at_mut::<Ipv4>(ETHERNET_LEN).ok_or(Event::DropInternal)?;
    let (old_ihl, old_len) = (ip.version_ihl, ip.total_len.get());
    let new_len = old_len.wrapping_sub(options as u16);
    ip.version_ihl = 0x45;
    ip.total_len.set(new_len);
    ip.checksum = sum
        .replace1(0, old_ihl, 0x45)
        .sub2(old_len.to_be_bytes())
        .add2(new_len.to_be_bytes())
        .update(ip.checksum);
    Ok(())
}

/// Ethernet and IPv4 headers in pieces that fit registers.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Headers4([[u8; 8]; 4], [u8; 2]);

/// Ethernet and IPv6 headers in such pieces.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Headers6([[u8; 8]; 6], [u8; 4], [u8; 2]);

/// What every extension header begins with, and all of a fragment header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Extension {
    next_header: u8,
    /// In units of eight bytes, the first eight not counted; means nothing in a fragment header.
    len: u8,
    /// Routing: type and segments left. Fragment: offset in units of eight bytes times eight, and M.
    word: U16,
    id: U32,
}

#[inline(always)]
fn plain6<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: Shared<'_, Scratch>,
) -> Result<Kind, Event> {
    let ip = packet.at::<Ipv6>(ETHERNET_LEN).ok_or(Event::PassNotIp)?;
    let otherwise = other_to::<V6, T>(tables, ip.dst)?;
    let payload_len = usize::from(ip.payload_len.get());
    if !ip.is_normalised() || !packet.reaches(V6::L4_OFFSET + payload_len) {
        return Err(Event::DropMalformed);
    }
    let (mut next, mut last, mut len, mut end) = (ip.next_header, ip.next_header, 0, 0);
    let mut fragment = [0; 2];
    for _ in 0..MOST_EXTENSIONS {
        if !is_extension(last) {
            break;
        }
        let extension = *packet.at::<Extension>(V6::L4_OFFSET + end).ok_or(Event::DropMalformed)?;
        let (this, word) = (last, extension.word.get());
        (last, next, len) = (extension.next_header, extension.next_header, end);
        end += if this == FRAGMENT { 8 } else { (usize::from(extension.len) + 1) * 8 };
        if (this == ROUTING && word & 0xff != 0) || end > MOST_EXTENSION_BYTES || end > payload_len {
            return Err(Event::DropExtension);
        }
        // With neither offset nor M it is no fragment at all (RFC 6946).
        if this == FRAGMENT && word & 0xfff9 != 0 {
            // Its other pieces are not where their offsets say if something is taken out of this one.
            if is_extension(last) {
                return Err(Event::DropExtension);
            }
            if word & 0xfff8 != 0 {
                // Of a later fragment the header stays: what follows it is payload.
                next = FRAGMENT;
                break;
            }
            fragment = [extension.id.get(), u32::from(extension.len) << 16 | u32::from(word)];
        }
        len = end;
    }
    match last {
        PROTOCOL_TCP | PROTOCOL_UDP => {}
        last if is_extension(last) => return Err(Event::DropExtension),
        last if fragment == [0; 2]
            && next == last
            && is_error::<V6, P>(packet, last, V6::IP_LEN + len, V6::IP_LEN + payload_len) => {}
        _ => return Err(otherwise),
    }
    if len == 0 {
        return Ok(Kind::LaterFragment6);
    }
    let headers = *packet.at::<Headers6>(0).ok_or(Event::DropMalformed)?;
    packet.shrink_head_by(len).ok_or(Event::DropInternal)?;
    *packet.at_mut::<Headers6>(0).ok_or(Event::DropInternal)? = headers;
    let ip = packet.at_mut::<Ipv6>(ETHERNET_LEN).ok_or(Event::DropInternal)?;
    ip.next_header = next;
    ip.payload_len.set((payload_len - len) as u16);
    if next == FRAGMENT {
        return Ok(Kind::LaterFragment6);
    }
    let [id, word] = fragment;
    if word != 0 {
        scratch.fragment().set(fragment);
        fragment::remember::<V6, P, T>(packet, tables, id, payload_len - len)?;
    }
    Ok(Kind::V6)
}

/// Puts back what [`normalise`] has taken off a frame that is forwarded, goes up to the host, or has become an answer.
/// Returns what becomes of it: as before, unless it does not fit the way out with its fragment header.
#[inline(always)]
pub fn restore<P: Packet, T: Tables>(packet: &mut P, tables: &T, code: Code) -> Code {
    put_back(packet, tables, code).map_or_else(Code::stop, |()| code)
}

#[inline(always)]
fn put_back<P: Packet, T: Tables>(packet: &mut P, tables: &T, code: Code) -> Result<(), Event> {
    let scratch = tables.scratch().ok_or(Event::DropInternal)?;
    let ([id, word], tags) = (scratch.fragment().get(), scratch.tags().get());
    // So that `fragment::is_one` finds nothing for a normalised frame.
    scratch.fragment().set([0; 2]);
    if word != 0 && code != Code::ANSWER {
        let headers = *packet.at::<Headers6>(0).ok_or(Event::DropInternal)?;
        packet.grow_head::<8>().map_err(|_| Event::DropNoHeadroom)?;
        *packet.at_mut::<Headers6>(0).ok_or(Event::DropInternal)? = headers;
        let frame = packet.at_mut::<Frame<Ipv6, Extension>>(0).ok_or(Event::DropInternal)?;
        frame.l4 = Extension {
            next_header: frame.ip.next_header,
            len: (word >> 16) as u8,
            word: (word as u16).into(),
            id: id.into(),
        };
        frame.ip.next_header = FRAGMENT;
        frame.ip.lengthen(8);
        if let Outcome::Redirect(slot) | Outcome::Tag(slot) = code.outcome() {
            let out = tables.interface(slot.into()).ok_or(Event::DropInternal)?;
            if frame.ip.total_len() > out.mtu {
                return Err(Event::DropOverMtu);
            }
        }
    }
    if tags != [0; 2] && !code.goes_on() {
        tag(packet, tags)?;
    }
    Ok(())
}
