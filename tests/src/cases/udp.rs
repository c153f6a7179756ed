//! Datagrams.

use super::{Case, Cast, Side, Step, cast::client, frame};
use crate::Datagram;

pub(super) fn cases(cast: Cast) -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });

    let question = || Datagram::new(cast.client, cast.vip, b"who is it?");
    let answer = || Datagram::new(cast.backend, cast.local, b"it is I");
    case(
        "datagrams there and back",
        vec![send(Side::Front, &question()), send(Side::Back, &answer()), send(Side::Front, &question())],
    );
    // IPv6 forbids it.
    if cast == Cast::IPV4 {
        case("datagrams without a checksum", {
            let (mut question, mut answer) = (question(), answer());
            (question.checksum, answer.checksum) = (Some(0), Some(0));
            vec![send(Side::Front, &question), send(Side::Back, &answer)]
        });
    }
    if cast == Cast::IPV4_TO_IPV6 {
        case("a datagram without the checksum that IPv6 demands", {
            let question = Datagram { checksum: Some(0), ..question() };
            vec![Step { verdict: "drop_no_checksum", ..send(Side::Front, &question) }]
        });
    }
    // The answer's sum over VIP and client is to be zero, which UDP writes as 0xffff.
    case("a datagram whose checksum becomes zero", {
        let mut rewritten = Datagram::new(cast.vip, cast.client, b"\0\0");
        rewritten.payload = rewritten.sum().expect("a datagram of ordinary size").to_be_bytes().to_vec();
        let answer = Datagram { payload: rewritten.payload, ..answer() };
        vec![send(Side::Front, &question()), send(Side::Back, &answer)]
    });
    case("TCP and UDP on one tuple", vec![client(&cast.syn()), send(Side::Front, &question())]);
    case("a datagram for another port", {
        let mut question = question();
        question.destination.set_port(81);
        vec![Step { verdict: "drop_no_listener", ..send(Side::Front, &question) }]
    });
    case(
        "an answer without a question",
        vec![Step { verdict: "pass_no_session", ..send(Side::Back, &answer()) }],
    );
    let spoilt = |at: usize, len: u16| {
        let mut step = Step { verdict: "drop_malformed", ..send(Side::Front, &question()) };
        step.frame[at..at + 2].copy_from_slice(&len.to_be_bytes());
        vec![step]
    };
    let header = cast.front_header();
    case("a UDP length below its header", spoilt(14 + header + 4, 7));
    let (at, empty) = if header == 20 { (16, 20) } else { (18, 0) };
    case("an IP length without room for UDP's header", spoilt(at, empty + 7));
    table
}

fn send(side: Side, datagram: &Datagram) -> Step {
    let packet = datagram.packet().expect("a datagram of ordinary size");
    Step { side, frame: frame(side, &packet), verdict: "forward" }
}
