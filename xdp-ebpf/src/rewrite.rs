//! The last change: addresses, ports, MACs, TTL and checksums, all of it from the half.

use crate::{
    abi::{Half, Interface},
    checksum::Sum,
    packet::Packet,
    shared::Shared,
    verdict::Event,
    wire::Frame,
};

/// Rewrites the packet as its half says.
///
/// # Errors
/// [`Event::DropInternal`] if the frame is shorter than it was when it was parsed.
#[inline(always)]
pub fn rewrite<P: Packet>(packet: &mut P, half: Shared<'_, Half>, out: &Interface) -> Result<(), Event> {
    let frame = packet.at_mut::<Frame>(0).ok_or(Event::DropInternal)?;
    frame.ethernet.dst = half.next_hop().get();
    frame.ethernet.src = out.mac;
    frame.ip.ttl = frame.ip.ttl.wrapping_sub(1);
    frame.ip.src = half.new_src().get();
    frame.ip.dst = half.new_dst().get();
    frame.ip.checksum = Sum::from_delta(half.ip_delta().get()).update(frame.ip.checksum);
    frame.tcp.sport.set(half.new_sport().get());
    frame.tcp.dport.set(half.new_dport().get());
    frame.tcp.checksum = Sum::from_delta(half.l4_delta().get()).update(frame.tcp.checksum);
    Ok(())
}
