//! A refusal: the SYN of a connection that nobody takes becomes the answer to it, so that the client gives up at
//! once.

use crate::{
    checksum::Sum,
    packet::Packet,
    parse::Segment,
    tables::Mac,
    wire::{ETHERNET_LEN, Flags, Frame, IPV4_LEN, TCP_LEN},
};

/// The answer's time to live: most hosts' own.
const TIME_TO_LIVE: u8 = 64;
/// "Don't fragment", as hosts set it.
const DONT_FRAGMENT: u16 = 0x4000;

/// Turns the client's SYN, which came in as `segment`, into the reset that a host without a listener answers
/// (RFC 9293, 3.10.7.1), back to where it came from. `None` if the frame is shorter than it was when it was parsed.
#[inline(always)]
pub fn reset<P: Packet>(packet: &mut P, segment: &Segment) -> Option<()> {
    // A SYN takes one sequence number, each byte of data another.
    let acknowledged = segment.seq.wrapping_add(1).wrapping_add(segment.payload_len() as u32);
    let frame = packet.at_mut::<Frame>(0)?;
    let (to, from) = (Mac::from(frame.ethernet.src), Mac::from(frame.ethernet.dst));
    (frame.ethernet.dst, frame.ethernet.src) = (to.into(), from.into());

    let ip = &mut frame.ip;
    ip.tos = 0;
    ip.total_len.set((IPV4_LEN + TCP_LEN) as u16);
    ip.id.set(0);
    ip.fragment.set(DONT_FRAGMENT);
    ip.ttl = TIME_TO_LIVE;
    (ip.src, ip.dst) = (segment.dst, segment.src);
    let addresses = Sum::ZERO.add4(ip.src).add4(ip.dst);
    ip.checksum = addresses
        .add2([ip.version_ihl, ip.tos])
        .add2(ip.total_len.to_bytes())
        .add2(ip.id.to_bytes())
        .add2(ip.fragment.to_bytes())
        .add2([ip.ttl, ip.protocol])
        .checksum();

    let tcp = &mut frame.tcp;
    tcp.sport.set(segment.dport);
    tcp.dport.set(segment.sport);
    tcp.seq.set(0);
    tcp.ack.set(acknowledged);
    tcp.data_offset = (TCP_LEN as u8 / 4) << 4;
    tcp.flags = Flags::RST.and(Flags::ACK);
    tcp.window.set(0);
    tcp.urgent.set(0);
    // Sequence number, window and urgent pointer are zero.
    tcp.checksum = addresses
        .add2([0, ip.protocol])
        .add2((TCP_LEN as u16).to_be_bytes())
        .add2(tcp.sport.to_bytes())
        .add2(tcp.dport.to_bytes())
        .add4(tcp.ack.to_bytes())
        .add2([tcp.data_offset, tcp.flags.0])
        .checksum();
    packet.cut_tail(ETHERNET_LEN + IPV4_LEN + TCP_LEN)
}
