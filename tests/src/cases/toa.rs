//! TCP options: forged TOA, room for ours, and the MSS that makes it.

use super::{
    Case, Cast,
    cast::{backend, client, options},
};

/// What a client that wants to be another would send.
const FORGED: [u8; 8] = [254, 8, 0, 80, 192, 0, 2, 1];
/// A fast-open cookie (RFC 7413).
const COOKIE: [u8; 12] = [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1];
/// The MTU of every interface.
const MTU: usize = 1500;

pub(super) fn cases(cast: Cast) -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });

    let with_forged = |kind: &str| {
        let mut segment = match kind {
            "syn" => cast.syn(),
            "ack" => cast.ack(b""),
            _ => cast.ack(b"data"),
        };
        options(&mut segment, &FORGED);
        segment
    };
    case(
        "forged TOA on SYN, ACK and data",
        vec![
            client(&with_forged("syn")),
            backend(&cast.syn_ack()),
            client(&with_forged("ack")),
            client(&with_forged("data")),
        ],
    );
    for (what, bytes) in [
        ("no room left by forty bytes of options", vec![1; 40]),
        (
            "no room left by three SACK blocks and timestamps",
            [&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 5, 26][..], &[9; 24]].concat(),
        ),
        ("no room left by four bytes of options too many", vec![1; 44 - cast.toa_len()]),
        ("just room: as many options as leave some", vec![1; 40 - cast.toa_len()]),
        ("no room left by SACK blocks before timestamps", {
            [&[1, 1, 5, 26][..], &[9; 24], &[8, 10, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1]].concat()
        }),
        ("forged TOA behind NOPs and MSS", [&[1, 2, 4, 5, 0xB4, 1, 1, 1][..], &FORGED].concat()),
        (
            "forged TOA twice and of kinds 253 and 200",
            [&FORGED[..], &[253, 8, 0, 80, 1, 2, 3, 4, 200, 8, 0, 80, 1, 2, 3, 4], &FORGED].concat(),
        ),
        ("forged TOA of an IPv6 client", [&[254, 20][..], &[1; 18]].concat()),
        ("forged TOA behind the end of options", [&[0, 0, 0, 0][..], &FORGED].concat()),
        ("forged TOA behind a bad length", [&[8, 1, 1, 1][..], &FORGED].concat()),
        ("forged TOA that ends past the header", vec![1, 1, 254, 8]),
        ("an option cut after its kind", vec![1, 1, 1, 254]),
    ] {
        case(
            what,
            vec![
                client(&cast.syn()),
                backend(&cast.syn_ack()),
                client(&cast.from_client(|s| {
                    (s.tcp.ack, s.payload) = (true, b"data".to_vec());
                    options(s, &bytes);
                })),
            ],
        );
    }
    case("MPTCP in a SYN", {
        let mut syn = cast.syn();
        options(&mut syn, &[2, 4, 5, 0xB4, 30, 4, 1, 1]);
        vec![client(&syn), backend(&cast.syn_ack()), client(&cast.ack(b""))]
    });
    for (what, payload) in [("fast open in a SYN", &b""[..]), ("fast open in a SYN with data", b"early")] {
        let mut syn = cast.syn();
        options(&mut syn, &COOKIE);
        syn.payload = payload.to_vec();
        case(what, vec![client(&syn), backend(&cast.syn_ack())]);
    }
    let room = MTU - cast.back_header() - 20 - cast.toa_len();
    case(
        "no room: a byte too much for the MTU",
        cast.after_handshake([client(&cast.ack(&vec![1; room + 1]))]),
    );
    case("just room: as much as the MTU allows", cast.after_handshake([client(&cast.ack(&vec![1; room]))]));
    for (what, bytes) in [
        ("an MSS at an odd offset", vec![1, 2, 4, 5, 0xB4, 1, 1, 1]),
        ("an MSS below what TOA takes", vec![2, 4, 0, 5]),
        ("a SYN-ACK without MSS", vec![]),
        ("an MSS of a wrong length", vec![2, 3, 5, 1]),
    ] {
        case(
            what,
            vec![
                client(&cast.syn()),
                backend(&cast.from_backend(|s| {
                    (s.tcp.syn, s.tcp.sequence_number) = (true, 5000);
                    options(s, &bytes);
                })),
            ],
        );
    }
    table
}
