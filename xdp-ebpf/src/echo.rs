//! Ping of a VIP: the request becomes the answer (RFC 792, RFC 4443), so that a VIP answers as fast as its load
//! balancer forwards, whatever the host is busy with.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{
    checksum::Sum,
    family::Family,
    icmp::Names,
    packet::Packet,
    tables::Mac,
    verdict::Outcome,
    wire::{ETHERNET_LEN, Frame, IpHeader},
};

/// The answer's time to live: most hosts' own.
const TIME_TO_LIVE: u8 = 64;

/// The beginning of ICMP's header.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub kind: u8,
    pub code: u8,
    checksum: [u8; 2],
}

/// Answers an echo request, which a plain packet to a VIP is. `None` if it is something else; it is unchanged then.
#[inline(always)]
pub fn answer<F: Family, P: Packet>(packet: &mut P) -> Option<Outcome> {
    let names = Names::of::<F>();
    let frame = packet.at::<Frame<F::Ip, Header>>(0)?;
    let total_len = frame.ip.total_len();
    let is_request = frame.ip.protocol() == names.protocol
        && !frame.ip.is_fragment()
        && [frame.l4.kind, frame.l4.code] == [names.echo_request, 0];
    if !is_request || !packet.reaches(ETHERNET_LEN + total_len as usize) || total_len < F::IP_LEN as u32 + 8 {
        return None;
    }
    let frame = packet.at_mut::<Frame<F::Ip, Header>>(0)?;
    let (to, from) = (Mac::from(frame.ethernet.src), Mac::from(frame.ethernet.dst));
    (frame.ethernet.dst, frame.ethernet.src) = (to.into(), from.into());
    frame.ip.turn_round(TIME_TO_LIVE);
    frame.l4.kind = names.echo_answer;
    let sum = Sum::ZERO.replace1(0, names.echo_request, names.echo_answer);
    frame.l4.checksum = sum.update(frame.l4.checksum);
    Some(Outcome::Reply)
}
