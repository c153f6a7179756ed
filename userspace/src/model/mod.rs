//! What the operator wants, free of any file format, API or kernel: the model.
//!
//! `config/` makes one from TOML; `plan` compares two; `dataplane/` makes the maps follow, `l7/` its snapshots.
//! What only HTTP listeners and pools have is in `http` and `tls`.
//! Architecture invariant: nothing here knows aya, Pingora, serde or the wire. An IPv4 address is an
//! [`IpAddr::V4`], never an IPv6 address that carries one.

pub mod edge;
pub mod http;
pub mod tls;

pub mod path;
pub mod policy;
pub mod sticky;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ipnet::IpNet;

use self::http::{HttpListener, HttpPool};
use crate::health::check::Health;

/// All load balancers of one host, flattened to what the data path asks for. Keys are identities: two models that
/// share a key mean the same thing, changed or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Every load balancer's VIPs, with or without listeners.
    pub vips: BTreeSet<IpAddr>,
    /// Listeners by what they listen on. Every VIP in a key is in `vips`, every pool named is in `pools`.
    pub listeners: BTreeMap<ListenerKey, Listener>,
    /// Pools by name.
    pub pools: BTreeMap<String, Pool>,
}

/// What a listener listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// The VIP.
    pub vip: IpAddr,
    /// The port, 1–65535.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// Transport protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP. A UDP and a TCP listener may have the same port.
    Udp,
}

impl Protocol {
    /// Every one.
    pub const ALL: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];

    /// Its name in files and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    /// IANA's number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        }
    }

    /// The one with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// Its load balancer's name, at most 64 bytes.
    pub load_balancer: String,
    /// Where its connections go, or its requests that no policy sends elsewhere. Only an HTTP listener may have none.
    pub pool: Option<String>,
    /// How long an established TCP session, a UDP session that the backend has answered, or an HTTP client's connection
    /// between two requests may be idle; whole seconds, 1 s to a day.
    pub idle_timeout: Duration,
    /// Who may connect.
    pub access: Access,
    /// How much it takes.
    pub limits: Limits,
    /// What a client hears while no member takes connections.
    pub when_down: WhenDown,
    /// What makes it a Layer-7 listener; its key's protocol is TCP then.
    pub http: Option<HttpListener>,
}

/// How much a listener takes. None of a limit, or 1 and more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Megabits (10⁶ bits) per second that all listeners of its load balancer forward together, both directions added
    /// up, from the IP header on. The same in all of them.
    pub bandwidth_mbit: Option<u32>,
    /// Connections at the same time.
    pub connections: Option<u32>,
    /// New connections per second in the long run; after a quiet second so many may come at once.
    pub connections_per_second: Option<u32>,
}

/// What a client hears that wants a new connection while no member takes any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenDown {
    /// Nothing: it tries again.
    #[default]
    Drop,
    /// A TCP reset: it gives up at once. Only of TCP listeners.
    Reset,
}

impl WhenDown {
    /// Every one.
    pub const ALL: [WhenDown; 2] = [WhenDown::Drop, WhenDown::Reset];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            WhenDown::Drop => "drop",
            WhenDown::Reset => "reset",
        }
    }
}

/// Who may connect. Of all networks of both lists that a client is in, the longest prefix decides. Both have the
/// networks' own addresses, host bits cleared, and no network is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Those who may; an empty list lets nobody in, none at all lets everybody in.
    pub allow: Option<BTreeSet<IpNet>>,
    /// Those who may not.
    pub deny: BTreeSet<IpNet>,
}

/// A pool: members that share the connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Weights (0–256) by address and port. The sum over the greatest common divisor is at most
    /// [`xdp_ebpf::abi::MAX_POOL_SLOTS`].
    pub members: BTreeMap<SocketAddr, u16>,
    /// How they share them.
    pub algorithm: Algorithm,
    /// How members are checked; if they are not, all count as healthy.
    pub health: Option<Health>,
    /// For how long sessions may stay with a member that was removed or has weight 0, before they are reset; whole
    /// seconds, 1 s to a day. None: until they end.
    pub drain_timeout: Option<Duration>,
    /// What makes it a pool for HTTP listeners, and for them only.
    pub http: Option<HttpPool>,
}

/// How a pool's members share the connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// Smooth weighted round robin. A client may stay with its member for a time since its last new connection; whole
    /// minutes, 1 to 60. Only here: the other algorithms choose by something else than whose turn it is.
    WeightedRoundRobin {
        /// For how long.
        sticky: Option<Duration>,
    },
    /// The fewest connections for its weight; at most [`xdp_ebpf::abi::MAX_LEAST_MEMBERS`] members.
    WeightedLeastConnections,
    /// Consistent hash of the client's address (Maglev).
    SourceHash,
}

impl Default for Algorithm {
    fn default() -> Self {
        Algorithm::WeightedRoundRobin { sticky: None }
    }
}

/// One step from one model to another, in the order in which `plan` returns them: whatever a later step refers to
/// is there already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pool is new or has other members or weights: this is all of it.
    PutPool(String, Pool),
    /// A listener goes; its sessions go on.
    RemoveListener(ListenerKey),
    /// A VIP goes.
    RemoveVip(IpAddr),
    /// A VIP appears.
    AddVip(IpAddr),
    /// A listener is new or changed.
    PutListener(ListenerKey, Listener),
    /// A pool goes; its sessions go on.
    RemovePool(String),
}
