//! ICMP: errors about sessions, and echoes.

use std::net::{IpAddr, SocketAddr};

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, Icmpv6Type, PacketBuilder,
    icmpv4::{self, DestUnreachableHeader},
    icmpv6,
};

use super::{Case, Cast, Extension, Side, Step, frame, with_extensions, with_options};
use crate::{Datagram, Segment};

/// The MTU of which the table's errors tell.
pub const NARROW_MTU: u16 = 1400;

/// What an ICMP message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// The next link takes at most [`NARROW_MTU`] bytes.
    TooBig,
    /// The next link takes at most so many.
    TooBigFor(u16),
    /// The time to live, or the hop limit, is used up.
    TimeExceeded,
    /// Is anybody there?
    Echo,
}

/// An ICMP message from some router to `destination`, quoting the headers of a packet as far as it must.
pub fn error(side: Side, destination: IpAddr, message: Message, quoted: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let next_hop_mtu = if let Message::TooBigFor(mtu) = message { mtu } else { NARROW_MTU };
    let echo = IcmpEchoHeader { id: 1, seq: 1 };
    let written = match destination {
        IpAddr::V4(destination) => {
            let kind = match message {
                Message::TooBig | Message::TooBigFor(_) => {
                    Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded {
                        next_hop_mtu,
                    })
                }
                Message::TimeExceeded => {
                    Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit)
                }
                Message::Echo => Icmpv4Type::EchoRequest(echo),
            };
            let builder = PacketBuilder::ipv4([198, 18, 0, 1], destination.octets(), 64).icmpv4(kind);
            builder.write(&mut packet, &quoted[..28])
        }
        IpAddr::V6(destination) => {
            let kind = match message {
                Message::TooBig | Message::TooBigFor(_) => {
                    Icmpv6Type::PacketTooBig { mtu: next_hop_mtu.into() }
                }
                Message::TimeExceeded => Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
                Message::Echo => Icmpv6Type::EchoRequest(echo),
            };
            let router = [0x20, 1, 0xD, 0xB8, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            let builder = PacketBuilder::ipv6(router, destination.octets(), 64).icmpv6(kind);
            builder.write(&mut packet, &quoted[..48])
        }
    };
    written.expect("an error of ordinary size");
    frame(side, &packet)
}

/// The frame with IPv4 options or IPv6 extension headers in its outer header.
pub fn behind_options(frame: &[u8]) -> Vec<u8> {
    let (ethernet, packet) = frame.split_at(14);
    let packet = if packet[0] >> 4 == 4 {
        with_options(packet, 12)
    } else {
        let headers = [Extension::HOP_BY_HOP, Extension::DESTINATION].map(|kind| Extension::new(kind, 2));
        with_extensions(packet, &headers)
    };
    [ethernet, &packet].concat()
}

/// What the balancer sent, and of which an error tells: an answer to the client, a request to the backend; with this
/// sequence number.
fn sent(source: SocketAddr, destination: SocketAddr, number: u32) -> Vec<u8> {
    let mut segment = Segment::new(source, destination);
    (segment.tcp.ack, segment.tcp.sequence_number, segment.payload) = (true, number, vec![7; 100]);
    segment.packet().expect("a segment of ordinary size")
}

pub(super) fn cases(cast: Cast) -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });
    let error = |side, destination: SocketAddr, message, quoted: &[u8], verdict| Step {
        side,
        frame: error(side, destination.ip(), message, quoted),
        verdict,
    };
    let to_vip =
        |message, verdict| error(Side::Front, cast.vip, message, &sent(cast.vip, cast.client, 5001), verdict);
    let to_local = |message, verdict| {
        error(Side::Back, cast.local, message, &sent(cast.local, cast.backend, 1001), verdict)
    };
    case("ICMP: too big, to the backend", cast.after_handshake([to_vip(Message::TooBig, "forward")]));
    case("ICMP: too big, to the client", cast.after_handshake([to_local(Message::TooBig, "forward")]));
    case(
        "ICMP: time exceeded, both ways",
        cast.after_handshake([
            to_vip(Message::TimeExceeded, "forward"),
            to_local(Message::TimeExceeded, "forward"),
        ]),
    );
    case("ICMP: behind options or extension headers, both ways", {
        let odd = |step: Step| Step { frame: behind_options(&step.frame), ..step };
        cast.after_handshake(
            [to_vip(Message::TooBig, "forward"), to_local(Message::TimeExceeded, "forward")].map(odd),
        )
    });
    case("ICMP: about UDP, both ways", {
        let datagram =
            |source, destination| Datagram::new(source, destination, b"data").packet().expect("a packet");
        let question = Step {
            side: Side::Front,
            frame: frame(Side::Front, &datagram(cast.client, cast.vip)),
            verdict: "forward",
        };
        vec![
            question,
            error(Side::Front, cast.vip, Message::TooBig, &datagram(cast.vip, cast.client), "forward"),
            error(Side::Back, cast.local, Message::TooBig, &datagram(cast.local, cast.backend), "forward"),
        ]
    });
    case(
        "ICMP: about no session",
        vec![to_vip(Message::TooBig, "pass_vip_other"), to_local(Message::TooBig, "pass_local_other")],
    );
    case(
        "ICMP: about another session's port",
        cast.after_handshake([{
            let mut other = cast.client;
            other.set_port(cast.client.port() + 1);
            error(Side::Front, cast.vip, Message::TooBig, &sent(cast.vip, other, 5001), "pass_vip_other")
        }]),
    );
    case(
        "ICMP: quoting what its receiver never sent",
        cast.after_handshake([error(
            Side::Front,
            cast.vip,
            Message::TooBig,
            &sent(cast.client, cast.vip, 1001),
            "drop_icmp",
        )]),
    );
    for (numbers, verdict) in [
        ([5000, 1000], "forward"),
        ([4999, 999], "drop_icmp"),
        ([5002 + (1 << 30), 1002 + (1 << 30)], "drop_icmp"),
    ] {
        let [back, front] = numbers;
        case(
            "ICMP: a sequence number that can be under way, or not",
            cast.after_handshake([
                error(
                    Side::Front,
                    cast.vip,
                    Message::TimeExceeded,
                    &sent(cast.vip, cast.client, back),
                    verdict,
                ),
                error(
                    Side::Back,
                    cast.local,
                    Message::TooBig,
                    &sent(cast.local, cast.backend, front),
                    verdict,
                ),
            ]),
        );
    }
    case(
        "ICMP: too big, below what backends are told",
        cast.after_handshake([to_vip(Message::TooBigFor(1279), "drop_path_mtu")]),
    );
    case("ICMP: echo", vec![error(Side::Front, cast.vip, Message::Echo, &[0; 48], "forward")]);
    table
}
