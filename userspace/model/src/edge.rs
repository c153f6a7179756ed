//! What an HTTP listener does at its edge towards the client, and how members learn who the client is: access log,
//! limits, forwarded headers, PROXY protocol. Put to work by `l7/edge`.

use std::collections::BTreeSet;

use crate::value::{HeadBytes, HeaderCount, HeadsBytes, LogPath, Network, Seconds, Streams};

/// Where requests are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// The file; several load balancers may share one.
    pub path: LogPath,
    /// How a request is written.
    pub format: LogFormat,
}

/// How a request is written: each way is one line for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// The fields of the OTC guide's table 7-1 in their order.
    #[default]
    Line,
    /// An object with the same fields by name.
    Json,
}

impl LogFormat {
    /// Every one.
    pub const ALL: [LogFormat; 2] = [LogFormat::Line, LogFormat::Json];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            LogFormat::Line => "line",
            LogFormat::Json => "json",
        }
    }
}

/// What a client may ask of a listener before it has said what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// The largest request head in bytes, request line included. Of HTTP/2 each field counts with 32 bytes beside its
    /// text (RFC 9113, section 6.5.2).
    pub head_bytes: HeadBytes,
    /// What the heads of all requests under way on one HTTP/2 connection may take of our memory, in bytes.
    pub heads_bytes: HeadsBytes,
    /// The most header lines in it.
    pub headers: HeaderCount,
    /// The longest pause within a request's body, and the time in which some of it must come however small the pauses are.
    pub body: Seconds,
    /// The longest time in which a client takes next to nothing of its answer.
    pub send: Seconds,
    /// The most requests that one HTTP/2 connection may have open.
    pub streams: Streams,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            head_bytes: HeadBytes::literal(32 * 1024),
            heads_bytes: HeadsBytes::literal(2 << 20),
            headers: HeaderCount::literal(100),
            body: Seconds::literal(60),
            send: Seconds::literal(60),
            streams: Streams::literal(100),
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

impl ForwardedFor {
    /// Every one.
    pub const ALL: [ForwardedFor; 3] = [ForwardedFor::Append, ForwardedFor::Replace, ForwardedFor::Keep];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            ForwardedFor::Append => "append",
            ForwardedFor::Replace => "replace",
            ForwardedFor::Keep => "keep",
        }
    }
}

/// Who begins connections to a listener with a PROXY protocol header: these must, all others must not.
pub type TrustedProxies = BTreeSet<Network>;

/// Version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyVersion {
    /// Every one.
    pub const ALL: [ProxyVersion; 2] = [ProxyVersion::V1, ProxyVersion::V2];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            ProxyVersion::V1 => "v1",
            ProxyVersion::V2 => "v2",
        }
    }
}

/// What a listener does at its edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// What clients may ask for.
    pub limits: RequestLimits,
    /// Headers that tell members about the client.
    pub forwarded: Forwarded,
    /// Who begins connections with a PROXY protocol header.
    pub trusted: TrustedProxies,
    /// Whether clients may speak HTTP/2 without TLS, which they begin with (RFC 9113, section 3.3).
    pub cleartext_http2: bool,
}
