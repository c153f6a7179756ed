//! The last change: addresses, ports, MACs, TTL and checksums, all of it from the half.

use crate::{
    abi::{Half, Interface, PROTOCOL_UDP},
    checksum::Sum,
    packet::Packet,
    shared::Shared,
    tables::Mac,
    verdict::Event,
    wire::{Ethernet, Frame, Ipv4, UdpFrame},
};

/// Rewrites the packet, which is of this IP protocol, as its half says.
///
/// # Errors
/// [`Event::DropInternal`] if the frame is shorter than it was when it was parsed.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &mut P,
    half: Shared<'_, Half>,
    protocol: u8,
    out: &Interface,
) -> Result<(), Event> {
    let delta = Sum::from_delta(half.l4_delta().get());
    if protocol == PROTOCOL_UDP {
        let frame = packet.at_mut::<UdpFrame>(0).ok_or(Event::DropInternal)?;
        link_and_network(&mut frame.ethernet, &mut frame.ip, half, out);
        frame.udp.sport.set(half.new_sport().get());
        frame.udp.dport.set(half.new_dport().get());
        // Zero says that there is none (RFC 768), and must neither be changed nor come out of a change.
        if frame.udp.checksum != [0; 2] {
            frame.udp.checksum = match delta.update(frame.udp.checksum) {
                [0, 0] => [0xff; 2],
                checksum => checksum,
            };
        }
    } else {
        let frame = packet.at_mut::<Frame>(0).ok_or(Event::DropInternal)?;
        link_and_network(&mut frame.ethernet, &mut frame.ip, half, out);
        frame.tcp.sport.set(half.new_sport().get());
        frame.tcp.dport.set(half.new_dport().get());
        frame.tcp.checksum = delta.update(frame.tcp.checksum);
    }
    Ok(())
}

#[inline(always)]
fn link_and_network(ethernet: &mut Ethernet, ip: &mut Ipv4, half: Shared<'_, Half>, out: &Interface) {
    // Through registers: as arrays they would be copied byte by byte, in a loop of a function.
    ethernet.dst = Mac::from(half.next_hop().get()).into();
    ethernet.src = Mac::from(out.mac).into();
    ip.ttl = ip.ttl.wrapping_sub(1);
    ip.src = half.new_src().get();
    ip.dst = half.new_dst().get();
    ip.checksum = Sum::from_delta(half.ip_delta().get()).update(ip.checksum);
}
