//! Headers that tell a member about the client: X-Forwarded-For, -Proto, -Port and -Host.
//!
//! Set on the request to the member after Pingora has removed what the client's `Connection` header names, so that a
//! client cannot have them removed.

use std::net::IpAddr;

use http::header::{HOST, HeaderValue};
use pingora::{Result, http::RequestHeader, proxy::Session};

use super::{edge::Edge, exchange};
use crate::model::edge::ForwardedFor;

const FOR: &str = "X-Forwarded-For";
const PROTO: &str = "X-Forwarded-Proto";
const PORT: &str = "X-Forwarded-Port";
const FORWARDED_HOST: &str = "X-Forwarded-Host";
/// By which a client can say where it comes from, or how; in lower case.
const CLAIMS: [&str; 6] = [
    "forwarded",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-host",
];

impl Edge {
    /// Sets the headers on a request that goes to a member for `session`'s client. To be called from
    /// `upstream_request_filter`, which is when Pingora is done with the client's headers.
    ///
    /// # Errors
    /// None that is known: all values are good ones.
    pub fn forward(&self, request: &mut RequestHeader, session: &Session) -> Result<()> {
        let socket = session.digest().and_then(|digest| digest.socket_digest.as_deref());
        match exchange::client(socket) {
            Some(client) => self.tell(request, client.ip().to_canonical()),
            None => Ok(()),
        }
    }

    fn tell(&self, request: &mut RequestHeader, client: IpAddr) -> Result<()> {
        let settings = self.forwarded;
        // Before claims go.
        let host = request.uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = host.or_else(|| request.headers.get(HOST).map(HeaderValue::as_bytes));
        let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
        // To a member that is a CGI or WSGI program, X_Forwarded_For is the same header.
        remove(request, |name| name.contains('_') && CLAIMS.contains(&name.replace('_', "-").as_str()));
        match settings.address {
            ForwardedFor::Keep => {}
            ForwardedFor::Append => append(request, client)?,
            ForwardedFor::Replace => {
                remove(request, |name| CLAIMS.contains(&name));
                request.insert_header(FOR, client.to_string())?;
            }
        }
        if settings.proto {
            request.insert_header(PROTO, if self.https { "https" } else { "http" })?;
        }
        if settings.port {
            request.insert_header(PORT, self.vip.port().to_string())?;
        }
        if let Some(host) = host.filter(|_| settings.host) {
            request.insert_header(FORWARDED_HOST, host)?;
        }
        Ok(())
    }
}

/// The client after whomever the header names already, as one header: some servers read only the first.
fn append(request: &mut RequestHeader, client: IpAddr) -> Result<()> {
    let mut bytes = Vec::new();
    for value in request.headers.get_all(FOR) {
        if !value.as_bytes().trim_ascii().is_empty() {
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b", ");
        }
    }
    bytes.extend_from_slice(client.to_string().as_bytes());
    request.insert_header(FOR, bytes)
}

fn remove(request: &mut RequestHeader, is: impl Fn(&str) -> bool) {
    let names: Vec<_> = request.headers.keys().filter(|name| is(name.as_str())).cloned().collect();
    for name in names {
        request.remove_header(&name);
    }
}
