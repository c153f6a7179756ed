//! The frame's headers, checked once. Later stages trust what stands here.

use crate::{
    abi::{PROTOCOL_TCP, PROTOCOL_UDP},
    packet::Packet,
    verdict::Event,
    wire::{
        ETHERNET_LEN, ETHERTYPE_IPV4, Ethernet, Flags, IPV4_LEN, Ipv4, L4_OFFSET, TCP_LEN, Tcp, UDP_LEN, Udp,
    },
};

/// A whole TCP segment or UDP datagram in an IPv4 packet without options, not a fragment. Its headers, options included, are in the
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
    pub total_len: u16,
    /// Bytes of the TCP header with options, 20–60, or of the UDP header, 8.
    pub header_len: usize,
}

impl Segment {
    /// Bytes of data.
    #[inline(always)]
    pub const fn payload_len(&self) -> usize {
        self.total_len as usize - IPV4_LEN - self.header_len
    }

    /// Whether it may open a session: a pure SYN, or any datagram.
    #[inline(always)]
    pub const fn opens(&self) -> bool {
        self.protocol == PROTOCOL_UDP || self.flags.opens()
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

/// The TCP segment or UDP datagram in an IPv4 packet.
///
/// # Errors
/// `other` if it is neither; a `Drop…` event if it is one and cannot be handled.
#[inline(always)]
pub fn segment<P: Packet>(packet: &P, other: Event) -> Result<Segment, Event> {
    let ip = packet.at::<Ipv4>(ETHERNET_LEN).ok_or(Event::PassNotIpv4)?;
    if ip.protocol != PROTOCOL_TCP && ip.protocol != PROTOCOL_UDP {
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
    if !packet.reaches(ETHERNET_LEN + usize::from(total_len)) {
        return Err(Event::DropMalformed);
    }
    let mut segment = Segment {
        src: ip.src,
        dst: ip.dst,
        sport: 0,
        dport: 0,
        protocol: ip.protocol,
        seq: 0,
        ack: 0,
        flags: Flags::default(),
        ttl: ip.ttl,
        total_len,
        header_len: UDP_LEN,
    };
    if ip.protocol == PROTOCOL_TCP {
        let tcp = packet.at::<Tcp>(L4_OFFSET).ok_or(Event::DropMalformed)?;
        segment.header_len = tcp.header_len();
        if segment.header_len < TCP_LEN || usize::from(total_len) < IPV4_LEN + segment.header_len {
            return Err(Event::DropMalformed);
        }
        (segment.sport, segment.dport) = (tcp.sport.get(), tcp.dport.get());
        (segment.seq, segment.ack, segment.flags) = (tcp.seq.get(), tcp.ack.get(), tcp.flags);
    } else {
        let udp = packet.at::<Udp>(L4_OFFSET).ok_or(Event::DropMalformed)?;
        let len = usize::from(udp.len.get());
        if len < UDP_LEN || IPV4_LEN + len > usize::from(total_len) {
            return Err(Event::DropMalformed);
        }
        (segment.sport, segment.dport) = (udp.sport.get(), udp.dport.get());
    }
    Ok(segment)
}
