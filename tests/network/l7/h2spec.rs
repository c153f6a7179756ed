//! The cases of h2spec (generic, hpack, http2), case for case, without TLS: is what RFC 9113 and RFC 7541 ask for done, or at
//! least no less than by nginx?

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use testbed::{Network, Size};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{
        differential,
        echo::Echo,
        frames::{
            ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PRIORITY,
            RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame,
        },
        http,
    },
};

const PUSH_PROMISE: u8 = 5;
const WITH_PRIORITY: u8 = 0x20;
const HEAD: u8 = END_HEADERS | END_STREAM;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const ECHO: &[u8; 8] = b"h2spec!!";
/// How long an answer may take; cases that get none take as long.
const PATIENCE: Duration = Duration::from_millis(700);

/// Codes of errors (RFC 9113, section 7).
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What has to come.
#[derive(Clone, Debug)]
enum Expected {
    /// The connection's end, or GOAWAY with one of these codes.
    ConnectionError(&'static [u32]),
    /// That, or a stream's end with one of them.
    StreamError(&'static [u32]),
    /// The answer to a PING behind it all: nothing was wrong.
    Pong,
    /// The same, or the connection's end.
    PongOrEnd,
    /// The head of an answer on this stream.
    Answer(u32),
    /// An acknowledgement of settings, beside that of the first.
    Ack,
    /// Frames of data of so many bytes in all on stream 1, and no more before the PING's answer.
    Data(usize),
}
use Expected::*;

/// What is done, one after the other.
enum Step {
    Send(Vec<u8>),
    /// Until the answer on this stream has ended.
    Wait(u32),
}

struct Case {
    name: &'static str,
    steps: Vec<Step>,
    expected: Expected,
}

/// What came.
#[derive(Debug, Default)]
struct Heard {
    /// Kind, flags, stream, payload.
    frames: Vec<(u8, u8, u32, Vec<u8>)>,
    is_closed: bool,
}

/// A header block in literal fields that are not remembered.
fn get(more: &[(&str, &str)]) -> Vec<u8> {
    let all = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example")];
    block(&[&all[..], more].concat())
}

fn post(more: &[(&str, &str)]) -> Vec<u8> {
    let all = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example")];
    block(&[&all[..], more].concat())
}

/// The same without one of them.
fn without(name: &str) -> Vec<u8> {
    let all = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "shop.example")];
    block(&all.into_iter().filter(|(other, _)| *other != name).collect::<Vec<_>>())
}

fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

fn priority(stream: u32, on: u32, weight: u8) -> Vec<u8> {
    frame(PRIORITY, 0, stream, &[&on.to_be_bytes()[..], &[weight]].concat())
}

fn window(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

fn settings(of: &[(u16, u32)]) -> Vec<u8> {
    let each = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &of.iter().flat_map(each).collect::<Vec<_>>())
}

/// What all of these say, at once.
fn case(name: &'static str, sent: &[Vec<u8>], expected: Expected) -> Case {
    Case { name, steps: vec![Step::Send(sent.concat())], expected }
}

/// An answer is waited for before the rest is sent.
fn behind_an_answer(name: &'static str, sent: &[Vec<u8>], expected: Expected) -> Case {
    let steps = vec![Step::Send(headers(HEAD, 1, &get(&[]))), Step::Wait(1), Step::Send(sent.concat())];
    Case { name, steps, expected }
}

