//! Packets that are dropped, or passed to the host.

use super::{
    Case, Cast, Side, Step,
    cast::{raw, step},
    frame,
};
use crate::Segment;

pub(super) fn cases(cast: Cast) -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });
    let front = |segment: &Segment, verdict| vec![step(Side::Front, segment, verdict)];
    case("data without a session", front(&cast.ack(b"data"), "drop_no_session"));
    case(
        "a SYN-ACK without a session",
        front(&cast.from_client(|s| (s.tcp.syn, s.tcp.ack) = (true, true)), "drop_no_session"),
    );
    case("a port without a listener", {
        let mut segment = cast.syn();
        segment.destination.set_port(81);
        front(&segment, "drop_no_listener")
    });
    case("a frame for another host's MAC opens nothing, and nobody hears of it", {
        let other = |mut step: Step| {
            step.frame[5] ^= 1;
            step.verdict = "pass_other_mac";
            step
        };
        let back = step(Side::Back, &cast.syn_ack(), "");
        [step(Side::Front, &cast.syn(), ""), step(Side::Front, &cast.ack(b"data"), ""), back]
            .map(other)
            .into()
    });
    case("a frame for another host's MAC moves nothing", {
        let mut fin =
            step(Side::Front, &cast.from_client(|s| (s.tcp.fin, s.tcp.ack) = (true, true)), "pass_other_mac");
        fin.frame[0] ^= 2;
        cast.after_handshake([fin])
    });
    case("somebody else's address", {
        let mut segment = cast.syn();
        segment.destination.set_ip(if cast.client.is_ipv4() {
            [192, 0, 2, 200].into()
        } else {
            [0x2001, 0xDB8, 2, 0, 0, 0, 0, 0x200].into()
        });
        front(&segment, "pass_not_ours")
    });
    case("a local port without a session", vec![step(Side::Back, &cast.syn_ack(), "drop_no_session")]);
    case(
        "a SYN to a local port without a session",
        vec![step(
            Side::Back,
            &cast.from_backend(|s| (s.tcp.syn, s.tcp.ack) = (true, false)),
            "pass_no_session",
        )],
    );
    case(
        "a port of the local address that is not ours",
        vec![step(Side::Back, &cast.from_backend(|s| s.destination.set_port(22)), "pass_local_other")],
    );
    case(
        "another backend on a session's local port",
        cast.after_handshake([step(
            Side::Back,
            &cast.from_backend(|s| s.source.set_port(8081)),
            "drop_no_session",
        )]),
    );
    case(
        "a time to live of one",
        front(&cast.from_client(|s| (s.tcp.syn, s.time_to_live) = (true, 1)), "drop_ttl"),
    );

    let spoilt =
        |verdict, edit: &dyn Fn(&mut Vec<u8>)| vec![raw(Side::Front, &cast.syn(), verdict, |p| edit(p))];
    let header = cast.front_header();
    if cast.client.is_ipv4() {
        case("an IP header of four words", spoilt("drop_malformed", &|p| p[0] = 0x44));
        case("another IP version", spoilt("drop_malformed", &|p| p[0] = 0x65));
        case("a later fragment", spoilt("drop_fragment", &|p| p[7] = 1));
        case("not TCP", spoilt("pass_vip_other", &|p| p[9] = 1));
        case(
            "an IP length below the headers",
            spoilt("drop_malformed", &|p| p[2..4].copy_from_slice(&[0, 39])),
        );
        case("an IP length past the frame", spoilt("drop_malformed", &|p| p[3] += 1));
    } else {
        case("another IP version", spoilt("drop_malformed", &|p| p[0] = 0x45));
        case("not TCP", spoilt("pass_vip_other", &|p| p[6] = 58));
        case(
            "an IP length below the headers",
            spoilt("drop_malformed", &|p| p[4..6].copy_from_slice(&[0, 19])),
        );
        case("an IP length past the frame", spoilt("drop_malformed", &|p| p[5] += 1));
    }
    case("a TCP header of four words", spoilt("drop_malformed", &|p| p[header + 12] = 0x40));
    case("a TCP header longer than the packet", spoilt("drop_malformed", &|p| p[header + 12] = 0xF0));
    case("padding behind the packet", vec![raw(Side::Front, &cast.syn(), "forward", |p| p.extend([0; 6]))]);
    case("ARP", {
        let mut arp = frame(Side::Front, &cast.syn().packet().expect("a packet"));
        arp[12..14].copy_from_slice(&[8, 6]);
        vec![Step { side: Side::Front, frame: arp, verdict: "pass_not_ip" }]
    });
    table
}
