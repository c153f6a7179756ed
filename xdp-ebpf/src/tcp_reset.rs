//! Refusals: a segment that nobody takes becomes the answer to it, so that its sender gives up at once.

use crate::{
    abi::PROTOCOL_TCP,
    address::Address,
    checksum::Sum,
    family::Family,
    packet::Packet,
    parse::{self, Segment},
    verdict::Event,
    wire::{DEFAULT_TTL, Flags, Frame, IpHeader, TCP_LEN, Tcp},
};

/// This stage's function that the kernel verifies once and apart.
pub trait OutOfLine: Packet + Sized {
    /// [`refuse`].
    fn answer_reset<F: Family>(&mut self) -> Option<()> {
        refuse::<F, Self>(self)
    }
}

/// Turns a client's SYN into the reset that says that nobody takes it. `None` if it is no plain SYN after all.
///
/// It begins with the packet again, because it stands alone: see [`OutOfLine`].
#[inline(always)]
pub fn refuse<F: Family, P: Packet>(packet: &mut P) -> Option<()> {
    let segment = parse::segment::<F, P>(packet, Event::DropInternal).ok()?;
    if segment.flags.opens() { answer(packet, &segment) } else { None }
}

/// Turns a segment into the reset that a host without its connection answers (RFC 9293, 3.10.7.1), back to where it
/// came from: with the number that its sender expects next, or with an acknowledgement if it has not said. `None` for a
/// reset, which is never answered.
#[inline(always)]
pub fn answer<F: Family, P: Packet>(packet: &mut P, segment: &Segment<F>) -> Option<()> {
    let flags = segment.flags;
    if flags.any(Flags::RST) {
        return None;
    }
    let (seq, ack, answer) = if flags.any(Flags::ACK) {
        (segment.ack, 0, Flags::RST)
    } else {
        // SYN and FIN take a sequence number each, as a byte of data does. Without branches, which the verifier follows.
        let (fin, syn) = (flags.0 & 1, flags.0 >> 1 & 1);
        let taken = segment.payload_len() as u32 + u32::from(fin + syn);
        (0, segment.seq.wrapping_add(taken), Flags::RST.and(Flags::ACK))
    };
    let tcp = Tcp {
        sport: segment.dport.into(),
        dport: segment.sport.into(),
        seq: seq.into(),
        ack: ack.into(),
        data_offset: (TCP_LEN as u8 / 4) << 4,
        flags: answer,
        window: 0.into(),
        checksum: [0; 2],
        urgent: 0.into(),
    };
    // Window and urgent pointer are zero.
    let sum = segment
        .src
        .add_to(segment.dst.add_to(Sum::ZERO))
        .add2([0, PROTOCOL_TCP])
        .add2((TCP_LEN as u16).to_be_bytes())
        .add2(tcp.sport.to_bytes())
        .add2(tcp.dport.to_bytes())
        .add4(tcp.seq.to_bytes())
        .add4(tcp.ack.to_bytes())
        .add2([tcp.data_offset, tcp.flags.0]);
    let frame = packet.at_mut::<Frame<F::Ip, Tcp>>(0)?;
    frame.ethernet.turn_round();
    frame.ip = F::Ip::new(segment.dst, segment.src, PROTOCOL_TCP, DEFAULT_TTL, 0, TCP_LEN as u16);
    frame.l4 = Tcp { checksum: sum.checksum(), ..tcp };
    packet.resize(F::L4_OFFSET + TCP_LEN)
}
