//! What can the heads and bodies that a client sends make us hold, and is it free again when the client has gone? Each
//! shape is driven by some connections at once, twice or more; what counts is the daemon's memory above what it had before, and
//! whether others are served meanwhile.

use std::{
    io::{BufReader, Write},
    net::TcpStream,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE},
    l7::{
        certificates::Certificates,
        frames::{
            CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Heard, PING, PRIORITY, Peer, RST_STREAM,
            SETTINGS, WINDOW_UPDATE, frame, https, request, row,
        },
        script::{self, ok},
    },
};

/// Of connections at the same time.
const CONNECTIONS: usize = 3;
/// Of requests on each, as many as it may have.
const STREAMS: usize = 100;
/// What heads may take on a connection, in KB: the budget.
const HEADS: u64 = 2048;
/// What may be added when the same is done again, in KB: the allocator's.
const MORE: u64 = 2048;
/// How often the same is done again at most: a leak adds each time.
const ROUNDS: usize = 4;
/// Of load balancers at the same time.
const WORKERS: usize = 6;
/// What each connection may take beside that.
const BASE: u64 = 128;
/// What may stay when all are gone, in KB: pages on which there is something else, too.
const STAYS: u64 = 3072;
/// And for each connection to a member that is kept for the next request.
const KEPT: u64 = 20;
/// What each request under way takes that is no head and no body: two tasks' worth of proxy.
const REQUEST: u64 = 24;

/// The most that the daemon's memory becomes, in KB, until it has not grown for a while.
fn peak(balancer: &Balancer) -> u64 {
    const STILL: Duration = Duration::from_millis(500);
    let (mut peak, mut since) = (balancer.memory(), Instant::now());
    while since.elapsed() < STILL {
        thread::sleep(Duration::from_millis(20));
        let now = balancer.memory();
        if now > peak {
            (peak, since) = (now, Instant::now());
        }
    }
    peak
}

/// Members that answer `/small` at once, `/slow` by the byte, and anything else never; and how many connections they have.
fn start() -> (Certificates, Balancer, &'static AtomicU64) {
    let (certificates, settings) = https(1, "read_timeout = \"60s\"", "protocol = \"http\"");
    let balancer = Balancer::start(settings);
    let open: &AtomicU64 = Box::leak(Box::default());
    script::serve_connections(&balancer.network.backends[0], move |stream| {
        open.fetch_add(1, Relaxed);
        let end = answer(stream);
        open.fetch_sub(1, Relaxed);
        end
    });
    (certificates, balancer, open)
}

fn answer(mut output: TcpStream) -> Option<()> {
    let mut input = BufReader::new(output.try_clone().ok()?);
    loop {
        let head = script::head(&mut input);
        if head.starts_with("GET /small") {
            output.write_all(&ok("small")).ok()?;
        } else if head.starts_with("GET /slow") {
            output.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").ok()?;
            while output.write_all(b"a").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        } else {
            // Until the other side ends it.
            return std::io::copy(&mut input, &mut std::io::sink()).ok().map(drop);
        }
    }
}

/// Another client is served.
fn other(balancer: &Balancer, certificates: &Certificates) {
    let mut peer = Peer::connect(balancer, certificates, &[]);
    peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &request(&[(":path", "/small")])));
    assert_eq!(peer.hear(1), Heard::Ok);
}