fn generic() -> Vec<Case> {
    let g = || headers(HEAD, 1, &get(&[]));
    let body =
        |flags, payload: &[u8]| vec![headers(END_HEADERS, 1, &post(&[])), frame(DATA, flags, 1, payload)];
    let dummy = "x".repeat(100);
    let split = get(&[("x-a", &dummy), ("x-b", &dummy)]);
    let (first, rest) = split.split_at(40);
    let (second, third) = rest.split_at(60);
    // As h2spec spells them: indexed, or literal with or without a name of the table, with or without Huffman's code.
    let hpack = |field: &[u8]| {
        headers(HEAD, 1, &[&[0x82, 0x86, 0x84][..], &get(&[])[get_authority()..], field].concat())
    };
    let agent: (&[u8], &[u8]) = (b"\x04test", b"\x83\x49\x50\x9f");
    vec![
        case("generic/1 a preface", &[], Pong),
        case("generic/2/1 PRIORITY on an idle stream", &[priority(1, 0, 255)], Pong),
        case("generic/2/2 WINDOW_UPDATE on a half-closed stream", &[g(), window(1, 1)], Answer(1)),
        case("generic/2/3 PRIORITY on a half-closed stream", &[g(), priority(1, 0, 255)], Answer(1)),
        case("generic/2/4 RST_STREAM on a half-closed stream", &[g(), reset(1)], Pong),
        behind_an_answer("generic/2/5 PRIORITY on a closed stream", &[priority(1, 0, 255)], Pong),
        case("generic/3.1/1 DATA", &body(END_STREAM, b"test"), Answer(1)),
        case(
            "generic/3.1/2 several DATA",
            &[body(0, b"test"), vec![frame(DATA, END_STREAM, 1, b"test")]].concat(),
            Answer(1),
        ),
        case("generic/3.1/3 padded DATA", &body(END_STREAM | PADDED, b"\x06test\0\0\0\0\0\0"), Answer(1)),
        case("generic/3.2/1 HEADERS", &[g()], Answer(1)),
        case(
            "generic/3.2/2 padded HEADERS",
            &[headers(HEAD | PADDED, 1, &[&[6][..], &get(&[]), &[0; 6]].concat())],
            Answer(1),
        ),
        case(
            "generic/3.2/3 HEADERS with priority",
            &[headers(HEAD | WITH_PRIORITY, 1, &[&[0, 0, 0, 0, 255][..], &get(&[])].concat())],
            Answer(1),
        ),
        case("generic/3.3/1 PRIORITY 1", &[priority(1, 0, 0), g()], Answer(1)),
        case("generic/3.3/2 PRIORITY 256", &[priority(1, 0, 255), g()], Answer(1)),
        case("generic/3.3/3 a dependency", &[priority(1, 3, 255), g()], Answer(1)),
        case("generic/3.3/4 an exclusive one", &[priority(1, 0x8000_0003, 255), g()], Answer(1)),
        case("generic/3.3/5 PRIORITY, then a lower stream", &[priority(3, 0, 255), g()], Answer(1)),
        case("generic/3.4/1 RST_STREAM", &[headers(END_HEADERS, 1, &post(&[])), reset(1)], Pong),
        case("generic/3.5/1 SETTINGS", &[settings(&[(3, 100)])], Ack),
        case("generic/3.7/1 PING", &[], Pong),
        case("generic/3.8/1 GOAWAY", &[frame(GOAWAY, 0, 0, &[0; 8])], PongOrEnd),
        case("generic/3.9/1 WINDOW_UPDATE of the connection", &[window(0, 1), g()], Answer(1)),
        case("generic/3.9/2 WINDOW_UPDATE of a stream", &[g(), window(1, 1)], Answer(1)),
        case(
            "generic/3.10/1 CONTINUATION",
            &[headers(END_STREAM, 1, first), frame(CONTINUATION, END_HEADERS, 1, rest)],
            Answer(1),
        ),
        case(
            "generic/3.10/2 several CONTINUATION",
            &[
                headers(END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, second),
                frame(CONTINUATION, END_HEADERS, 1, third),
            ],
            Answer(1),
        ),
        case("generic/4/1 GET", &[g()], Answer(1)),
        case(
            "generic/4/2 HEAD",
            &[headers(HEAD, 1, &[block(&[(":method", "HEAD")]), without(":method")].concat())],
            Answer(1),
        ),
        case("generic/4/3 POST", &body(END_STREAM, b"test"), Answer(1)),
        case(
            "generic/4/4 POST with trailers",
            &[body(0, b"test"), vec![headers(HEAD, 1, &block(&[("x-test", "ok")]))]].concat(),
            Answer(1),
        ),
        case("generic/5/1 indexed", &[hpack(&[])], Answer(1)),
        case(
            "generic/5/2 literal, remembered, indexed name",
            &[hpack(&[&[0x7a][..], agent.0].concat())],
            Answer(1),
        ),
        case("generic/5/3 the same in Huffman", &[hpack(&[&[0x7a][..], agent.1].concat())], Answer(1)),
        case(
            "generic/5/4 literal, remembered, new name",
            &[hpack(&[&[0x40][..], b"\x04test", agent.0].concat())],
            Answer(1),
        ),
        case(
            "generic/5/5 the same in Huffman",
            &[hpack(&[&[0x40][..], agent.1, agent.1].concat())],
            Answer(1),
        ),
        case(
            "generic/5/6 literal, indexed name",
            &[hpack(&[&[0x0f, 0x2b][..], agent.0].concat())],
            Answer(1),
        ),
        case("generic/5/7 the same in Huffman", &[hpack(&[&[0x0f, 0x2b][..], agent.1].concat())], Answer(1)),
        case(
            "generic/5/8 literal, new name",
            &[hpack(&[&[0x00][..], b"\x04test", agent.0].concat())],
            Answer(1),
        ),
        case(
            "generic/5/9 the same in Huffman",
            &[hpack(&[&[0x00][..], agent.1, agent.1].concat())],
            Answer(1),
        ),
        case(
            "generic/5/10 never indexed, indexed name",
            &[hpack(&[&[0x1f, 0x2b][..], agent.0].concat())],
            Answer(1),
        ),
        case("generic/5/11 the same in Huffman", &[hpack(&[&[0x1f, 0x2b][..], agent.1].concat())], Answer(1)),
        case(
            "generic/5/12 never indexed, new name",
            &[hpack(&[&[0x10][..], b"\x04test", agent.0].concat())],
            Answer(1),
        ),
        case(
            "generic/5/13 the same in Huffman",
            &[hpack(&[&[0x10][..], agent.1, agent.1].concat())],
            Answer(1),
        ),
        case(
            "generic/5/14 the table's size",
            &[headers(HEAD, 1, &[&[0x3f, 0x61][..], &get(&[])].concat())],
            Answer(1),
        ),
        case(
            "generic/5/15 twice",
            &[headers(HEAD, 1, &[&[0x20, 0x3f, 0x61][..], &get(&[])].concat())],
            Answer(1),
        ),
    ]
}

