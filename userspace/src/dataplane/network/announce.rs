//! Tells the neighbours on our links which addresses are here now. Without that, those who knew the address at another
//! host's MAC would send there until their entry of it ends, which takes minutes. Of IPv4 by ARP announcements (RFC 5227,
//! section 2.3), of IPv6 by unsolicited neighbour advertisements (RFC 4861, section 7.2.6).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, OwnedFd},
    time::{Duration, Instant},
};

use etherparse::{EtherType, Ethernet2Header, PacketBuilder};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, socket},
};

use super::interfaces::Interface;
use evenkeel_loader::refusal::one_line;

/// How often each address is announced: a frame may get lost, and a port of a switch may still be shut
/// (MAX_NEIGHBOR_ADVERTISEMENT of RFC 4861).
const ROUNDS: u8 = 3;
/// How long from one round to the next (RetransTimer of RFC 4861).
const PAUSE: Duration = Duration::from_secs(1);
/// The most frames at a time.
const BURST: usize = 1024;
/// The MAC of all, and that of all IPv6 nodes (RFC 2464).
const EVERYBODY: [u8; 6] = [0xFF; 6];
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xFF02, 0, 0, 0, 0, 0, 0, 1);
/// A neighbour advertisement, and its flag that says: forget what you knew.
const ADVERTISEMENT: u8 = 136;
const OVERRIDE: u8 = 0x20;
/// The option with the MAC, and its length in units of eight bytes.
const TARGET_MAC: [u8; 2] = [2, 1];

/// An interface's index, and an address that it answers for.
type Place = (u32, IpAddr);

/// What is to be announced of one address on one interface.
struct Due {
    mac: [u8; 6],
    rounds: u8,
    at: Instant,
}

/// What is to be announced.
#[derive(Default)]
pub struct Announcer {
    socket: Option<OwnedFd>,
    places: BTreeMap<Place, Due>,
}

impl Announcer {
    /// These addresses are here, on each of these interfaces: those that were not, or at another MAC, are announced.
    pub fn sync(&mut self, addresses: &BTreeSet<IpAddr>, interfaces: &[Interface]) {
        let (mut before, now) = (std::mem::take(&mut self.places), Instant::now());
        for Interface { index, mac, .. } in interfaces.iter().filter(|interface| interface.mac != [0; 6]) {
            for &address in addresses {
                let known = before.remove(&(*index, address)).filter(|known| known.mac == *mac);
                let new = Due { mac: *mac, rounds: ROUNDS, at: now };
                self.places.insert((*index, address), known.unwrap_or(new));
            }
        }
    }

    /// Announces what is due. To be called several times a second.
    pub fn announce(&mut self) {
        let now = Instant::now();
        let due = self.places.iter_mut().filter(|(_, due)| due.rounds > 0 && due.at <= now);
        let due: Vec<_> = due.take(BURST).collect();
        if due.is_empty() {
            return;
        }
        if let Err(error) = send(&mut self.socket, &due) {
            tracing::debug!("cannot announce addresses: {}", one_line(&error));
        }
        for (_, due) in due {
            (due.rounds, due.at) = (due.rounds - 1, now + PAUSE);
        }
    }
}

fn send(opened: &mut Option<OwnedFd>, due: &[(&Place, &mut Due)]) -> io::Result<()> {
    let socket = match opened {
        Some(socket) => socket,
        none => none.insert(socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?),
    };
    let links: HashMap<usize, LinkAddr> = getifaddrs()?
        .filter_map(|interface| interface.address?.as_link_addr().copied())
        .map(|link| (link.ifindex(), link))
        .collect();
    let mut sent = Ok(());
    for ((index, address), due) in due {
        let Some(link) = links.get(&(*index as usize)) else { continue };
        let one = sendto(socket.as_raw_fd(), &frame(*address, due.mac), link, MsgFlags::empty());
        sent = sent.and(one.map(drop));
    }
    Ok(sent?)
}

/// What says on a link that this address is at this MAC.
fn frame(address: IpAddr, mac: [u8; 6]) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(address, mac),
        IpAddr::V6(address) => advertisement(address, mac),
    }
}

