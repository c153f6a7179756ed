//! A refusal: the SYN of a connection that nobody takes becomes the answer to it, so that the client gives up at
//! once.

use crate::{
    abi::PROTOCOL_TCP,
    address::Address,
    checksum::Sum,
    family::Family,
    packet::Packet,
    parse,
    verdict::Event,
    wire::{DEFAULT_TTL, Flags, Frame, IpHeader, TCP_LEN, Tcp},
};

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`reset`].
    fn answer_reset<F: Family>(&mut self) -> Option<()> {
        reset::<F, Self>(self)
    }
}

/// Turns a client's SYN into the reset that a host without a listener answers (RFC 9293, 3.10.7.1), back to where it
/// came from. `None` if it is no plain SYN after all.
///
/// It begins with the packet again, because it stands alone: see [`OutOfLine`].
#[inline(always)]
pub fn reset<F: Family, P: Packet>(packet: &mut P) -> Option<()> {
    let segment = parse::segment::<F, P>(packet, Event::DropInternal).ok()?;
    if !segment.flags.opens() {
        return None;
    }
    // A SYN takes one sequence number, each byte of data another.
    let acknowledged = segment.seq.wrapping_add(1).wrapping_add(segment.payload_len() as u32);
    let tcp = Tcp {
        sport: segment.dport.into(),
        dport: segment.sport.into(),
        seq: 0.into(),
        ack: acknowledged.into(),
        data_offset: (TCP_LEN as u8 / 4) << 4,
        flags: Flags::RST.and(Flags::ACK),
        window: 0.into(),
        checksum: [0; 2],
        urgent: 0.into(),
    };
    // Sequence number, window and urgent pointer are zero.
    let sum = segment
        .src
        .add_to(segment.dst.add_to(Sum::ZERO))
        .add2([0, PROTOCOL_TCP])
        .add2((TCP_LEN as u16).to_be_bytes())
        .add2(tcp.sport.to_bytes())
        .add2(tcp.dport.to_bytes())
        .add4(tcp.ack.to_bytes())
        .add2([tcp.data_offset, tcp.flags.0]);
    let frame = packet.at_mut::<Frame<F::Ip, Tcp>>(0)?;
    frame.ethernet.turn_round();
    frame.ip = F::Ip::new(segment.dst, segment.src, PROTOCOL_TCP, DEFAULT_TTL, 0, TCP_LEN as u16);
    frame.l4 = Tcp { checksum: sum.checksum(), ..tcp };
    packet.resize(F::L4_OFFSET + TCP_LEN)
}