/// Where the last field of [`get`] begins.
fn get_authority() -> usize {
    get(&[]).len() - block(&[(":authority", "shop.example")]).len()
}

fn hpack() -> Vec<Case> {
    const WRONG: Expected = ConnectionError(&[COMPRESSION]);
    let bad = |field: &[u8]| vec![headers(HEAD, 1, &[&get(&[])[..], field].concat())];
    vec![
        case("hpack/2.3.3/1 an index that is none", &bad(&[0xff, 0x80, 0x01]), WRONG),
        case("hpack/2.3.3/2 a name's index that is none", &bad(b"\x7f\x80\x01\x04test"), WRONG),
        case("hpack/4.2/1 a size at the end", &bad(&[0x21]), WRONG),
        case("hpack/5.2/1 padding of eight bits", &bad(b"\x00\x04test\x84\x49\x50\x9f\xff"), WRONG),
        case("hpack/5.2/2 padding of zeros", &bad(b"\x00\x04test\x83\x49\x50\x90"), WRONG),
        case("hpack/5.2/3 EOS", &bad(b"\x00\x04test\x88\x49\x51\xff\xff\xff\xfa\x7f\xff"), WRONG),
        case("hpack/6.1/1 index 0", &bad(&[0x80]), WRONG),
        case(
            "hpack/6.3/1 a size above the limit",
            &[headers(HEAD, 1, &[&[0x3f, 0xe2, 0x1f][..], &get(&[])].concat())],
            WRONG,
        ),
    ]
}