/// A field that HPACK's table remembers, as its index 62 from then on.
fn remembered(name: &str, value: &str) -> Vec<u8> {
    [&[0x40, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// A head that refers to the remembered field so many times, a byte each.
fn head(path: &str, remember: &[u8], references: usize) -> Vec<u8> {
    [&request(&[(":path", path)])[..], remember, &vec![0x80 | 62; references]].concat()
}

/// A window of no bytes, SETTINGS_INITIAL_WINDOW_SIZE.
const CLOSED: [u8; 6] = [0, 4, 0, 0, 0, 0];

/// What a shape's client sends: at first, and then again and again.
struct Shape {
    what: &'static str,
    settings: &'static [u8],
    first: fn(usize) -> Vec<u8>,
    drip: fn(usize) -> Vec<u8>,
    /// KB that a connection may take beside [`BASE`], heads apart.
    bodies: u64,
}

fn stream(number: usize) -> u32 {
    2 * number as u32 + 1
}

/// A request for `path`, with this head, on its stream; whole or not.
fn headers(number: usize, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream(number), block)
}

fn nothing(_: usize) -> Vec<u8> {
    Vec::new()
}

/// The first request's head remembers this field, which all refer to so many times.
fn references(path: &str, name: &str, value: &str, count: usize, number: usize) -> Vec<u8> {
    let remember = if number == 0 { remembered(name, value) } else { Vec::new() };
    headers(number, END_HEADERS | END_STREAM, &head(path, &remember, count))
}

fn shapes() -> Vec<Shape> {
    let plain = |what, first: fn(usize) -> Vec<u8>, bodies| Shape {
        what,
        settings: &CLOSED,
        first,
        drip: nothing,
        bodies,
    };
    vec![
        plain(
            "plain heads, closed window",
            |n| headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/small")])),
            32,
        ),
        plain(
            "plain heads, silent member",
            |n| headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/never")])),
            0,
        ),
        Shape {
            what: "answers that come by the byte",
            settings: &[],
            first: |n| headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/slow")])),
            drip: nothing,
            bodies: 0,
        },
        plain("1,500 cookies", |n| references("/small", "cookie", "a", 1500, n), 32),
        plain("700 cookies", |n| references("/small", "cookie", "a", 700, n), 32),
        plain("700 cookies, silent member", |n| references("/never", "cookie", "a", 700, n), 0),
        plain("90 fields", |n| references("/never", "x", "a", 90, n), 0),
        plain("90 empty fields", |n| references("/never", "x", "", 90, n), 0),
        plain("8 large fields", |n| references("/never", "x", LARGE, 120, n), 0),
        plain(
            "90 fields of other names",
            |n| {
                let fields = (0..90).flat_map(|number| {
                    [&[0, 3][..], format!("x{number:02}").as_bytes(), &[1, b'a']].concat()
                });
                let block: Vec<u8> = request(&[(":path", "/never")]).into_iter().chain(fields).collect();
                headers(n, END_HEADERS | END_STREAM, &block)
            },
            0,
        ),
        plain(
            "cookies in CONTINUATION",
            |n| {
                let first = headers(n, END_STREAM, &request(&[(":path", "/never")]));
                let block = [remembered("cookie", "a"), vec![0x80 | 62; 600]].concat();
                [first, frame(CONTINUATION, END_HEADERS, stream(n), &block)].concat()
            },
            0,
        ),
        plain(
            "heads without an end",
            |n| {
                // One at a time: whatever comes next has to belong to it.
                let first = if n == 0 {
                    headers(n, END_STREAM, &request(&[(":path", "/never")]))
                } else {
                    Vec::new()
                };
                [first, frame(CONTINUATION, 0, stream(0), &remembered("x", LARGE))].concat()
            },
            0,
        ),
        plain(
            "trailers",
            |n| {
                let post = request(&[(":path", "/never"), (":method", "POST")]);
                let block = [remembered("x", ""), vec![0x80 | 62; 1500]].concat();
                [headers(n, END_HEADERS, &post), headers(n, END_HEADERS | END_STREAM, &block)].concat()
            },
            0,
        ),
        plain(
            "bodies of one byte",
            |n| {
                let post = request(&[(":path", "/never"), (":method", "POST")]);
                [headers(n, END_HEADERS, &post), frame(DATA, 0, stream(n), b"a").repeat(100)].concat()
            },
            128,
        ),
        Shape {
            what: "cookies, dripping window",
            settings: &CLOSED,
            first: |n| references("/small", "cookie", "a", 700, n),
            drip: |n| frame(WINDOW_UPDATE, 0, stream(n), &1_u32.to_be_bytes()),
            bodies: 32,
        },
        Shape {
            what: "windows that are open, nothing read",
            settings: &[0, 4, 0x7f, 0xff, 0xff, 0xff],
            first: |n| {
                let open = if n == 0 {
                    frame(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes())
                } else {
                    Vec::new()
                };
                [open, headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/small")]))].concat()
            },
            drip: nothing,
            bodies: 32,
        },
        Shape {
            what: "PING",
            settings: &[],
            first: |_| frame(PING, 0, 0, &[0; 8]).repeat(100),
            drip: |_| frame(PING, 0, 0, &[0; 8]),
            bodies: 0,
        },
        Shape {
            what: "SETTINGS",
            settings: &[],
            first: |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]).repeat(100),
            drip: |_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]),
            bodies: 0,
        },
        Shape {
            what: "PRIORITY",
            settings: &[],
            first: |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1]).repeat(100),
            drip: |n| frame(PRIORITY, 0, stream(n), &[0, 0, 0, 0, 1]),
            bodies: 0,
        },
        Shape {
            what: "WINDOW_UPDATE",
            settings: &CLOSED,
            first: |n| {
                let head = headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/never")]));
                [head, frame(WINDOW_UPDATE, 0, stream(n), &1_u32.to_be_bytes()).repeat(100)].concat()
            },
            drip: |n| frame(WINDOW_UPDATE, 0, stream(n), &1_u32.to_be_bytes()),
            bodies: 0,
        },
        Shape {
            what: "requests given up",
            settings: &[],
            first: |n| {
                let head = headers(n, END_HEADERS | END_STREAM, &request(&[(":path", "/never")]));
                [head, frame(RST_STREAM, 0, stream(n), &8_u32.to_be_bytes())].concat()
            },
            drip: nothing,
            bodies: 0,
        },
    ]
}

