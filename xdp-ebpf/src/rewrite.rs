//! The last change: addresses, ports, MACs, TTL and checksums, all of it from the half.

use crate::{
    abi::{Common, Half, Interface, PROTOCOL_UDP},
    checksum::Sum,
    family::Family,
    packet::Packet,
    parse::Segment,
    shared::Shared,
    verdict::Event,
    wire::{ETHERNET_LEN, Ethernet, Frame, IpHeader, Mac, Tcp, Udp},
};

/// Rewrites the packet, which is of this IP protocol, as its half says.
///
/// # Errors
/// [`Event::DropInternal`] if the frame is shorter than it was when it was parsed.
#[inline(always)]
pub fn rewrite<F: Family, P: Packet>(
    packet: &mut P,
    half: Shared<'_, Half<F>>,
    protocol: u8,
    out: &Interface,
) -> Result<(), Event> {
    if protocol == PROTOCOL_UDP {
        let frame = packet.at_mut::<Frame<F::Ip, Udp>>(0).ok_or(Event::DropInternal)?;
        link(&mut frame.ethernet, *half, out);
        frame.ip.turn(half.new_src().get(), half.new_dst().get(), half.ip_delta().get());
        udp(&mut frame.l4, *half);
    } else {
        let frame = packet.at_mut::<Frame<F::Ip, Tcp>>(0).ok_or(Event::DropInternal)?;
        link(&mut frame.ethernet, *half, out);
        frame.ip.turn(half.new_src().get(), half.new_dst().get(), half.ip_delta().get());
        tcp(&mut frame.l4, *half);
    }
    Ok(())
}

/// The same for a later fragment, which has no ports and no checksum.
///
/// # Errors
/// As [`rewrite`].
#[inline(always)]
pub fn rewrite_addresses<F: Family, P: Packet>(
    packet: &mut P,
    half: Shared<'_, Half<F>>,
    out: &Interface,
) -> Result<(), Event> {
    let frame = packet.at_mut::<Frame<F::Ip, [u8; 0]>>(0).ok_or(Event::DropInternal)?;
    link(&mut frame.ethernet, *half, out);
    frame.ip.turn(half.new_src().get(), half.new_dst().get(), half.ip_delta().get());
    Ok(())
}

/// The same for a session whose two sides are of different families: a new IP header takes the place of the old one
/// (RFC 7915, with DF set on all that becomes IPv4). `peer` is the other half.
///
/// # Errors
/// [`Event::DropNoChecksum`] for a datagram to IPv6 without a checksum, [`Event::DropNoHeadroom`] if the frame cannot
/// grow, [`Event::DropInternal`] if it is shorter than it was when it was parsed.
#[inline(always)]
pub fn translate<F: Family, P: Packet>(
    packet: &mut P,
    half: Shared<'_, Common>,
    peer: Shared<'_, Half<F::Other>>,
    segment: &Segment<F>,
    out: &Interface,
) -> Result<(), Event> {
    const DIFFERENCE: usize = 20;
    let old = packet.at::<F::Ip>(ETHERNET_LEN).ok_or(Event::DropInternal)?;
    let (tos, payload_len) = (old.tos(), old.total_len() - F::IP_LEN as u32);
    if F::VERSION == 6 {
        packet.shrink_head::<DIFFERENCE>().ok_or(Event::DropInternal)?;
    } else {
        let udp_without = segment.protocol == PROTOCOL_UDP
            && packet.at::<Frame<F::Ip, Udp>>(0).is_some_and(|frame| frame.l4.checksum == [0; 2]);
        if udp_without {
            return Err(Event::DropNoChecksum);
        }
        packet.grow_head::<DIFFERENCE>().map_err(|_| Event::DropNoHeadroom)?;
    }
    let ethernet = packet.at_mut::<Ethernet>(0).ok_or(Event::DropInternal)?;
    link(ethernet, half, out);
    ethernet.ethertype.set(F::Other::ETHERTYPE);
    *packet.at_mut(ETHERNET_LEN).ok_or(Event::DropInternal)? = <<F::Other as Family>::Ip as IpHeader>::new(
        peer.dst().get(),
        peer.src().get(),
        segment.protocol,
        segment.ttl.wrapping_sub(1),
        tos,
        payload_len as u16,
    );
    let l4 = F::Other::L4_OFFSET;
    if segment.protocol == PROTOCOL_UDP {
        udp(packet.at_mut(l4).ok_or(Event::DropInternal)?, half);
    } else {
        tcp(packet.at_mut(l4).ok_or(Event::DropInternal)?, half);
    }
    Ok(())
}

/// The MACs of a packet that leaves as this half says, by its interface `out`. Through registers: see [`Mac`].
#[inline(always)]
pub fn link(ethernet: &mut Ethernet, half: Shared<'_, Common>, out: &Interface) {
    ethernet.dst = Mac::from(half.next_hop().get()).into();
    ethernet.src = Mac::from(out.mac).into();
}

#[inline(always)]
fn tcp(tcp: &mut Tcp, half: Shared<'_, Common>) {
    tcp.sport.set(half.new_sport().get());
    tcp.dport.set(half.new_dport().get());
    tcp.checksum = Sum::from_delta(half.l4_delta().get()).update(tcp.checksum);
}

/// A checksum of zero says that there is none (RFC 768), and must neither be changed nor come out of a change.
#[inline(always)]
fn udp(udp: &mut Udp, half: Shared<'_, Common>) {
    udp.sport.set(half.new_sport().get());
    udp.dport.set(half.new_dport().get());
    if udp.checksum != [0; 2] {
        udp.checksum = match Sum::from_delta(half.l4_delta().get()).update(udp.checksum) {
            [0, 0] => [0xff; 2],
            checksum => checksum,
        };
    }
}
