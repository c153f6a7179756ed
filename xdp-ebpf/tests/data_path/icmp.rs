//! ICMP errors that go on: who hears them from whom, what they say, and every checksum in them.

use std::net::SocketAddr;

use etherparse::{
    Icmpv4Type, Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header, NetSlice, SlicedPacket, TransportSlice,
    icmpv4::DestUnreachableHeader,
};
use testbed::{
    Datagram,
    cases::{Cast, NARROW_MTU, Side},
};

/// The least MTU of a link (RFC 791, RFC 8200).
const LEAST_MTU: [u32; 2] = [68, 1280];

/// Whether the frame is ICMP of its family.
pub fn is_icmp(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame[23] == 1,
        [0x86, 0xDD] => frame[20] == 58,
        _ => false,
    }
}

/// An error, and what it quotes.
pub struct Message {
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// Type and code.
    pub kind: [u8; 2],
    /// The next hop's MTU, if it tells of one.
    pub mtu: Option<u32>,
    pub protocol: IpNumber,
    pub quoted: (SocketAddr, SocketAddr),
    /// What is quoted of UDP's checksum or TCP's sequence number.
    pub tail: [u8; 2],
}

impl Message {
    /// Reads a frame whose checksums must all be right.
    pub fn read(frame: &[u8], what: &str) -> Self {
        let packet = SlicedPacket::from_ethernet(frame).unwrap();
        let (quotation, kind, mtu) = match packet.transport.as_ref().unwrap() {
            TransportSlice::Icmpv4(icmp) => {
                assert_eq!(icmp.icmp_type().calc_checksum(icmp.payload()), icmp.checksum(), "{what}: ICMP");
                let mtu = match icmp.icmp_type() {
                    Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                        next_hop_mtu,
                    }) => Some(next_hop_mtu.into()),
                    _ => None,
                };
                (icmp.payload(), [icmp.type_u8(), icmp.code_u8()], mtu)
            }
            TransportSlice::Icmpv6(icmp) => {
                let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("{what}: ICMPv6 over IPv4") };
                let (source, destination) = (ip.header().source(), ip.header().destination());
                assert!(icmp.is_checksum_valid(source, destination), "{what}: ICMPv6");
                let mtu = match icmp.icmp_type() {
                    Icmpv6Type::PacketTooBig { mtu } => Some(mtu),
                    _ => None,
                };
                (icmp.payload(), [icmp.type_u8(), icmp.code_u8()], mtu)
            }
            other => panic!("{what}: {other:?}"),
        };
        let (source, destination) = match packet.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                assert_eq!(header.calc_header_checksum(), header.header_checksum, "{what}: outer");
                (header.source.into(), header.destination.into())
            }
            NetSlice::Ipv6(ip) => (ip.header().source().into(), ip.header().destination().into()),
            NetSlice::Arp(_) => panic!("{what}: ARP"),
        };
        let (protocol, from, to, rest) = if quotation[0] >> 4 == 4 {
            let (ip, rest) = Ipv4Header::from_slice(quotation).unwrap();
            assert_eq!(ip.calc_header_checksum(), ip.header_checksum, "{what}: quoted");
            (ip.protocol, ip.source.into(), ip.destination.into(), rest)
        } else {
            let (ip, rest) = Ipv6Header::from_slice(quotation).unwrap();
            (ip.next_header, ip.source.into(), ip.destination.into(), rest)
        };
        let word = |at: usize| [rest[at], rest[at + 1]];
        let port = |at| u16::from_be_bytes(word(at));
        Self {
            source: SocketAddr::new(source, 0),
            destination: SocketAddr::new(destination, 0),
            kind,
            mtu,
            protocol,
            quoted: (SocketAddr::new(from, port(0)), SocketAddr::new(to, port(2))),
            tail: word(6),
        }
    }
}

/// An error of the table that went on.
pub fn assert_error(cast: &Cast, side: Side, came: &[u8], left: &[u8], what: &str) {
    let (before, after) = (Message::read(came, what), Message::read(left, what));
    // Who hears it, what they had sent, and from whom they hear it: the address that they know.
    let (hears, sent, from) = match side {
        Side::Front => (cast.backend, (cast.backend, cast.local), cast.local),
        Side::Back => (cast.client, (cast.client, cast.vip), cast.vip),
    };
    assert_eq!((after.source.ip(), after.destination.ip()), (from.ip(), hears.ip()), "{what}: outer");
    assert_eq!(after.quoted, sent, "{what}: quoted");
    assert_eq!(after.protocol, before.protocol, "{what}: quoted protocol");
    if cast.is_plain() {
        assert_eq!(after.kind, before.kind, "{what}: type and code");
    }
    if after.protocol == IpNumber::UDP {
        let sum = Datagram::new(sent.0, sent.1, b"data").sum().unwrap();
        assert_eq!(after.tail, sum.to_be_bytes(), "{what}: the quoted datagram's checksum");
    }
    assert_eq!(after.mtu.is_some(), before.mtu.is_some(), "{what}: tells of an MTU");
    if let Some(mtu) = after.mtu {
        let (told, hears_of) = match side {
            Side::Front => (cast.front_header(), cast.back_header()),
            Side::Back => (cast.back_header(), cast.front_header()),
        };
        let toa = if side == Side::Back && after.protocol == IpNumber::TCP { cast.toa_len() } else { 0 };
        let room = u32::from(NARROW_MTU) + hears_of as u32 - told as u32 - toa as u32;
        assert_eq!(mtu, room.max(LEAST_MTU[usize::from(hears.is_ipv6())]), "{what}: MTU");
    }
}
