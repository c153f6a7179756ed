//! What HTTP and HTTPS listeners have beside what every listener has, and pools for them beside what every pool has.
//!
//! Read from the file by `config/http`, put to work by `l7/snapshot`.

use std::time::Duration;

use super::{
    edge::{Edge, ProxyVersion},
    policy::{Policy, Redirect},
    sticky::{Ejection, Sticky},
    tls::{MemberTls, Tls},
};

/// The Layer-7 part of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpListener {
    /// TLS, which makes it an HTTPS listener.
    pub tls: Option<Tls>,
    /// How long it waits for what.
    pub timeouts: HttpTimeouts,
    /// What it does at its edge towards the clients.
    pub edge: Edge,
    /// Where requests go that are not for the listener's own pool, in the order of the file.
    pub policies: Vec<Policy>,
    /// Where all requests are sent instead; policies and pool do not matter then.
    pub redirect: Option<Redirect>,
}

impl HttpListener {
    /// The protocol's name in files and tables.
    pub const fn protocol(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// How long an HTTP listener waits; each whole seconds, 1 s to a day. The time between two requests is the listener's
/// `idle_timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// From a request's first byte, or from the connection's beginning, to the end of its head.
    pub head: Duration,
    /// For a connection to a member, TLS included.
    pub connect: Duration,
    /// From the request, or from one part of the answer, to the next part.
    pub read: Duration,
    /// For the member to take the next part of the request.
    pub write: Duration,
    /// For the next bytes from either side once a WebSocket is open.
    pub tunnel: Duration,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            head: Duration::from_secs(15),
            connect: Duration::from_secs(5),
            read: minute,
            write: minute,
            tunnel: 60 * minute,
        }
    }
}

/// The Layer-7 part of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpPool {
    /// TLS towards the members.
    pub tls: Option<MemberTls>,
    /// Whether members are spoken to in HTTP/2 only; without TLS from the first byte (prior knowledge). Else HTTP/1.1.
    pub http2: bool,
    /// Connections to members begin with a PROXY protocol header of this version.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How clients stay with their member; round robin only.
    pub sticky: Option<Sticky>,
    /// For how long a new member's share grows; round robin only.
    pub slow_start: Option<Duration>,
    /// When a member that fails rests.
    pub ejection: Option<Ejection>,
}

impl HttpPool {
    /// The protocol's name in files and tables.
    pub const fn protocol(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
