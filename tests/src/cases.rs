//! Packets and what must become of them: one table for the data path on the host and for the program in the kernel.
//!
//! Every case begins with empty tables and this world: the VIP has one listener, its pool one member, there is one
//! local address whose first free port is [`LOCAL`]'s.

use std::net::{Ipv4Addr, SocketAddrV4};

use etherparse::{
    IcmpEchoHeader, Icmpv4Type, PacketBuilder,
    icmpv4::{DestUnreachableHeader, TimeExceededCode},
};

use crate::{Datagram, Segment};

/// The client.
pub const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 2), 40_000);
/// The listener.
pub const VIP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 10), 80);
/// The local address, with its first free port.
pub const LOCAL: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(100, 64, 0, 1), 20_000);
/// The member.
pub const BACKEND: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 11), 8080);
/// The balancer's MAC towards the client, and the client's.
pub const FRONT: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
/// The balancer's MAC towards the backend, and the backend's.
pub const BACK: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2]];

/// Which interface a frame comes in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Front,
    /// The backend's.
    Back,
}

/// One frame.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where it comes in.
    pub side: Side,
    /// The Ethernet frame.
    pub frame: Vec<u8>,
    /// "forward", or the name of the counter under which it ends.
    pub verdict: &'static str,
}

/// Frames that follow each other.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it shows.
    pub what: &'static str,
    /// The frames.
    pub steps: Vec<Step>,
}

/// An Ethernet frame around an IPv4 packet, to the balancer.
pub fn frame(side: Side, packet: &[u8]) -> Vec<u8> {
    let [balancer, host] = match side {
        Side::Front => FRONT,
        Side::Back => BACK,
    };
    [&balancer[..], &host, &[8, 0], packet].concat()
}

/// A segment from the client to the listener, changed by `edit`.
pub fn from_client(edit: impl FnOnce(&mut Segment)) -> Segment {
    let mut segment = Segment::new(CLIENT, VIP);
    (segment.tcp.sequence_number, segment.tcp.acknowledgment_number) = (1001, 5001);
    edit(&mut segment);
    segment
}

/// A segment from the backend to the local port, changed by `edit`.
pub fn from_backend(edit: impl FnOnce(&mut Segment)) -> Segment {
    let mut segment = Segment::new(BACKEND, LOCAL);
    (segment.tcp.sequence_number, segment.tcp.acknowledgment_number) = (5001, 1001);
    segment.tcp.ack = true;
    edit(&mut segment);
    segment
}

/// The client's SYN, with the options that Linux sends.
pub fn syn() -> Segment {
    from_client(|s| {
        (s.tcp.syn, s.tcp.sequence_number, s.tcp.acknowledgment_number) = (true, 1000, 0);
        options(s, &[2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7]);
    })
}

/// The backend's SYN-ACK.
pub fn syn_ack() -> Segment {
    from_backend(|s| {
        (s.tcp.syn, s.tcp.sequence_number) = (true, 5000);
        options(s, &[2, 4, 5, 0xB4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 3, 3, 7]);
    })
}

/// An acknowledgement of the client's, with data or without.
pub fn ack(payload: &[u8]) -> Segment {
    from_client(|s| (s.tcp.ack, s.payload) = (true, payload.to_vec()))
}

/// Gives a segment these options.
pub fn options(segment: &mut Segment, options: &[u8]) {
    segment.tcp.set_options_raw(options).expect("at most 40 bytes of options");
}

fn step(side: Side, segment: &Segment, verdict: &'static str) -> Step {
    raw(side, segment, verdict, |_| ())
}

/// A segment whose packet is spoilt by `edit` after its checksums were made.
fn raw(side: Side, segment: &Segment, verdict: &'static str, edit: impl FnOnce(&mut Vec<u8>)) -> Step {
    let mut packet = segment.packet().expect("a segment of ordinary size");
    edit(&mut packet);
    Step { side, frame: frame(side, &packet), verdict }
}

fn client(segment: &Segment) -> Step {
    step(Side::Front, segment, "forward")
}

fn backend(segment: &Segment) -> Step {
    step(Side::Back, segment, "forward")
}

/// SYN, SYN-ACK, ACK.
pub fn handshake() -> Vec<Step> {
    vec![client(&syn()), backend(&syn_ack()), client(&ack(b""))]
}

fn after_handshake(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    handshake().into_iter().chain(steps).collect()
}

/// The MTU of which the table's errors tell.
pub const NARROW_MTU: u16 = 1280;

