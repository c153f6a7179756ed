//! Connections, whole and broken.

use super::{
    Case, Cast,
    cast::{backend, client, options},
};
use crate::Segment;

pub(super) fn cases(cast: Cast) -> Vec<Case> {
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

    case(
        "a request and its answer",
        cast.after_handshake([
            client(&cast.ack(b"GET / HTTP/1.0\r\n\r\n")),
            backend(
                &cast.from_backend(|s| (s.tcp.acknowledgment_number, s.payload) = (1019, b"hello".to_vec())),
            ),
            client(&cast.ack(b"")),
            backend(&fin(cast.from_backend(|s| s.tcp.acknowledgment_number = 1019))),
            client(&fin(cast.ack(b""))),
            backend(&cast.from_backend(|s| s.tcp.acknowledgment_number = 1020)),
        ]),
    );
    case(
        "a server that speaks first",
        cast.after_handshake([
            backend(&cast.from_backend(|s| s.payload = b"220 ready\r\n".to_vec())),
            client(&cast.ack(b"")),
            client(&cast.ack(b"EHLO\r\n")),
        ]),
    );
    case(
        "an upload before any answer",
        cast.after_handshake((0..4).map(|n| {
            client(&cast.from_client(|s| {
                (s.tcp.ack, s.tcp.sequence_number, s.payload) = (true, 1001 + n * 1400, vec![7; 1400]);
            }))
        })),
    );
    case(
        "a lost third ACK: TOA on the first data",
        vec![
            client(&cast.syn()),
            backend(&cast.syn_ack()),
            backend(&cast.syn_ack()),
            client(&cast.ack(b"data")),
        ],
    );
    case("a FIN with data, at once", cast.after_handshake([client(&fin(cast.ack(b"bye")))]));
    case(
        "a SYN twice",
        vec![client(&cast.syn()), client(&cast.syn()), backend(&cast.syn_ack()), client(&cast.ack(b""))],
    );
    case(
        "a SYN with data and a fast-open cookie",
        vec![client(&cast.from_client(|s| {
            (s.tcp.syn, s.tcp.sequence_number, s.payload) = (true, 1000, b"early".to_vec());
            options(s, &[2, 4, 5, 0xB4, 34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]);
        }))],
    );
    case("a refused connection", vec![client(&cast.syn()), backend(&rst(cast.from_backend(|_| ())))]);
    case(
        "a forged reset and both ends going on",
        cast.after_handshake([
            client(&rst(cast.from_client(|s| s.tcp.ack = true))),
            client(&cast.ack(b"still here")),
            backend(&cast.from_backend(|s| s.payload = b"so am I".to_vec())),
        ]),
    );
    case(
        "a new connection over one that was reset",
        cast.after_handshake([client(&rst(cast.from_client(|s| s.tcp.ack = true))), client(&cast.syn())]),
    );
    table
}