/// A value that leaves no room for a second one in HPACK's table.
const LARGE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What is wrong with what such clients have us hold, if something is.
fn check(shape: &Shape) -> Option<String> {
    // Memory that was used before and is free again would hide some.
    let (certificates, balancer, open) = start();
    for _ in 0..10 {
        other(&balancer, &certificates);
    }
    let before = balancer.memory();
    let (mut most, sent) = attack(shape, &certificates, &balancer);
    let held = most.saturating_sub(before);
    // What is freed is used again, if not given back: by the thread that freed it, so one more time may need more.
    let mut more = 0;
    for _ in 0..ROUNDS {
        wait_for("the end of all", DEADLINE, || row(&balancer)["connections_open"] == 0).unwrap();
        let (again, _) = attack(shape, &certificates, &balancer);
        more = again.saturating_sub(most);
        most = most.max(again);
        if more <= held / 2 + MORE {
            break;
        }
    }
    wait_for("the end of all", DEADLINE, || row(&balancer)["connections_open"] == 0).unwrap();
    let back = || balancer.memory() <= before + STAYS + KEPT * open.load(Relaxed);
    let is_back = wait_for("memory to come back", DEADLINE, back).is_ok();
    let each = held / CONNECTIONS as u64;
    let bound = BASE + HEADS + STREAMS as u64 * (REQUEST + shape.bodies);
    let line = format!(
        "{}: {sent} KB sent and {each} KB held on each connection, {bound} are allowed; {more} KB more when done again; \
         {} KB stay\n",
        shape.what,
        balancer.memory().saturating_sub(before),
    );
    print!("{line}");
    (each > bound || more > held / 2 + MORE || !is_back).then_some(line)
}

/// The most memory that is held while clients do this, and what each sends, in KB.
fn attack(shape: &Shape, certificates: &Certificates, balancer: &Balancer) -> (u64, usize) {
    let mut peers: Vec<_> =
        (0..CONNECTIONS).map(|_| Peer::connect(balancer, certificates, shape.settings)).collect();
    let first: Vec<u8> = (0..STREAMS).flat_map(shape.first).collect();
    for peer in &mut peers {
        peer.send(&first);
    }
    let mut most = peak(balancer);
    let drip: Vec<u8> = (0..STREAMS).flat_map(shape.drip).collect();
    if !drip.is_empty() {
        for _ in 0..5 {
            for peer in &mut peers {
                peer.send(&drip);
            }
            thread::sleep(Duration::from_millis(100));
        }
        most = most.max(peak(balancer));
    }
    other(balancer, certificates);
    (most, first.len() / 1024)
}

#[test]
fn what_a_client_of_http2_has_us_hold_is_bounded() {
    let all = Mutex::new(shapes().into_iter());
    let next = || all.lock().unwrap().next();
    let work = || std::iter::from_fn(next).filter_map(|shape| check(&shape)).collect::<String>();
    // Most of the time they wait.
    let failures: String = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert!(failures.is_empty(), "{failures}");
}
