//! The world of [`testbed::cases`], in vectors.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxPacketHeaders, NetHeaders, PacketHeaders};
use testbed::{
    Datagram, Segment,
    cases::{BACK, Cast, FRONT, Side, frame},
};
use xdp_ebpf::{
    abi::{Common, PROTOCOL_TCP, PROTOCOL_UDP},
    address::MappedAddress,
    host::{HostPacket, HostTables},
    pipeline,
    verdict::Outcome,
};

/// Interface indexes of the two sides.
pub const INTERFACES: [u32; 2] = [11, 12];
/// Room in front of a frame, as most drivers leave it.
const HEADROOM: usize = 224;

pub struct World {
    pub tables: HostTables,
}

impl World {
    pub fn new() -> Self {
        Self::with_ports(64)
    }

    /// With so many local ports of each address.
    pub fn with_ports(ports: u32) -> Self {
        let members = Cast::ALL.map(|cast| (cast, vec![cast.backend]));
        Self::with_members(ports, &members)
    }

    /// With these members behind the listeners of these casts.
    pub fn with_members(ports: u32, casts: &[(Cast, Vec<SocketAddr>)]) -> Self {
        let locals = [Cast::IPV4.local.ip(), Cast::IPV6.local.ip()];
        let mut tables = HostTables::new(&locals, Cast::IPV4.local.port(), ports, 64);
        for (cast, members) in casts {
            for protocol in [PROTOCOL_TCP, PROTOCOL_UDP] {
                tables.listen(protocol, cast.vip, members);
            }
            tables.connect(INTERFACES[0], FRONT[0], cast.client.ip(), FRONT[1]);
            for member in members {
                tables.connect(INTERFACES[1], BACK[0], member.ip(), BACK[1]);
            }
        }
        Self { tables }
    }

    /// Sends a frame through the pipeline; returns where it went and what left.
    pub fn send(&self, side: Side, bytes: &[u8]) -> (Outcome, Vec<u8>) {
        self.send_with(side, bytes, HEADROOM)
    }

    pub fn send_with(&self, side: Side, bytes: &[u8], headroom: usize) -> (Outcome, Vec<u8>) {
        let mut packet = HostPacket::new(bytes, headroom, INTERFACES[side as usize]);
        let outcome = pipeline::process(&mut packet, &self.tables);
        (outcome, packet.frame().to_vec())
    }

    /// Sends a segment that must be forwarded, and reads what left.
    pub fn forward(&self, side: Side, segment: &Segment) -> Segment {
        let bytes = self.forward_frame(side, &segment.packet().unwrap());
        Segment::parse(&bytes).expect("what leaves is TCP")
    }

    /// The same for a datagram.
    pub fn forward_datagram(&self, side: Side, datagram: &Datagram) -> Datagram {
        let bytes = self.forward_frame(side, &datagram.packet().unwrap());
        Datagram::parse(&bytes).expect("what leaves is UDP")
    }

    fn forward_frame(&self, side: Side, packet: &[u8]) -> Vec<u8> {
        let (outcome, bytes) = self.send(side, &frame(side, packet));
        assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?} for {packet:?}");
        assert_sound(&bytes);
        bytes
    }

    /// Both families' forward halves, but for the addresses.
    pub fn forward_halves(&self) -> Vec<Common> {
        let (four, six) = (&self.tables.forward, &self.tables.forward6);
        four.iter().map(|half| half.common).chain(six.iter().map(|half| half.common)).collect()
    }

    /// The same of the reverse halves.
    pub fn reverse_halves(&self) -> Vec<Common> {
        let (four, six) = (&self.tables.reverse, &self.tables.reverse6);
        four.iter().map(|half| half.common).chain(six.iter().map(|half| half.common)).collect()
    }

    /// All halves.
    pub fn halves(&self) -> Vec<Common> {
        [self.forward_halves(), self.reverse_halves()].concat()
    }
}

/// The verdict's name in [`testbed::cases`].
pub fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tx | Outcome::Redirect(_) => "forward",
        Outcome::Stop(event) => event.name(),
        Outcome::Tag(_) | Outcome::Reply => panic!("not yet at its end"),
    }
}

/// Lengths and all checksums, by etherparse.
pub fn assert_sound(bytes: &[u8]) {
    let packet = PacketHeaders::from_ethernet_slice(bytes).expect("a frame that parses");
    if let Some(NetHeaders::Ipv4(ip, _)) = packet.net {
        assert_eq!(ip.calc_header_checksum(), ip.header_checksum, "IP checksum");
    }
    match Datagram::parse(bytes) {
        Some(datagram) => assert!(datagram.checksum_is_right().unwrap(), "UDP checksum"),
        None => assert!(Segment::parse(bytes).expect("a segment").checksum_is_right(), "TCP checksum"),
    }
}

/// Bytes of the IP packet in a frame, by its header; `None` if that is not in the frame.
pub fn packet_len(frame: &[u8]) -> Option<usize> {
    match LaxPacketHeaders::from_ethernet(frame).ok()?.net? {
        NetHeaders::Ipv4(ip, _) => Some(ip.total_len.into()),
        NetHeaders::Ipv6(ip, _) => Some(usize::from(ip.payload_length) + 40),
        NetHeaders::Arp(_) => None,
    }
}

/// An address as the cold records hold it, by the standard library.
pub fn mapped(address: IpAddr) -> MappedAddress {
    match address {
        IpAddr::V4(address) => MappedAddress { bytes: address.to_ipv6_mapped().octets() },
        IpAddr::V6(address) => MappedAddress { bytes: address.octets() },
    }
}