/// An ICMP error from some router to `destination`, quoting the first 28 bytes of a packet.
pub fn icmp_error(side: Side, destination: Ipv4Addr, kind: Icmpv4Type, quoted: &[u8]) -> Vec<u8> {
    let router = Ipv4Addr::new(198, 18, 0, 1);
    let builder = PacketBuilder::ipv4(router.octets(), destination.octets(), 64).icmpv4(kind);
    let mut packet = Vec::new();
    builder.write(&mut packet, &quoted[..28]).expect("an error of ordinary size");
    frame(side, &packet)
}

/// What the balancer sent, and of which an error tells: an answer to the client, a request to the backend.
fn sent(source: SocketAddrV4, destination: SocketAddrV4) -> Vec<u8> {
    let mut segment = Segment::new(source, destination);
    (segment.tcp.ack, segment.payload) = (true, vec![7; 100]);
    segment.packet().expect("a segment of ordinary size")
}

fn icmp_cases(table: &mut Vec<Case>) {
    let mut case = |what, steps| table.push(Case { what, steps });
    let too_big = || {
        let next_hop_mtu = NARROW_MTU;
        Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::FragmentationNeeded { next_hop_mtu })
    };
    let error = |side, destination: SocketAddrV4, kind, quoted: &[u8], verdict| Step {
        side,
        frame: icmp_error(side, *destination.ip(), kind, quoted),
        verdict,
    };
    let to_vip = |kind, verdict| error(Side::Front, VIP, kind, &sent(VIP, CLIENT), verdict);
    let to_local = |kind, verdict| error(Side::Back, LOCAL, kind, &sent(LOCAL, BACKEND), verdict);
    let exceeded = || Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit);
    case("ICMP: too big, to the backend", after_handshake([to_vip(too_big(), "forward")]));
    case("ICMP: too big, to the client", after_handshake([to_local(too_big(), "forward")]));
    case(
        "ICMP: time exceeded, both ways",
        after_handshake([to_vip(exceeded(), "forward"), to_local(exceeded(), "forward")]),
    );
    case("ICMP: about UDP, both ways", {
        let datagram =
            |source, destination| Datagram::new(source, destination, b"data").packet().expect("a packet");
        let question =
            Step { side: Side::Front, frame: frame(Side::Front, &datagram(CLIENT, VIP)), verdict: "forward" };
        vec![
            question,
            error(Side::Front, VIP, too_big(), &datagram(VIP, CLIENT), "forward"),
            error(Side::Back, LOCAL, too_big(), &datagram(LOCAL, BACKEND), "forward"),
        ]
    });
    case(
        "ICMP: about no session",
        vec![to_vip(too_big(), "pass_vip_other"), to_local(too_big(), "pass_local_other")],
    );
    case(
        "ICMP: about another session's port",
        after_handshake([{
            let mut other = CLIENT;
            other.set_port(CLIENT.port() + 1);
            error(Side::Front, VIP, too_big(), &sent(VIP, other), "pass_vip_other")
        }]),
    );
    case(
        "ICMP: quoting what its receiver never sent",
        after_handshake([error(Side::Front, VIP, too_big(), &sent(CLIENT, VIP), "drop_icmp")]),
    );
    case(
        "ICMP: echo",
        vec![{
            let echo = Icmpv4Type::EchoRequest(IcmpEchoHeader { id: 1, seq: 1 });
            error(Side::Front, VIP, echo, &[0; 28], "pass_vip_other")
        }],
    );
}

