//! Does a client end that takes, or sends, a byte now and then, while one that is only slow goes on?

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBuf};
use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, VIP},
    l7::{
        certificates::Certificates,
        frames::{
            DATA, END_HEADERS, END_STREAM, HEADERS, Heard, Peer, RST_STREAM, WINDOW_UPDATE, frame, https,
            request, row,
        },
        http,
        script::{self, Client, ok},
        uploads,
    },
};

/// How long a client may pause.
const PATIENCE: Duration = Duration::from_secs(3);
const LIMITS: &str = "limits = { send_timeout = \"3s\", body_timeout = \"3s\" }";
/// Between two bytes of a drip.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a slow client is watched.
const LONG: Duration = Duration::from_secs(7);
/// What a slow one takes, in bytes per second.
const RATE: f64 = 65_536.0;
const STEP: Duration = Duration::from_millis(50);
/// Of the answer: more than all buffers on its way.
const LARGE: usize = 32 << 20;

/// How many requests are over.
fn over(balancer: &Balancer) -> u64 {
    row(balancer)["requests"].as_u64().unwrap()
}

/// Does this again and again until a request is over, which has to be by the deadline.
fn until_over(balancer: &Balancer, mut drip: impl FnMut()) {
    let before = over(balancer);
    let mut next = Instant::now();
    let is_over = || {
        drip();
        let is_due = Instant::now() >= next;
        if is_due {
            next = Instant::now() + Duration::from_millis(200);
        }
        thread::sleep(PAUSE);
        is_due && over(balancer) > before
    };
    wait_for("an end of the drip", DEADLINE, is_over).unwrap();
}

/// Does this for longer than a client may pause, each time with as many bytes as are due; no request ends, of which so many
/// had when it began.
fn goes_on(balancer: &Balancer, before: u64, mut step: impl FnMut(usize)) {
    let (begin, mut done) = (Instant::now(), 0);
    while begin.elapsed() < LONG {
        let due = (begin.elapsed().as_secs_f64() * RATE) as usize + 1;
        step(due - done);
        done = due;
        thread::sleep(STEP);
    }
    assert_eq!(over(balancer), before);
    assert!(LONG > 2 * PATIENCE);
}

/// Members that answer with much.
fn start_large(settings: crate::balancer::Settings) -> Balancer {
    let balancer = Balancer::start(settings);
    let large = ok(&"a".repeat(LARGE));
    script::serve(&balancer.network.backends[0], move |_, _| large.clone());
    balancer
}

fn secure() -> (Certificates, crate::balancer::Settings) {
    https(1, LIMITS, "protocol = \"http\"")
}

/// A client of HTTP/2 whose windows have these sizes, with a request.
fn ask_http2(balancer: &Balancer, certificates: &Certificates, window: u32) -> Peer {
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let mut peer = Peer::connect(balancer, certificates, &settings);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[])));
    peer
}

fn widen(stream: u32, by: usize) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &u32::try_from(by).unwrap().to_be_bytes())
}

#[test]
fn an_answer_of_http2_that_is_taken_by_the_byte_ends() {
    let (certificates, settings) = secure();
    let balancer = start_large(settings);
    let mut peer = ask_http2(&balancer, &certificates, 0);
    until_over(&balancer, || assert!(peer.send(&widen(1, 1))));
    // The connection is as good as before.
    while peer.next().unwrap().0 != RST_STREAM {}

    let before = over(&balancer);
    let mut slow = ask_http2(&balancer, &certificates, 0);
    goes_on(&balancer, before, |due| assert!(slow.send(&[widen(0, due), widen(1, due)].concat())));
}

/// A client of HTTP/1 with an answer that it has not begun to take.
fn ask_http1(balancer: &Balancer) -> TcpStream {
    let mut stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    setsockopt(&stream, RcvBuf, &4096).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

#[test]
fn an_answer_of_http1_that_is_taken_by_the_byte_ends() {
    let balancer = start_large(crate::balancer::Settings { listener: LIMITS.into(), ..http(1) });
    let mut stream = ask_http1(&balancer);
    until_over(&balancer, || stream.read_exact(&mut [0]).unwrap());

    let before = over(&balancer);
    let mut slow = ask_http1(&balancer);
    goes_on(&balancer, before, |due| slow.read_exact(&mut vec![0; due]).unwrap());
}

#[test]
fn a_body_of_http2_that_comes_by_the_byte_ends() {
    // Pieces that are empty h2 keeps to itself: they are a pause.
    let limits = format!("read_timeout = \"3s\"\n{LIMITS}");
    let (certificates, settings) = https(1, &limits, "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    uploads::serve(&balancer.network.backends[0]);
    let post = request(&[(":method", "POST"), ("content-length", "1000000")]);
    for piece in [&b"a"[..], b""] {
        let mut peer = Peer::connect(&balancer, &certificates, &[]);
        peer.send(&frame(HEADERS, END_HEADERS, 1, &post));
        until_over(&balancer, || _ = peer.send(&frame(DATA, 0, 1, piece)));
        // Of those h2 takes only so many.
        let heard = peer.hear(1);
        assert!(piece.is_empty() || heard == Heard::Status("408".into()), "{heard:?}");
    }
    let before = over(&balancer);
    let mut slow = Peer::connect(&balancer, &certificates, &[]);
    slow.send(&frame(HEADERS, END_HEADERS, 1, &post));
    goes_on(&balancer, before, |due| assert!(slow.send(&frame(DATA, 0, 1, &vec![b'a'; due / 32]))));
}

#[test]
fn a_body_of_http1_that_comes_by_the_byte_ends() {
    let balancer = Balancer::start(crate::balancer::Settings { listener: LIMITS.into(), ..http(1) });
    uploads::serve(&balancer.network.backends[0]);
    let length = "Content-Length: 1000000\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (field, first, piece) in [
        (length, "", "a"),
        (chunked, "", "1\r\na\r\n"),
        // Of a chunk's extension, of which the member never hears.
        (chunked, "1;", "a"),
        (chunked, "1\r\na\r\n0\r\na:", "a"),
    ] {
        let mut client = Client::connect(balancer.network.client(), VIP);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}{first}");
        client.stream().write_all(head.as_bytes()).unwrap();
        until_over(&balancer, || drop(client.stream().write_all(piece.as_bytes())));
    }
    let before = over(&balancer);
    let mut slow = Client::connect(balancer.network.client(), VIP);
    slow.stream().write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{length}").as_bytes()).unwrap();
    goes_on(&balancer, before, |due| slow.stream().write_all(&vec![b'a'; due / 32]).unwrap());
}
