//! What is measured: one row each, with its target.

use std::net::{Ipv4Addr, SocketAddrV4};

use testbed::{
    Segment,
    cases::{self, BACKEND, LOCAL, Side, VIP},
};
use xdp_ebpf::{
    bench::{MIN_FRAME, VARY_DESTINATION, VARY_SOURCE},
    verdict::{Action, Event},
};

use crate::loaded::Tables;

/// Clients' addresses and ports begin here; the network is RFC 2544's, for benchmarks.
pub const CLIENTS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 0), 20_000);
/// The most flows.
pub const MANY: u32 = 1 << 20;
/// Tables for those: half full, as the daemon makes them.
pub const TABLES: Tables = Tables { local_addresses: 32, ports: 40_000, buckets: 1 << 19 };

/// What the session tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Nothing, before each run.
    None,
    /// [`MANY`] sessions that still get TOA.
    New,
    /// The same, established, without TOA.
    Established,
}

/// A row.
pub struct Row {
    /// What it shows.
    pub what: String,
    pub flows: u32,
    /// ns above the empty program that the design allows.
    pub target: Option<f64>,
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

/// The option that every stack sends.
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];

fn data(from: SocketAddrV4, to: SocketAddrV4, options: &[u8]) -> Segment {
    let mut segment = Segment::new(from, to);
    (segment.tcp.ack, segment.payload) = (true, vec![7; 100]);
    cases::options(&mut segment, options);
    segment
}

/// A client's SYN.
pub fn syn() -> Segment {
    Segment { source: CLIENTS, ..cases::syn() }
}

/// In an Ethernet frame that is long enough for a template.
pub fn frame(side: Side, segment: &Segment) -> Vec<u8> {
    let mut frame = cases::frame(side, &segment.packet().unwrap());
    frame.resize(frame.len().max(MIN_FRAME), 0);
    frame
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let backend = SocketAddrV4::new(*BACKEND.ip(), BACKEND.port());
    let request = frame(Side::Front, &data(CLIENTS, VIP, &TIMESTAMPS));
    let answer = frame(Side::Back, &data(backend, LOCAL, &TIMESTAMPS));
    let forged = [254, 8, 0, 80, 192, 0, 2, 1, 1, 1, 1, 1];
    let row = |what: &str, flows, target, sessions| Row {
        what: what.to_owned(),
        flows,
        target,
        sessions,
        side: Side::Back,
        frame: request.clone(),
        vary: VARY_SOURCE,
        fate: Action::Tx,
        counted: None,
    };
    let mut rows = Vec::new();
    for (flows, target) in [(1, 20.0), (1 << 14, 35.0), (MANY, 220.0)] {
        let established = |what| row(what, flows, Some(target), Sessions::Established);
        rows.push(established("client → backend"));
        rows.push(Row {
            side: Side::Front,
            frame: answer.clone(),
            vary: VARY_DESTINATION,
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
        vary: VARY_DESTINATION,
        fate: Action::Redirect,
        ..row("backend → client, to another interface", 1, None, Sessions::Established)
    });
    let stranger = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 200), 80);
    rows.push(Row {
        frame: frame(Side::Front, &data(CLIENTS, stranger, &TIMESTAMPS)),
        fate: Action::Pass,
        counted: Some(Event::PassNotOurs),
        ..row("not ours", 1, Some(15.0), Sessions::Established)
    });
    rows.push(Row {
        frame: frame(Side::Front, &syn()),
        counted: Some(Event::SessionOpened),
        ..row("new session", MANY, Some(400.0), Sessions::None)
    });
    rows.push(Row {
        counted: Some(Event::ToaInserted),
        ..row("client → backend, TOA inserted", 1, None, Sessions::New)
    });
    rows.push(Row {
        frame: frame(Side::Front, &data(CLIENTS, VIP, &forged)),
        counted: Some(Event::ToaStripped),
        ..row("client → backend, TOA stripped and inserted", 1, None, Sessions::New)
    });
    rows
}
