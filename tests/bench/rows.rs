//! What is measured: one row each, with its target.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use testbed::{
    Segment,
    cases::{self, Cast, Side},
};
use xdp_ebpf::{
    bench::{MIN_FRAME, VARY_DESTINATION, VARY_DESTINATION6, VARY_SOURCE, VARY_SOURCE6},
    verdict::{Action, Event},
};

use crate::loaded::{Tables, later};

/// Clients' addresses and ports begin here; the networks are those of RFC 2544 and RFC 5180, for benchmarks.
pub fn clients(cast: &Cast) -> SocketAddr {
    let first: IpAddr = match cast.client {
        SocketAddr::V4(_) => Ipv4Addr::new(198, 18, 0, 0).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0).into(),
    };
    SocketAddr::new(first, 20_000)
}

/// How clients differ.
pub fn vary_source(cast: &Cast) -> u32 {
    if cast.client.is_ipv4() { VARY_SOURCE } else { VARY_SOURCE6 }
}

/// The most flows.
pub const MANY: u32 = 1 << 20;
/// Flows whose sessions' lines a processor's cache may hold.
pub const FEW: u32 = 1 << 14;
/// Those are every so manieth (as a power of two) of [`MANY`].
pub const APART: u32 = (MANY / FEW).trailing_zeros();
/// Tables for those: half full, as the daemon makes them.
pub const TABLES: Tables = Tables { local_addresses: 32, ports: 40_000, buckets: 1 << 19 };

/// What the session tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Nothing, before each run.
    None,
    /// [`FEW`] sessions, established, without TOA.
    Few,
    /// [`MANY`] sessions that still get TOA.
    New,
    /// The same, established, without TOA.
    Established,
}

/// What a row is to cost.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// ns above the empty program.
    Nanoseconds(f64),
    /// So many times what the floor costs.
    OfFloor(f64),
}

/// A row.
pub struct Row {
    /// Who takes part.
    pub cast: Cast,
    /// What it shows.
    pub what: String,
    pub flows: u32,
    /// Flow `n` is flow `n × 2^spread` of those that have sessions.
    pub spread: u32,
    /// What we want it to cost at most.
    pub target: Option<Target>,
    pub sessions: Sessions,
    /// Where the packet comes in. Both sides' interfaces are the same machine's: a client's packet that comes in at
    /// the back goes out there, by `XDP_TX`.
    pub side: Side,
    pub frame: Vec<u8>,
    /// How flows differ: as in [`xdp_ebpf::bench::Template`].
    pub vary: u32,
    pub fate: Action,
    /// What is counted for each packet.
    pub counted: Option<Event>,
}

impl Row {
    /// Whether the floor can do the same.
    pub fn has_floor(&self) -> bool {
        let is_established = matches!(self.sessions, Sessions::Few | Sessions::Established);
        is_established && self.cast.client.is_ipv4() && self.fate == Action::Tx
    }
}

/// The option that every stack sends.
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

fn data(from: SocketAddr, to: SocketAddr, options: &[u8]) -> Segment {
    let mut segment = Segment::new(from, to);
    (segment.tcp.ack, segment.payload) = (true, vec![7; 100]);
    cases::options(&mut segment, options);
    segment
}

/// A client's SYN.
pub fn syn(cast: &Cast) -> Segment {
    Segment { source: clients(cast), ..cast.syn() }
}

/// In an Ethernet frame that is long enough for a template.
pub fn frame(side: Side, segment: &Segment) -> Vec<u8> {
    let mut frame = cases::frame(side, &segment.packet().unwrap());
    frame.resize(frame.len().max(MIN_FRAME), 0);
    frame
}

/// All rows.
pub fn rows() -> Vec<Row> {
    [(Cast::IPV4, ""), (Cast::IPV6, ", IPv6")]
        .into_iter()
        .flat_map(|(cast, suffix)| rows_of(cast, suffix))
        .collect()
}

fn rows_of(cast: Cast, suffix: &str) -> Vec<Row> {
    let (clients, vary) = (clients(&cast), vary_source(&cast));
    let vary_destination = if vary == VARY_SOURCE { VARY_DESTINATION } else { VARY_DESTINATION6 };
    let request = frame(Side::Front, &data(clients, cast.vip, &TIMESTAMPS));
    let answer = frame(Side::Back, &data(cast.backend, cast.local, &TIMESTAMPS));
    let forged = [254, 8, 0, 80, 192, 0, 2, 1, 1, 1, 1, 1];
    let row = |what: &str, flows, target, sessions| Row {
        cast,
        what: format!("{what}{suffix}"),
        flows,
        spread: 0,
        target,
        sessions,
        side: Side::Back,
        frame: request.clone(),
        vary,
        fate: Action::Tx,
        counted: None,
    };
    let is_v4 = suffix.is_empty();
    let mut rows = vec![Row {
        spread: APART,
        ..row("client → backend, alone", FEW, Some(Target::Nanoseconds(40.0)), Sessions::Few)
    }];
    let one = if is_v4 { Target::OfFloor(1.5) } else { Target::Nanoseconds(25.0) };
    for (flows, spread, of, target) in [
        (1, 0, "", Some(one)),
        (FEW, APART, " of 1 M", None),
        (MANY, 0, "", is_v4.then_some(Target::OfFloor(0.95))),
    ] {
        let established =
            |what| Row { spread, ..row(&format!("{what}{of}"), flows, target, Sessions::Established) };
        rows.push(established("client → backend"));
        rows.push(Row {
            side: Side::Front,
            frame: answer.clone(),
            vary: vary_destination,
            ..established("backend → client")
        });
    }
    rows.push(Row {
        side: Side::Front,
        fate: Action::Redirect,
        ..row("client → backend, to another interface", 1, None, Sessions::Established)
    });
    rows.push(Row {
        frame: answer,
        vary: vary_destination,
        fate: Action::Redirect,
        ..row("backend → client, to another interface", 1, None, Sessions::Established)
    });
    let stranger = SocketAddr::new(later(cast.backend.ip(), 100), 80);
    rows.push(Row {
        frame: frame(Side::Front, &data(clients, stranger, &TIMESTAMPS)),
        fate: Action::Pass,
        counted: Some(Event::PassNotOurs),
        ..row("not ours", 1, Some(Target::Nanoseconds(6.0)), Sessions::Established)
    });
    rows.push(Row {
        frame: frame(Side::Front, &syn(&cast)),
        counted: Some(Event::SessionOpened),
        ..row(
            "new session",
            MANY,
            Some(Target::Nanoseconds(if is_v4 { 400.0 } else { 550.0 })),
            Sessions::None,
        )
    });
    rows.push(Row {
        counted: Some(Event::ToaInserted),
        ..row("client → backend, TOA inserted", 1, Some(Target::Nanoseconds(40.0)), Sessions::New)
    });
    rows.push(Row {
        frame: frame(Side::Front, &data(clients, cast.vip, &forged)),
        counted: Some(Event::ToaStripped),
        ..row("client → backend, TOA stripped and inserted", 1, None, Sessions::New)
    });
    rows
}
