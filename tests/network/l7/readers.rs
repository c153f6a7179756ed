//! What does a client hold that does not read its answer? The members have all of it ready.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    balancer::{Balancer, DEADLINE, VIP},
    l7::{
        certificates::Certificates,
        frames::{END_HEADERS, END_STREAM, HEADERS, Peer, WINDOW_UPDATE, frame, https, request},
        script::{self, ok},
    },
};
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

/// Of an answer: more than all buffers on its way.
const LARGE: usize = 32 << 20;
/// Readers of HTTP/1 at the same time.
const READERS: usize = 40;
/// What each may hold, in KB.
const BUDGET: u64 = 64;
/// What each connection of HTTP/2 may hold beside that: TLS is part of it.
const BASE: u64 = 128;

/// The daemon's memory in KB when it has been the same for a while.
fn settled(balancer: &Balancer) -> u64 {
    const STILL: Duration = Duration::from_secs(1);
    let (mut last, mut since) = (balancer.memory(), Instant::now());
    while since.elapsed() < STILL {
        thread::sleep(Duration::from_millis(20));
        let now = balancer.memory();
        if now.abs_diff(last) > 64 {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

const PLAIN: &str =
    "\n[[load_balancer.listener]]\nname = \"plain\"\nprotocol = \"http\"\nport = 8080\npool = \"web\"\n";

fn start(pool: &'static str) -> (Certificates, Balancer) {
    let (certificates, mut settings) = https(1, "", pool);
    settings.listener += PLAIN;
    let balancer = Balancer::start(settings);
    let large = ok(&"a".repeat(LARGE));
    script::serve(&balancer.network.backends[0], move |head, _| {
        if head.starts_with("GET /small") { ok("small") } else { large.clone() }
    });
    (certificates, balancer)
}

fn connect(balancer: &Balancer, path: &str) -> TcpStream {
    let address = SocketAddr::new(VIP.ip(), 8080);
    let mut stream = balancer.network.client().enter(|| TcpStream::connect(address)).unwrap().unwrap();
    setsockopt(&stream, RcvBuf, &4096).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    stream
}

/// Waits until its answer has begun.
fn begun(mut stream: TcpStream) -> TcpStream {
    stream.read_exact(&mut [0; 40]).unwrap();
    stream
}

/// A client of HTTP/2 with windows that have room for all of the answer, and this many requests.
fn connect_http2(balancer: &Balancer, certificates: &Certificates, window: u32, streams: u32) -> Peer {
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let mut peer = Peer::connect(balancer, certificates, &settings);
    let mut bytes = frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    for number in 0..streams {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &request(&[])));
    }
    peer.send(&bytes);
    // All answers have begun.
    for _ in 0..streams {
        while peer.next().unwrap().0 != HEADERS {}
    }
    peer
}

fn check(what: &str, balancer: &Balancer, before: u64, readers: u64, connections: u32) {
    let held = settled(balancer).saturating_sub(before);
    let line =
        format!("{what}: {} KB for each of {readers} readers on {connections} connections", held / readers);
    println!("{line}");
    assert!(held <= readers * BUDGET + u64::from(connections) * BASE, "{line}");
}

/// Others were served before: what is needed once is there.
fn warm(balancer: &Balancer) -> u64 {
    for _ in 0..8 {
        begun(connect(balancer, "/small"));
    }
    settled(balancer)
}

#[test]
fn a_client_of_http1_that_does_not_read_holds_little() {
    let (_certificates, balancer) = start("protocol = \"http\"");
    let before = warm(&balancer);
    let _readers: Vec<_> = (0..READERS).map(|_| begun(connect(&balancer, "/"))).collect();
    check("HTTP/1.1", &balancer, before, READERS as u64, 0);
}

#[test]
fn a_client_of_http2_that_does_not_read_holds_little() {
    for (what, window, connections, streams) in [
        ("open windows", 0x7000_0000, 40, 1),
        ("open windows, many requests", 0x7000_0000, 4, 50),
        ("closed windows", 0, 4, 50),
    ] {
        let (certificates, balancer) = start("protocol = \"http\"");
        let before = warm(&balancer);
        let _readers: Vec<_> =
            (0..connections).map(|_| connect_http2(&balancer, &certificates, window, streams)).collect();
        check(what, &balancer, before, u64::from(connections * streams), connections);
    }
}
