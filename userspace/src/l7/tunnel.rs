//! Requests that ask for another protocol, such as WebSocket.
//!
//! Pingora 0.9.1 hands the end of such a request's empty body to the member's side of the exchange, and if that has
//! read the member's 101 before, takes it for the end of the tunnel: the connection closes before its first word. A
//! member that answers at once wins that race now and then. So what a member says is read one turn later than what
//! it was sent (`upstream/connection`), and then the end of the body comes first.

use http::{Version, header::UPGRADE};
use pingora::{
    http::RequestHeader,
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy},
};

use super::hop_by_hop;

/// Whether a request asks for a tunnel: of the protocols that it could ask for, only WebSocket goes on to members.
pub fn is_wanted(request: &RequestHeader) -> bool {
    let protocol = request.headers.get(UPGRADE);
    request.version == Version::HTTP_11
        && protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && hop_by_hop::options(&request.headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

/// Lets a request to `peer` ask for one.
pub fn prepare(peer: &mut HttpPeer) {
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::default();
}