fn http2() -> Vec<Case> {
    let g = || headers(HEAD, 1, &get(&[]));
    let open = || headers(END_HEADERS, 1, &post(&[]));
    let data = |stream| frame(DATA, END_STREAM, stream, b"test");
    let more = |stream| frame(CONTINUATION, END_HEADERS, stream, &block(&[("x-a", "b")]));
    let bad = |more: &[(&str, &str)]| vec![headers(HEAD, 1, &get(more))];
    let large = vec![b'x'; 16_385];
    let (conn, stream) = (|codes| ConnectionError(codes), |codes| StreamError(codes));
    let many: Vec<_> = (0..400).map(|n| headers(END_HEADERS, 2 * n + 1, &post(&[]))).collect();
    let half = |next: Vec<u8>| vec![headers(0, 1, &get(&[])), next];
    vec![
        case("http2/3.5/1 a preface", &[], Pong),
        case("http2/4.1/1 a frame of an unknown kind", &[frame(0x16, 0, 0, &[0; 8])], Pong),
        case("http2/4.1/2 flags that there are not", &[frame(PING, 0x16, 0, ECHO)], Pong),
        case("http2/4.1/3 the reserved bit", &[frame(PING, 0, 0x8000_0000, ECHO)], Pong),
        case("http2/4.2/1 DATA of 2^14 bytes", &[open(), frame(DATA, END_STREAM, 1, &large[1..])], Answer(1)),
        case(
            "http2/4.2/2 DATA of more",
            &[open(), frame(DATA, END_STREAM, 1, &large)],
            stream(&[FRAME_SIZE]),
        ),
        case("http2/4.2/3 HEADERS of more", &[headers(HEAD, 1, &large)], conn(&[FRAME_SIZE])),
        case(
            "http2/4.3/1 a block that is none",
            &[headers(HEAD, 1, b"\x00\x00\x01\x02\x03")],
            conn(&[COMPRESSION, PROTOCOL]),
        ),
        case("http2/4.3/2 PRIORITY in a block", &half(priority(1, 0, 255)), conn(&[PROTOCOL])),
        case(
            "http2/4.3/3 another stream's HEADERS in a block",
            &half(headers(HEAD, 3, &get(&[]))),
            conn(&[PROTOCOL]),
        ),
        case("http2/5.1/1 idle: DATA", &[data(1)], conn(&[PROTOCOL, STREAM_CLOSED])),
        case("http2/5.1/2 idle: RST_STREAM", &[reset(1)], conn(&[PROTOCOL])),
        case("http2/5.1/3 idle: WINDOW_UPDATE", &[window(1, 100)], conn(&[PROTOCOL])),
        case("http2/5.1/4 idle: CONTINUATION", &[more(1)], conn(&[PROTOCOL])),
        case("http2/5.1/5 half-closed: DATA", &[g(), data(1)], stream(&[STREAM_CLOSED])),
        case(
            "http2/5.1/6 half-closed: HEADERS",
            &[g(), headers(HEAD, 1, &get(&[]))],
            stream(&[STREAM_CLOSED]),
        ),
        case("http2/5.1/7 half-closed: CONTINUATION", &[g(), more(1)], stream(&[STREAM_CLOSED, PROTOCOL])),
        case("http2/5.1/8 reset: DATA", &[open(), reset(1), data(1)], stream(&[STREAM_CLOSED])),
        case("http2/5.1/9 reset: HEADERS", &[open(), reset(1), g()], stream(&[STREAM_CLOSED])),
        case(
            "http2/5.1/10 reset: CONTINUATION",
            &[open(), reset(1), more(1)],
            stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        behind_an_answer("http2/5.1/11 closed: DATA", &[data(1)], stream(&[STREAM_CLOSED])),
        behind_an_answer("http2/5.1/12 closed: HEADERS", &[g()], conn(&[STREAM_CLOSED])),
        behind_an_answer("http2/5.1/13 closed: CONTINUATION", &[more(1)], conn(&[STREAM_CLOSED, PROTOCOL])),
        case("http2/5.1.1/1 an even stream", &[headers(HEAD, 2, &get(&[]))], conn(&[PROTOCOL])),
        case(
            "http2/5.1.1/2 a lower stream",
            &[headers(HEAD, 5, &get(&[])), headers(HEAD, 3, &get(&[]))],
            conn(&[PROTOCOL, STREAM_CLOSED]),
        ),
        case("http2/5.1.2/1 too many streams", &many, stream(&[PROTOCOL, REFUSED])),
        case(
            "http2/5.3.1/1 HEADERS that depend on themselves",
            &[headers(HEAD | WITH_PRIORITY, 1, &[&[0, 0, 0, 1, 255][..], &get(&[])].concat())],
            stream(&[PROTOCOL]),
        ),
        case("http2/5.3.1/2 PRIORITY the same", &[priority(2, 2, 255)], stream(&[PROTOCOL])),
        case("http2/5.4.1/1 a wrong frame: the end", &[frame(PING, 0, 3, &[0; 8])], conn(&[PROTOCOL])),
        case("http2/5.5/1 an extension's frame", &[frame(0x16, 0, 0, &[0; 4])], Pong),
        case("http2/5.5/2 one in a block", &half(frame(0x16, 0, 0, &[0; 4])), conn(&[PROTOCOL])),
        case("http2/6.1/1 DATA on no stream", &[frame(DATA, END_STREAM, 0, b"test")], conn(&[PROTOCOL])),
        behind_an_answer(
            "http2/6.1/2 DATA on a stream that is not open",
            &[data(1)],
            stream(&[STREAM_CLOSED]),
        ),
        case(
            "http2/6.1/3 DATA with too much padding",
            &[open(), frame(DATA, END_STREAM | PADDED, 1, b"\x06test")],
            conn(&[PROTOCOL]),
        ),
        case("http2/6.2/1 HEADERS, then PRIORITY", &half(priority(1, 0, 255)), conn(&[PROTOCOL])),
        case(
            "http2/6.2/2 HEADERS, then another's",
            &half(headers(END_HEADERS, 3, &get(&[]))),
            conn(&[PROTOCOL]),
        ),
        case("http2/6.2/3 HEADERS on no stream", &[headers(HEAD, 0, &get(&[]))], conn(&[PROTOCOL])),
        case(
            "http2/6.2/4 HEADERS with too much padding",
            &[headers(HEAD | PADDED, 1, &[&[255][..], &get(&[])].concat())],
            conn(&[PROTOCOL]),
        ),
        case("http2/6.3/1 PRIORITY on no stream", &[priority(0, 1, 255)], conn(&[PROTOCOL])),
        case(
            "http2/6.3/2 PRIORITY of another length",
            &[open(), frame(PRIORITY, 0, 1, &[0; 4])],
            stream(&[FRAME_SIZE]),
        ),
        case("http2/6.4/1 RST_STREAM on no stream", &[reset(0)], conn(&[PROTOCOL])),
        case("http2/6.4/2 RST_STREAM on an idle one", &[reset(1)], conn(&[PROTOCOL])),
        case(
            "http2/6.4/3 RST_STREAM of another length",
            &[open(), frame(RST_STREAM, 0, 1, &[0; 3])],
            conn(&[FRAME_SIZE]),
        ),
        case(
            "http2/6.5/1 an acknowledgement with a payload",
            &[frame(SETTINGS, ACK, 0, &[0])],
            conn(&[FRAME_SIZE]),
        ),
        case(
            "http2/6.5/2 SETTINGS on a stream",
            &[frame(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100])],
            conn(&[PROTOCOL]),
        ),
        case(
            "http2/6.5/3 SETTINGS of another length",
            &[frame(SETTINGS, 0, 0, &[0, 3, 0])],
            conn(&[FRAME_SIZE]),
        ),
        case("http2/6.5.2/1 ENABLE_PUSH 2", &[settings(&[(2, 2)])], conn(&[PROTOCOL])),
        case("http2/6.5.2/2 INITIAL_WINDOW_SIZE 2^31", &[settings(&[(4, 1 << 31)])], conn(&[FLOW_CONTROL])),
        case("http2/6.5.2/3 MAX_FRAME_SIZE too small", &[settings(&[(5, 16_383)])], conn(&[PROTOCOL])),
        case("http2/6.5.2/4 MAX_FRAME_SIZE too large", &[settings(&[(5, 1 << 24)])], conn(&[PROTOCOL])),
        case("http2/6.5.2/5 an unknown setting", &[settings(&[(0xff, 1)])], Pong),
        case("http2/6.5.3/1 a setting twice", &[settings(&[(4, 100), (4, 1)]), g()], Data(1)),
        case("http2/6.5.3/2 SETTINGS", &[settings(&[(3, 100)])], Ack),
        case("http2/6.7/1 PING", &[], Pong),
        case("http2/6.7/2 PING's answer", &[frame(PING, ACK, 0, b"invalid!")], Pong),
        case("http2/6.7/3 PING on a stream", &[frame(PING, 0, 1, &[0; 8])], conn(&[PROTOCOL])),
        case("http2/6.7/4 PING of another length", &[frame(PING, 0, 0, &[0; 6])], conn(&[FRAME_SIZE])),
        case("http2/6.8/1 GOAWAY on a stream", &[frame(GOAWAY, 0, 1, &[0; 8])], conn(&[PROTOCOL])),
        case("http2/6.9/1 WINDOW_UPDATE of 0", &[window(0, 0)], conn(&[PROTOCOL])),
        case("http2/6.9/2 the same on a stream", &[open(), window(1, 0)], stream(&[PROTOCOL])),
        case(
            "http2/6.9/3 WINDOW_UPDATE of another length",
            &[frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1])],
            conn(&[FRAME_SIZE]),
        ),
        case("http2/6.9.1/1 a window of 1", &[settings(&[(4, 1)]), g()], Data(1)),
        case(
            "http2/6.9.1/2 the connection's window above 2^31",
            &[window(0, i32::MAX as u32), window(0, i32::MAX as u32)],
            conn(&[FLOW_CONTROL]),
        ),
        case(
            "http2/6.9.1/3 a stream's",
            &[open(), window(1, i32::MAX as u32), window(1, i32::MAX as u32)],
            stream(&[FLOW_CONTROL]),
        ),
        case(
            "http2/6.9.2/1 the window is changed later",
            &[settings(&[(4, 0)]), g(), settings(&[(4, 1)])],
            Data(1),
        ),
        case(
            "http2/6.9.2/2 a window below zero",
            &[settings(&[(4, 3)]), g(), settings(&[(4, 2)]), window(1, 2)],
            Data(4),
        ),
        case(
            "http2/6.9.2/3 INITIAL_WINDOW_SIZE above the limit",
            &[settings(&[(4, 1 << 31)])],
            conn(&[FLOW_CONTROL]),
        ),
        case(
            "http2/6.10/1 several CONTINUATION",
            &[headers(END_STREAM, 1, &get(&[])), frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")])), more(1)],
            Answer(1),
        ),
        case(
            "http2/6.10/2 CONTINUATION, then another",
            &[
                headers(END_STREAM, 1, &get(&[])),
                frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")])),
                frame(DATA, END_STREAM, 1, b"x"),
            ],
            conn(&[PROTOCOL]),
        ),
        case(
            "http2/6.10/3 CONTINUATION on no stream",
            &[headers(END_STREAM, 1, &get(&[])), more(0)],
            conn(&[PROTOCOL]),
        ),
        case("http2/6.10/4 CONTINUATION behind the end of HEADERS", &[open(), more(1)], conn(&[PROTOCOL])),
        case(
            "http2/6.10/5 and of another",
            &[headers(0, 1, &post(&[])), more(1), more(1)],
            conn(&[PROTOCOL]),
        ),
        case(
            "http2/6.10/6 CONTINUATION behind DATA",
            &[open(), frame(DATA, 0, 1, b"x"), more(1)],
            conn(&[PROTOCOL]),
        ),
        case(
            "http2/7/1 GOAWAY with an unknown code",
            &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            PongOrEnd,
        ),
        case(
            "http2/7/2 RST_STREAM with an unknown code",
            &[open(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])],
            Pong,
        ),
        case(
            "http2/8.1/1 trailers that do not end",
            &[open(), headers(END_HEADERS, 1, &block(&[("x-test", "ok")]))],
            stream(&[PROTOCOL]),
        ),
        case("http2/8.1.2/1 a name in upper case", &bad(&[("X-TEST", "ok")]), stream(&[PROTOCOL])),
        case("http2/8.1.2.1/1 an unknown pseudo-field", &bad(&[(":test", "ok")]), stream(&[PROTOCOL])),
        case("http2/8.1.2.1/2 an answer's", &bad(&[(":status", "200")]), stream(&[PROTOCOL])),
        case(
            "http2/8.1.2.1/3 one in trailers",
            &[open(), frame(DATA, 0, 1, b"x"), headers(HEAD, 1, &block(&[(":method", "200")]))],
            stream(&[PROTOCOL]),
        ),
        case(
            "http2/8.1.2.1/4 one behind others",
            &[headers(HEAD, 1, &[without(":path"), block(&[("x-test", "ok"), (":path", "/")])].concat())],
            stream(&[PROTOCOL]),
        ),
        case(
            "http2/8.1.2.2/1 the connection's fields",
            &bad(&[("connection", "keep-alive")]),
            stream(&[PROTOCOL]),
        ),
        case("http2/8.1.2.2/2 TE", &bad(&[("te", "trailers, deflate")]), stream(&[PROTOCOL])),
        case(
            "http2/8.1.2.3/1 an empty path",
            &[headers(HEAD, 1, &[block(&[(":path", "")]), without(":path")].concat())],
            stream(&[PROTOCOL]),
        ),
        case("http2/8.1.2.3/2 no method", &[headers(HEAD, 1, &without(":method"))], stream(&[PROTOCOL])),
        case("http2/8.1.2.3/3 no scheme", &[headers(HEAD, 1, &without(":scheme"))], stream(&[PROTOCOL])),
        case("http2/8.1.2.3/4 no path", &[headers(HEAD, 1, &without(":path"))], stream(&[PROTOCOL])),
        case("http2/8.1.2.3/5 two methods", &bad(&[(":method", "GET")]), stream(&[PROTOCOL])),
        case("http2/8.1.2.3/6 two schemes", &bad(&[(":scheme", "http")]), stream(&[PROTOCOL])),
        case("http2/8.1.2.3/7 two paths", &bad(&[(":path", "/")]), stream(&[PROTOCOL])),
        case(
            "http2/8.1.2.6/1 another length than DATA",
            &[headers(END_HEADERS, 1, &post(&[("content-length", "1")])), data(1)],
            stream(&[PROTOCOL]),
        ),
        case(
            "http2/8.1.2.6/2 than several",
            &[
                headers(END_HEADERS, 1, &post(&[("content-length", "1")])),
                frame(DATA, 0, 1, b"test"),
                data(1),
            ],
            stream(&[PROTOCOL]),
        ),
        case(
            "http2/8.2/1 PUSH_PROMISE",
            &[frame(PUSH_PROMISE, END_HEADERS, 1, &[&3_u32.to_be_bytes()[..], &get(&[])].concat())],
            conn(&[PROTOCOL]),
        ),
    ]
}

