//! What an HTTP listener does at its edge towards the client, and how members learn who the client is: access log,
//! limits, forwarded headers, PROXY protocol.
//!
//! Read from the file by `config/edge`, put to work by `l7/edge`.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use ipnet::IpNet;

/// Where a load balancer's requests are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file, an absolute path; several load balancers may share one.
    pub path: PathBuf,
    /// How a request is written.
    pub format: LogFormat,
}

/// How a request is written: each way is one line for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The fields of the user guide's table 7-1 in their order.
    #[default]
    Line,
    /// An object with the same fields by name.
    Json,
}

/// What a client may ask of a listener before it has said what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest request head in bytes, request line included; 1 KiB to 256 KiB. Of HTTP/2 each field counts with 32
    /// bytes beside its text (RFC 9113, section 6.5.2).
    pub head_bytes: u32,
    /// What the heads of all requests under way on one HTTP/2 connection may take of our memory, in bytes; 64 KiB to
    /// 64 MiB.
    pub heads_bytes: u32,
    /// The most header lines in it, 1 to 256.
    pub headers: u16,
    /// The longest pause within a request's body; whole seconds, 1 s to a day.
    pub body: Duration,
    /// The longest time in which a client takes nothing of its answer; the same.
    pub send: Duration,
    /// The most requests that one HTTP/2 connection may have open, 1 to 1000.
    pub streams: u16,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        Self {
            head_bytes: 32 * 1024,
            heads_bytes: 1 << 20,
            headers: 100,
            body: minute,
            send: minute,
            streams: 100,
        }
    }
}

/// Which headers tell members about the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// X-Forwarded-For, the client's address.
    pub address: ForwardedFor,
    /// X-Forwarded-Proto, `http` or `https`.
    pub proto: bool,
    /// X-Forwarded-Port, the listener's.
    pub port: bool,
    /// X-Forwarded-Host, the Host that the client asked for.
    pub host: bool,
}

/// What becomes of the X-Forwarded-For that a client sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedFor {
    /// The client's address is added at its end.
    #[default]
    Append,
    /// The client's address takes its place, and other headers by which clients say where they come from are removed.
    Replace,
    /// It goes on as it is.
    Keep,
}

/// Who begins connections to a listener with a PROXY protocol header: these must, all others must not.
pub type TrustedProxies = BTreeSet<IpNet>;

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// All of it, for one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Where requests are written down; the load balancer's, so the same for all its listeners.
    pub log: Option<AccessLog>,
    /// What clients may ask for.
    pub limits: Limits,
    /// Headers that tell members about the client.
    pub forwarded: Forwarded,
    /// Who begins connections with a PROXY protocol header.
    pub trusted: TrustedProxies,
}