/// A request for an address by whoever has it (RFC 826): Ethernet, IPv4, lengths 6 and 4, operation 1.
fn arp(address: Ipv4Addr, mac: [u8; 6]) -> Vec<u8> {
    let header = Ethernet2Header { source: mac, destination: EVERYBODY, ether_type: EtherType::ARP };
    let mut frame = header.to_bytes().to_vec();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(address.octets());
    frame.extend([0; 6]);
    frame.extend(address.octets());
    frame
}

fn advertisement(address: Ipv6Addr, mac: [u8; 6]) -> Vec<u8> {
    let mut body = address.octets().to_vec();
    body.extend(TARGET_MAC);
    body.extend(mac);
    // Nobody believes one that a router has passed on (RFC 4861, section 7.1.2).
    let builder = PacketBuilder::ethernet2(mac, ALL_NODES_MAC)
        .ipv6(address.octets(), ALL_NODES.octets(), 255)
        .icmpv6_raw(ADVERTISEMENT, 0, [OVERRIDE, 0, 0, 0]);
    let mut frame = Vec::with_capacity(builder.size(body.len()));
    // Into memory, and far shorter than a packet may be: nothing can go wrong.
    let _ = builder.write(&mut frame, &body);
    frame
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];

    fn interface(index: u32, mac: [u8; 6]) -> Interface {
        Interface {
            name: String::new(),
            index,
            device: index,
            tags: [0; 2],
            vlan: None,
            has_ethernet: true,
            mtu: 1500,
            mac,
            running: true,
            xdp: None,
            program: None,
        }
    }

    #[test]
    fn an_advertisement_is_one_that_hosts_believe() {
        let address: Ipv6Addr = "2001:db8:a::10".parse().unwrap();
        let frame = advertisement(address, MAC);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &sliced.net else { panic!("{sliced:?}") };
        assert_eq!((ip.header().hop_limit(), ip.header().source_addr()), (255, address));
        let Some(TransportSlice::Icmpv6(icmp)) = &sliced.transport else { panic!("{sliced:?}") };
        let ends = (ip.header().source(), ip.header().destination());
        assert!(icmp.is_checksum_valid(ends.0, ends.1));
        assert_eq!((icmp.type_u8(), icmp.payload().len()), (136, 24));
    }

    #[test]
    fn an_arp_announcement_asks_for_its_own_address() {
        let frame = arp([203, 0, 113, 10].into(), MAC);
        let sliced = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Arp(arp)) = &sliced.net else { panic!("{sliced:?}") };
        assert_eq!(arp.sender_protocol_addr(), arp.target_protocol_addr());
        assert_eq!((arp.sender_hw_addr(), arp.sender_protocol_addr()), (&MAC[..], &[203, 0, 113, 10][..]));
        assert_eq!(arp.operation().0, 1);
    }

    #[test]
    fn only_what_is_new_or_has_moved_is_announced() {
        let address = |last: u8| IpAddr::from([203, 0, 113, last]);
        let mut announcer = Announcer::default();
        let due = |announcer: &Announcer| {
            let due = announcer.places.iter().filter(|(_, due)| due.rounds == ROUNDS);
            due.map(|(place, _)| *place).collect::<Vec<_>>()
        };
        let mut next = |addresses: &[u8], interfaces: &[Interface]| {
            announcer.sync(&addresses.iter().map(|&last| address(last)).collect(), interfaces);
            let due = due(&announcer);
            announcer.places.values_mut().for_each(|due| due.rounds = 0);
            due
        };
        let (one, other) = (interface(2, MAC), interface(3, [2, 0, 0, 0, 0, 8]));
        assert_eq!(next(&[1], std::slice::from_ref(&one)), [(2, address(1))]);
        assert_eq!(next(&[1], std::slice::from_ref(&one)), []);
        assert_eq!(
            next(&[1, 2], &[one.clone(), other.clone()]),
            [(2, address(2)), (3, address(1)), (3, address(2))]
        );
        assert_eq!(next(&[1, 2], &[interface(2, [2, 0, 0, 0, 0, 9])]), [(2, address(1)), (2, address(2))]);
        assert_eq!(
            next(&[1], &[one.clone(), interface(4, [0; 6])]),
            [(2, address(1))],
            "it is another MAC again"
        );
        assert_eq!(next(&[], std::slice::from_ref(&one)), []);
        assert_eq!(next(&[1], &[one]), [(2, address(1))], "it was away");
    }
}
