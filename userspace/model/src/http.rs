//! How long an HTTP listener waits, and how the members of an HTTP pool are spoken to.

use std::sync::Arc;

use crate::{
    edge::ProxyVersion,
    tls::{Authorities, MemberTls},
    value::Seconds,
};

/// How long an HTTP listener waits. The time between two requests is the listener's idle timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpTimeouts {
    /// From a request's first byte, or from the connection's beginning, to the end of its head.
    pub head: Seconds,
    /// For a connection to a member, TLS included.
    pub connect: Seconds,
    /// From the request, or from one part of the answer, to the next part.
    pub read: Seconds,
    /// For the member to take the next part of the request.
    pub write: Seconds,
    /// For the next bytes from either side once a WebSocket is open.
    pub tunnel: Seconds,
}

impl Default for HttpTimeouts {
    fn default() -> Self {
        Self {
            head: Seconds::literal(15),
            connect: Seconds::literal(5),
            read: Seconds::literal(60),
            write: Seconds::literal(60),
            tunnel: Seconds::literal(3600),
        }
    }
}

/// How the members of an HTTP pool are spoken to; `A` as in [`MemberTls`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHttp<A = Arc<Authorities>> {
    /// TLS towards the members.
    pub tls: Option<MemberTls<A>>,
    /// Whether members are spoken to in HTTP/2 only; without TLS from the first byte (prior knowledge). Else HTTP/1.1.
    pub http2: bool,
    /// Connections to members begin with a PROXY protocol header of this version.
    pub proxy_protocol: Option<ProxyVersion>,
}

impl<A> MemberHttp<A> {
    /// The protocol's name in files and tables.
    pub const fn protocol(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The same with other authorities, as [`MemberTls::map`].
    pub fn map<B>(&self, find: impl FnOnce(&A) -> Option<B>) -> Option<MemberHttp<B>> {
        let Self { tls, http2, proxy_protocol } = self;
        let tls = match tls {
            Some(tls) => Some(tls.map(find)?),
            None => None,
        };
        Some(MemberHttp { tls, http2: *http2, proxy_protocol: *proxy_protocol })
    }
}

impl<A> Default for MemberHttp<A> {
    fn default() -> Self {
        Self { tls: None, http2: false, proxy_protocol: None }
    }
}
