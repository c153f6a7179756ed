//! Who takes part in a case, and the segments that they send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Side, Step, frame};
use crate::Segment;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 2));
const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 1, 0, 0, 0, 0, 2));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));
const VIP6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0xA, 0, 0, 0, 0, 0x10));
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(100, 64, 0, 1));
const LOCAL6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0x64, 0, 0, 0, 0, 1));
const BACKEND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 11));
const BACKEND6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 2, 0, 0, 0, 0, 0x11));

/// Client and listener of one family, local address and backend of the same or the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast {
    /// The client.
    pub client: SocketAddr,
    /// The listener.
    pub vip: SocketAddr,
    /// The local address, with its first free port.
    pub local: SocketAddr,
    /// The member.
    pub backend: SocketAddr,
}

impl Cast {
    /// IPv4 on both sides.
    pub const IPV4: Self = Self::new([CLIENT, VIP, LOCAL, BACKEND], 80);
    /// IPv6 on both sides.
    pub const IPV6: Self = Self::new([CLIENT6, VIP6, LOCAL6, BACKEND6], 80);
    /// An IPv6 client of an IPv4 backend.
    pub const IPV6_TO_IPV4: Self = Self::new([CLIENT6, VIP6, LOCAL, BACKEND], 6464);
    /// An IPv4 client of an IPv6 backend.
    pub const IPV4_TO_IPV6: Self = Self::new([CLIENT, VIP, LOCAL6, BACKEND6], 6464);
    /// Every one.
    pub const ALL: [Self; 4] = [Self::IPV4, Self::IPV6, Self::IPV6_TO_IPV4, Self::IPV4_TO_IPV6];

    const fn new([client, vip, local, backend]: [IpAddr; 4], port: u16) -> Self {
        Self {
            client: SocketAddr::new(client, 40_000),
            vip: SocketAddr::new(vip, port),
            local: SocketAddr::new(local, 20_000),
            backend: SocketAddr::new(backend, 8080),
        }
    }

    /// Whether both sides are of one family.
    pub fn is_plain(&self) -> bool {
        self.client.is_ipv4() == self.backend.is_ipv4()
    }

    /// Bytes of the IP header towards the client.
    pub fn front_header(&self) -> usize {
        header(self.client)
    }

    /// Bytes of the IP header towards the backend.
    pub fn back_header(&self) -> usize {
        header(self.backend)
    }

    /// Bytes of the TOA option with the client in it.
    pub fn toa_len(&self) -> usize {
        if self.client.is_ipv4() { 8 } else { 20 }
    }

    /// A segment from the client to the listener, changed by `edit`.
    pub fn from_client(&self, edit: impl FnOnce(&mut Segment)) -> Segment {
        let mut segment = Segment::new(self.client, self.vip);
        (segment.tcp.sequence_number, segment.tcp.acknowledgment_number) = (1001, 5001);
        edit(&mut segment);
        segment
    }

    /// A segment from the backend to the local port, changed by `edit`.
    pub fn from_backend(&self, edit: impl FnOnce(&mut Segment)) -> Segment {
        let mut segment = Segment::new(self.backend, self.local);
        (segment.tcp.sequence_number, segment.tcp.acknowledgment_number) = (5001, 1001);
        segment.tcp.ack = true;
        edit(&mut segment);
        segment
    }

    /// The client's SYN, with the options that Linux sends.
    pub fn syn(&self) -> Segment {
        self.from_client(|s| {
            (s.tcp.syn, s.tcp.sequence_number, s.tcp.acknowledgment_number) = (true, 1000, 0);
            options(s, &[2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
        })
    }

    /// The backend's SYN-ACK.
    pub fn syn_ack(&self) -> Segment {
        self.from_backend(|s| {
            (s.tcp.syn, s.tcp.sequence_number) = (true, 5000);
            options(s, &[2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 3, 7]);
        })
    }

    /// An acknowledgement of the client's, with data or without.
    pub fn ack(&self, payload: &[u8]) -> Segment {
        self.from_client(|s| (s.tcp.ack, s.payload) = (true, payload.to_vec()))
    }

    /// SYN, SYN-ACK, ACK.
    pub fn handshake(&self) -> Vec<Step> {
        vec![client(&self.syn()), backend(&self.syn_ack()), client(&self.ack(b""))]
    }

    /// The handshake and what comes after it.
    pub(super) fn after_handshake(&self, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
        self.handshake().into_iter().chain(steps).collect()
    }
}

fn header(address: SocketAddr) -> usize {
    if address.is_ipv4() { 20 } else { 40 }
}

/// Gives a segment these options.
pub fn options(segment: &mut Segment, options: &[u8]) {
    segment.tcp.set_options_raw(options).expect("at most 40 bytes of options");
}

/// A segment that ends with this verdict.
pub(super) fn step(side: Side, segment: &Segment, verdict: &'static str) -> Step {
    Step { side, frame: frame(side, &segment.packet().expect("a segment of ordinary size")), verdict }
}

/// A segment whose IP packet is spoilt by `edit` after its checksums were made.
pub(super) fn raw(
    side: Side,
    segment: &Segment,
    verdict: &'static str,
    edit: impl FnOnce(&mut Vec<u8>),
) -> Step {
    let Step { mut frame, .. } = step(side, segment, verdict);
    let mut packet = frame.split_off(14);
    edit(&mut packet);
    frame.extend(packet);
    Step { side, frame, verdict }
}

/// A segment from the client that is forwarded.
pub(super) fn client(segment: &Segment) -> Step {
    step(Side::Front, segment, "forward")
}

/// A segment from the backend that is forwarded.
pub(super) fn backend(segment: &Segment) -> Step {
    step(Side::Back, segment, "forward")
}
