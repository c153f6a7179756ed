//! Ping of a VIP: the request becomes the answer (RFC 792, RFC 4443), so that a VIP answers as fast as its load
//! balancer forwards, whatever the host is busy with.

use crate::{
    checksum::Sum,
    family::Family,
    packet::Packet,
    verdict::Outcome,
    wire::{DEFAULT_TTL, ETHERNET_LEN, Frame, ICMP_LEN, Icmp, IpHeader},
};

/// Answers an echo request, which a normalised packet to a VIP is. `None` if it is something else; it is unchanged then.
#[inline(always)]
pub fn answer<F: Family, P: Packet>(packet: &mut P) -> Option<Outcome> {
    let names = F::ICMP;
    let frame = packet.at::<Frame<F::Ip, Icmp>>(0)?;
    let total_len = frame.ip.total_len();
    let is_request = frame.ip.protocol() == names.protocol
        && !frame.ip.is_fragment()
        && [frame.l4.kind, frame.l4.code] == [names.echo_request, 0];
    if !is_request
        || !packet.reaches(ETHERNET_LEN + total_len as usize)
        || total_len < (F::IP_LEN + ICMP_LEN) as u32
    {
        return None;
    }
    let frame = packet.at_mut::<Frame<F::Ip, Icmp>>(0)?;
    frame.ethernet.turn_round();
    frame.ip.turn_round(DEFAULT_TTL);
    frame.l4.kind = names.echo_answer;
    let sum = Sum::ZERO.replace1(0, names.echo_request, names.echo_answer);
    frame.l4.checksum = sum.update(frame.l4.checksum);
    Some(Outcome::Reply)
}
