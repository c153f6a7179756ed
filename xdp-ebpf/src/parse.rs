//! The frame's headers, checked once. Later stages trust what stands here.

use crate::{
    abi::{PROTOCOL_TCP, PROTOCOL_UDP},
    family::Family,
    packet::Packet,
    verdict::Event,
    wire::{ETHERNET_LEN, Flags, Frame, IpHeader, TCP_LEN, Tcp, UDP_LEN, Udp},
};

/// A TCP segment or UDP datagram, whole or its first fragment, in an IP packet without options or extensions. Its headers,
/// TCP's options included, are in the frame, and so are all bytes that `total_len` promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<F: Family> {
    /// Source address.
    pub src: F::Address,
    /// Destination address.
    pub dst: F::Address,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// [`PROTOCOL_TCP`] or [`PROTOCOL_UDP`].
    pub protocol: u8,
    /// Sequence number; 0 for UDP.
    pub seq: u32,
    /// Acknowledgement number; 0 for UDP.
    pub ack: u32,
    /// Flags; none for UDP.
    pub flags: Flags,
    /// Time to live.
    pub ttl: u8,
    /// Bytes from the IP header on.
    pub total_len: u32,
    /// Bytes of the TCP header with options, 20–60, or of the UDP header, 8.
    pub header_len: usize,
}

impl<F: Family> Segment<F> {
    /// As far as the IP header says: the rest is that of a datagram without ports.
    #[inline(always)]
    pub fn of(ip: &F::Ip) -> Self {
        Self {
            src: ip.src(),
            dst: ip.dst(),
            sport: 0,
            dport: 0,
            protocol: ip.protocol(),
            seq: 0,
            ack: 0,
            flags: Flags::default(),
            ttl: ip.ttl(),
            total_len: ip.total_len(),
            header_len: UDP_LEN,
        }
    }

    /// Bytes of data.
    #[inline(always)]
    pub const fn payload_len(&self) -> usize {
        self.total_len as usize - F::IP_LEN - self.header_len
    }

    /// Whether it may open a session: a pure SYN, or any datagram.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.protocol == PROTOCOL_UDP || self.flags.opens()
    }
}

/// The destination of an IP packet.
///
/// # Errors
/// [`Event::PassNotIp`] if the frame is too short for one.
#[inline(always)]
pub fn destination<F: Family, P: Packet>(packet: &P) -> Result<F::Address, Event> {
    Ok(packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::PassNotIp)?.dst())
}

/// The TCP segment or UDP datagram in a normalised packet ([`crate::frame`]).
///
/// # Errors
/// `other` if it is neither; [`Event::DropMalformed`] if it is one and cannot be handled.
#[inline(always)]
pub fn segment<F: Family, P: Packet>(packet: &P, other: Event) -> Result<Segment<F>, Event> {
    let ip = packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::PassNotIp)?;
    let protocol = ip.protocol();
    if protocol != PROTOCOL_TCP && protocol != PROTOCOL_UDP {
        return Err(other);
    }
    let total_len = ip.total_len();
    if !packet.reaches(ETHERNET_LEN + total_len as usize) {
        return Err(Event::DropMalformed);
    }
    let mut segment = Segment { protocol, total_len, ..Segment::of(ip) };
    if protocol == PROTOCOL_TCP {
        let tcp = &packet.at::<Frame<F::Ip, Tcp>>(0).ok_or(Event::DropMalformed)?.l4;
        segment.header_len = tcp.header_len();
        if segment.header_len < TCP_LEN || (total_len as usize) < F::IP_LEN + segment.header_len {
            return Err(Event::DropMalformed);
        }
        (segment.sport, segment.dport) = (tcp.sport.get(), tcp.dport.get());
        (segment.seq, segment.ack, segment.flags) = (tcp.seq.get(), tcp.ack.get(), tcp.flags);
    } else {
        let udp = &packet.at::<Frame<F::Ip, Udp>>(0).ok_or(Event::DropMalformed)?.l4;
        // Of a datagram in pieces its length is more than the first has.
        if usize::from(udp.len.get()) < UDP_LEN || (total_len as usize) < F::IP_LEN + UDP_LEN {
            return Err(Event::DropMalformed);
        }
        (segment.sport, segment.dport) = (udp.sport.get(), udp.dport.get());
    }
    Ok(segment)
}
