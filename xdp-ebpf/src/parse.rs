//! The frame's headers, checked once. Later stages trust what stands here.

use crate::{
    abi::PROTOCOL_TCP,
    packet::Packet,
    verdict::Event,
    wire::{ETHERNET_LEN, ETHERTYPE_IPV4, Ethernet, Flags, IPV4_LEN, Ipv4, TCP_LEN, TCP_OFFSET, Tcp},
};

/// A whole TCP segment in an IPv4 packet without options, not a fragment. Its headers, options included, are in the
/// frame, and so are all bytes that `total_len` promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags.
    pub flags: Flags,
    /// Time to live.
    pub ttl: u8,
    /// Bytes from the IP header on.
    pub total_len: u16,
    /// Bytes of the TCP header with options, 20–60.
    pub header_len: usize,
}

impl Segment {
    /// Bytes of data.
    #[inline(always)]
    pub const fn payload_len(&self) -> usize {
        self.total_len as usize - IPV4_LEN - self.header_len
    }
}

/// The destination of an IPv4 packet.
///
/// # Errors
/// [`Event::PassNotIpv4`] for every other frame.
#[inline(always)]
pub fn destination<P: Packet>(packet: &P) -> Result<[u8; 4], Event> {
    let ethernet = packet.at::<Ethernet>(0).ok_or(Event::PassNotIpv4)?;
    if ethernet.ethertype.get() != ETHERTYPE_IPV4 {
        return Err(Event::PassNotIpv4);
    }
    Ok(packet.at::<Ipv4>(ETHERNET_LEN).ok_or(Event::PassNotIpv4)?.dst)
}

/// The TCP segment in an IPv4 packet.
///
/// # Errors
/// `other` if it is not TCP; a `Drop…` event if it is TCP and cannot be handled.
#[inline(always)]
pub fn segment<P: Packet>(packet: &P, other: Event) -> Result<Segment, Event> {
    let ip = packet.at::<Ipv4>(ETHERNET_LEN).ok_or(Event::PassNotIpv4)?;
    if ip.protocol != PROTOCOL_TCP {
        return Err(other);
    }
    if ip.version_ihl != 0x45 {
        return Err(match ip.version_ihl {
            0x46..=0x4f => Event::DropIpOptions,
            _ => Event::DropMalformed,
        });
    }
    if ip.is_fragment() {
        return Err(Event::DropFragment);
    }
    let total_len = ip.total_len.get();
    let tcp = packet.at::<Tcp>(TCP_OFFSET).ok_or(Event::DropMalformed)?;
    let header_len = tcp.header_len();
    if header_len < TCP_LEN
        || usize::from(total_len) < IPV4_LEN + header_len
        || !packet.reaches(ETHERNET_LEN + usize::from(total_len))
    {
        return Err(Event::DropMalformed);
    }
    Ok(Segment {
        src: ip.src,
        dst: ip.dst,
        sport: tcp.sport.get(),
        dport: tcp.dport.get(),
        seq: tcp.seq.get(),
        ack: tcp.ack.get(),
        flags: tcp.flags,
        ttl: ip.ttl,
        total_len,
        header_len,
    })
}