struct Peer(TcpStream, Heard, Vec<u8>);

impl Peer {
    fn connect(balancer: &Balancer, to: SocketAddr, preface: &[u8]) -> Self {
        let stream = balancer.network.client().enter(|| TcpStream::connect(to)).unwrap().unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut peer = Self(stream, Heard::default(), Vec::new());
        peer.send(preface);
        peer
    }

    /// A peer that has closed the connection takes no more.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Hears until this holds, all is over, or nothing comes for too long. Whether it holds.
    fn hear(&mut self, holds: impl Fn(&Heard) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        loop {
            while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = &self.2[..] {
                let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
                let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
                let Some(payload) = rest.get(..length) else { break };
                let (kind, flags, payload) = (*kind, *flags, payload.to_vec());
                self.2.drain(..9 + length);
                if (kind, flags & ACK) == (SETTINGS, 0) {
                    self.send(&frame(SETTINGS, ACK, 0, &[]));
                }
                self.1.frames.push((kind, flags, stream, payload));
            }
            if holds(&self.1) {
                return true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.1.is_closed || left.is_zero() {
                return false;
            }
            self.0.set_read_timeout(Some(left)).unwrap();
            let mut bytes = [0; 16_384];
            match self.0.read(&mut bytes) {
                Ok(count @ 1..) => self.2.extend(&bytes[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(_) | Err(_) => self.1.is_closed = true,
            }
        }
    }
}

impl Heard {
    fn code(&self, kind: u8, at: usize) -> Option<u32> {
        let (.., payload) = self.frames.iter().find(|(other, ..)| *other == kind)?;
        Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?))
    }

    fn ended(&self, stream: u32) -> bool {
        self.frames.iter().any(|&(kind, flags, of, _)| {
            of == stream && (kind == RST_STREAM || matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0)
        })
    }

    fn pong(&self) -> bool {
        self.frames
            .iter()
            .any(|(kind, flags, _, payload)| *kind == PING && flags & ACK != 0 && payload == ECHO)
    }

    fn data(&self) -> usize {
        self.frames.iter().filter(|(kind, ..)| *kind == DATA).map(|(.., payload)| payload.len()).sum()
    }

    fn is(&self, expected: &Expected) -> bool {
        let has = |codes: &[u32], code: Option<u32>| code.is_some_and(|code| codes.contains(&code));
        match *expected {
            ConnectionError(codes) => has(codes, self.code(GOAWAY, 4)) || self.is_closed,
            StreamError(codes) => {
                has(codes, self.code(GOAWAY, 4)) || has(codes, self.code(RST_STREAM, 0)) || self.is_closed
            }
            Pong => self.pong(),
            PongOrEnd => self.pong() || self.is_closed,
            Answer(stream) => self.frames.iter().any(|&(kind, _, of, _)| (kind, of) == (HEADERS, stream)),
            Ack => {
                self.frames.iter().filter(|(kind, flags, ..)| (*kind, flags & ACK) == (SETTINGS, ACK)).count()
                    > 1
            }
            Data(bytes) => self.data() == bytes,
        }
    }
}

/// What comes of a case, and whether that is right.
fn run(balancer: &Balancer, to: SocketAddr, case: &Case) -> (bool, Heard) {
    let mut peer = Peer::connect(balancer, to, &[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    for step in &case.steps {
        match step {
            Step::Send(bytes) => peer.send(bytes),
            Step::Wait(stream) => _ = peer.hear(|heard| heard.ended(*stream)),
        }
    }
    if matches!(case.expected, Pong | PongOrEnd) {
        peer.send(&frame(PING, 0, 0, ECHO));
    }
    let is_right = peer.hear(|heard| heard.is(&case.expected));
    (is_right, peer.1)
}

/// What of h2spec is not as it wants it, nor at nginx.
const NEITHER: [&str; 0] = [];

#[test]
fn what_h2spec_asks_for_is_done_or_not_by_nginx_either() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let _echo = Echo::start(&network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let server = "server { listen 8081 http2; location / { proxy_pass http://one; } }";
    let (_nginx, nginx) = differential::nginx(&network, directory.path(), server);
    let listener = "http2 = true".to_owned();
    let balancer = Balancer::start_in(network, Settings { listener, ..http(1) });

    let (mut failures, mut neither, mut count) = (String::new(), Vec::new(), 0);
    for case in [generic(), hpack(), http2()].into_iter().flatten() {
        count += 1;
        let (is_right, heard) = run(&balancer, VIP, &case);
        if is_right {
            continue;
        }
        let (is_theirs, theirs) = run(&balancer, nginx, &case);
        if is_theirs {
            failures +=
                &format!("{}: {:?}\n  ours  {heard:?}\n  nginx {theirs:?}\n", case.name, case.expected);
        } else {
            neither.push(case.name);
        }
    }
    // A preface that is none.
    let mut peer = Peer::connect(&balancer, VIP, b"INVALID CONNECTION PREFACE\r\n\r\n");
    assert!(peer.hear(|heard| heard.is_closed), "http2/3.5/2");
    assert!(failures.is_empty(), "{failures}");
    assert_eq!(neither, NEITHER, "of {count}");
}