/// The table.
pub fn cases() -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });
    let fin = |mut s: Segment| {
        s.tcp.fin = true;
        s
    };
    let rst = |mut s: Segment| {
        s.tcp.rst = true;
        s
    };
    let forged = [254, 8, 0, 80, 192, 0, 2, 1];

    case(
        "a request and its answer",
        after_handshake([
            client(&ack(b"GET / HTTP/1.0\r\n\r\n")),
            backend(&from_backend(|s| (s.tcp.acknowledgment_number, s.payload) = (1019, b"hello".to_vec()))),
            client(&ack(b"")),
            backend(&fin(from_backend(|s| s.tcp.acknowledgment_number = 1019))),
            client(&fin(ack(b""))),
            backend(&from_backend(|s| s.tcp.acknowledgment_number = 1020)),
        ]),
    );
    case(
        "a server that speaks first",
        after_handshake([
            backend(&from_backend(|s| s.payload = b"220 ready\r\n".to_vec())),
            client(&ack(b"")),
            client(&ack(b"EHLO\r\n")),
        ]),
    );
    case(
        "an upload before any answer",
        after_handshake((0..4).map(|n| {
            client(&from_client(|s| {
                (s.tcp.ack, s.tcp.sequence_number, s.payload) = (true, 1001 + n * 1400, vec![7; 1400])
            }))
        })),
    );
    case(
        "a lost third ACK: TOA on the first data",
        vec![client(&syn()), backend(&syn_ack()), backend(&syn_ack()), client(&ack(b"data"))],
    );
    case("a FIN with data, at once", after_handshake([client(&fin(ack(b"bye")))]));
    case("a SYN twice", vec![client(&syn()), client(&syn()), backend(&syn_ack()), client(&ack(b""))]);
    case(
        "a SYN with data and a fast-open cookie",
        vec![client(&from_client(|s| {
            (s.tcp.syn, s.tcp.sequence_number, s.payload) = (true, 1000, b"early".to_vec());
            options(s, &[2, 4, 5, 0xB4, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
        }))],
    );
    case("a refused connection", vec![client(&syn()), backend(&rst(from_backend(|_| ())))]);
    case(
        "a forged reset and both ends going on",
        after_handshake([
            client(&rst(from_client(|s| s.tcp.ack = true))),
            client(&ack(b"still here")),
            backend(&from_backend(|s| s.payload = b"so am I".to_vec())),
        ]),
    );
    case(
        "a new connection over one that was reset",
        after_handshake([client(&rst(from_client(|s| s.tcp.ack = true))), client(&syn())]),
    );

    let with_forged = |kind: &str| {
        let mut segment = match kind {
            "syn" => syn(),
            "ack" => ack(b""),
            _ => ack(b"data"),
        };
        options(&mut segment, &forged);
        segment
    };
    case(
        "forged TOA on SYN, ACK and data",
        vec![
            client(&with_forged("syn")),
            backend(&syn_ack()),
            client(&with_forged("ack")),
            client(&with_forged("data")),
        ],
    );
    for (what, bytes) in [
        ("no room: forty bytes of options", vec![1; 40]),
        (
            "no room: three SACK blocks and timestamps",
            [&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 5, 26][..], &[9; 24]].concat(),
        ),
        ("just room: thirty-two bytes of options", vec![1; 32]),
        ("forged TOA behind NOPs and MSS", [&[1, 2, 4, 5, 0xB4, 1, 1, 1][..], &forged].concat()),
        (
            "forged TOA twice and of kinds 253 and 200",
            [&forged[..], &[253, 8, 0, 80, 1, 2, 3, 4, 200, 8, 0, 80, 1, 2, 3, 4], &forged].concat(),
        ),
        ("forged TOA of an IPv6 client", [&[254, 20][..], &[1; 18]].concat()),
        ("forged TOA behind the end of options", [&[0, 0, 0, 0][..], &forged].concat()),
        ("forged TOA behind a bad length", [&[8, 1, 1, 1][..], &forged].concat()),
        ("forged TOA that ends past the header", vec![1, 1, 254, 8]),
        ("an option cut after its kind", vec![1, 1, 1, 254]),
    ] {
        case(
            what,
            vec![
                client(&syn()),
                backend(&syn_ack()),
                client(&from_client(|s| {
                    (s.tcp.ack, s.payload) = (true, b"data".to_vec());
                    options(s, &bytes);
                })),
            ],
        );
    }
    case("no room: seven bytes under the MTU", after_handshake([client(&ack(&[1; 1500 - 40 - 7]))]));
    case("just room: eight bytes under the MTU", after_handshake([client(&ack(&[1; 1500 - 40 - 8]))]));
    for (what, bytes) in [
        ("an MSS at an odd offset", vec![1, 2, 4, 5, 0xB4, 1, 1, 1]),
        ("an MSS below what TOA takes", vec![2, 4, 0, 5]),
        ("a SYN-ACK without MSS", vec![]),
        ("an MSS of a wrong length", vec![2, 3, 5, 1]),
    ] {
        case(
            what,
            vec![
                client(&syn()),
                backend(&from_backend(|s| {
                    (s.tcp.syn, s.tcp.sequence_number) = (true, 5000);
                    options(s, &bytes);
                })),
            ],
        );
    }

    let question = || Datagram::new(CLIENT, VIP, b"who is it?");
    let answer = || Datagram::new(BACKEND, LOCAL, b"it is I");
    let send = |side, datagram: &Datagram| Step {
        side,
        frame: frame(side, &datagram.packet().expect("a datagram of ordinary size")),
        verdict: "forward",
    };
    case(
        "datagrams there and back",
        vec![send(Side::Front, &question()), send(Side::Back, &answer()), send(Side::Front, &question())],
    );
    case("datagrams without a checksum", {
        let (mut question, mut answer) = (question(), answer());
        (question.checksum, answer.checksum) = (Some(0), Some(0));
        vec![send(Side::Front, &question), send(Side::Back, &answer)]
    });
    // The answer's sum over VIP and client is to be zero, which UDP writes as 0xffff.
    case("a datagram whose checksum becomes zero", {
        let mut answer = answer();
        let mut rewritten = Datagram::new(VIP, CLIENT, b"\0\0");
        let packet = rewritten.packet().expect("a packet");
        rewritten.payload = packet[26..28].to_vec();
        answer.payload = rewritten.payload;
        vec![send(Side::Front, &question()), send(Side::Back, &answer)]
    });
    case("TCP and UDP on one tuple", vec![client(&syn()), send(Side::Front, &question())]);
    case("a datagram for another port", {
        let mut question = question();
        question.destination.set_port(81);
        vec![Step { verdict: "drop_no_listener", ..send(Side::Front, &question) }]
    });
    case(
        "an answer without a question",
        vec![Step { verdict: "pass_no_session", ..send(Side::Back, &answer()) }],
    );
    for (what, len) in [("a UDP length below its header", 7u16), ("a UDP length past the packet", 19)] {
        let mut step = Step { verdict: "drop_malformed", ..send(Side::Front, &question()) };
        step.frame[38..40].copy_from_slice(&len.to_be_bytes());
        case(what, vec![step]);
    }

    icmp_cases(&mut table);
    let mut case = |what, steps| table.push(Case { what, steps });

    let front = |segment: &Segment, verdict| vec![step(Side::Front, segment, verdict)];
    let to = |address: &str| {
        let mut segment = syn();
        segment.destination = address.parse().expect("an address");
        segment
    };
    case("data without a session", front(&ack(b"data"), "drop_no_session"));
    case(
        "a SYN-ACK without a session",
        front(&from_client(|s| (s.tcp.syn, s.tcp.ack) = (true, true)), "drop_no_session"),
    );
    case("a port without a listener", front(&to("203.0.113.10:81"), "drop_no_listener"));
    case("somebody else's address", front(&to("192.0.2.200:80"), "pass_not_ours"));
    case("a local port without a session", vec![step(Side::Back, &syn_ack(), "pass_no_session")]);
    case(
        "a port of the local address that is not ours",
        vec![step(Side::Back, &from_backend(|s| s.destination.set_port(22)), "pass_local_other")],
    );
    case(
        "another backend on a session's local port",
        after_handshake([step(Side::Back, &from_backend(|s| s.source.set_port(8081)), "pass_no_session")]),
    );
    case(
        "a time to live of one",
        front(&from_client(|s| (s.tcp.syn, s.time_to_live) = (true, 1)), "drop_ttl"),
    );
    let spoilt = |verdict, edit: fn(&mut Vec<u8>)| vec![raw(Side::Front, &syn(), verdict, edit)];
    case("IP options", spoilt("drop_ip_options", |p| p[0] = 0x46));
    case("an IP header of four words", spoilt("drop_malformed", |p| p[0] = 0x44));
    case("another IP version", spoilt("drop_malformed", |p| p[0] = 0x65));
    case("a first fragment", spoilt("drop_fragment", |p| p[6] = 0x20));
    case("a later fragment", spoilt("drop_fragment", |p| p[7] = 1));
    case("not TCP", spoilt("pass_vip_other", |p| p[9] = 1));
    case("a TCP header of four words", spoilt("drop_malformed", |p| p[32] = 0x40));
    case("a TCP header longer than the packet", spoilt("drop_malformed", |p| p[32] = 0xF0));
    case("an IP length below the headers", spoilt("drop_malformed", |p| p[2..4].copy_from_slice(&[0, 39])));
    case("an IP length past the frame", spoilt("drop_malformed", |p| p[3] += 1));
    case("padding behind the packet", vec![raw(Side::Front, &syn(), "forward", |p| p.extend([0; 6]))]);
    let mut arp = frame(Side::Front, &syn().packet().expect("a packet"));
    arp[12..14].copy_from_slice(&[8, 6]);
    case("ARP", vec![Step { side: Side::Front, frame: arp, verdict: "pass_not_ipv4" }]);
    table
}
