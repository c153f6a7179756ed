//! The world of [`testbed::cases`], in vectors.

use testbed::{
    Datagram, Segment,
    cases::{BACK, BACKEND, CLIENT, FRONT, LOCAL, Side, VIP, frame},
};
use xdp_ebpf::{
    abi::{PROTOCOL_TCP, PROTOCOL_UDP},
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

    pub fn with_ports(ports: u32) -> Self {
        Self::with_backends(ports, &[(BACKEND.ip().octets(), BACKEND.port())])
    }

    pub fn with_backends(ports: u32, backends: &[([u8; 4], u16)]) -> Self {
        let mut tables = HostTables::new(&[LOCAL.ip().octets()], LOCAL.port(), ports, 1024);
        for protocol in [PROTOCOL_TCP, PROTOCOL_UDP] {
            tables.listen(protocol, VIP.ip().octets(), VIP.port(), backends);
        }
        tables.connect(INTERFACES[0], FRONT[0], CLIENT.ip().octets(), FRONT[1]);
        for (address, _) in backends {
            tables.connect(INTERFACES[1], BACK[0], *address, BACK[1]);
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
        let (outcome, bytes) = self.send(side, &frame(side, &segment.packet().unwrap()));
        assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?} for {segment:?}");
        let left = Segment::parse(&bytes).expect("what leaves is TCP over IPv4");
        assert_sound(&bytes);
        left
    }
}

/// The verdict's name in [`testbed::cases`].
pub fn name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Tx | Outcome::Redirect(_) => "forward",
        Outcome::Stop(event) => event.name(),
    }
}

/// Both checksums, by etherparse.
pub fn assert_sound(bytes: &[u8]) {
    let packet = etherparse::PacketHeaders::from_ethernet_slice(bytes).expect("a frame that parses");
    let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else { panic!("not IPv4") };
    assert_eq!(ip.calc_header_checksum(), ip.header_checksum, "IP checksum");
    match Datagram::parse(bytes) {
        Some(datagram) => assert!(datagram.checksum_is_right().unwrap(), "UDP checksum"),
        None => assert!(Segment::parse(bytes).expect("a segment").checksum_is_right(), "TCP checksum"),
    }
}
