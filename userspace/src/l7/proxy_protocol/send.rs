//! The header to members: the first bytes of every connection to them. Such a connection belongs to one client's
//! connection and is used again for that one only.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use model::edge::ProxyVersion;
use pingora::{
    ErrorType, OkOrErr, OrErr, Result,
    connectors::L4Connect,
    protocols::l4::{socket::SocketAddr as PingoraAddr, stream::Stream},
    proxy::Session,
    upstreams::peer::HttpPeer,
};
use proxy_header::{ProxiedAddress, ProxyHeader};

use super::super::{edge::Edge, exchange, pick::BeforeConnect, upstream};

/// Opens connections that begin with a header.
#[derive(Debug)]
struct Connector {
    header: Vec<u8>,
    before: BeforeConnect,
    patience: Duration,
}

/// Has connections to `peer` begin with a header that tells of `session`'s client; `patience` is for connecting and
/// sending it. To be called from `upstream_peer`.
///
/// # Errors
/// The client has no address, or its socket is gone.
pub fn introduce(
    peer: &mut HttpPeer,
    version: ProxyVersion,
    session: &Session,
    edge: &Edge,
    patience: Duration,
) -> Result<()> {
    let socket = session.digest().and_then(|digest| digest.socket_digest.as_deref());
    let client = exchange::client(socket).or_err(ErrorType::InternalError, "a client without address")?;
    let cookie = socket.map(|socket| socket.socket_cookie()).transpose();
    let cookie = cookie.or_err(ErrorType::InternalError, "a client's socket")?;
    let header = header(version, client, edge.vip).or_err(ErrorType::InternalError, "PROXY protocol")?;
    peer.options.custom_l4 = Some(Arc::new(Connector { header, before: BeforeConnect::of(peer), patience }));
    // The kernel gives no two sockets the same.
    peer.group_key ^= cookie.unwrap_or_default();
    Ok(())
}

/// The header's bytes.
pub(super) fn header(
    version: ProxyVersion,
    client: SocketAddr,
    vip: SocketAddr,
) -> Result<Vec<u8>, proxy_header::Error> {
    let (client, vip) = one_family(client, vip);
    let header = ProxyHeader::with_address(ProxiedAddress::stream(client, vip));
    let mut bytes = Vec::with_capacity(108);
    match version {
        ProxyVersion::V1 => header.encode_v1(&mut bytes)?,
        ProxyVersion::V2 => header.encode_v2(&mut bytes)?,
    }
    Ok(bytes)
}

/// The protocol knows no mixed addresses, which a PROXY protocol header from in front may have brought.
fn one_family(client: SocketAddr, vip: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        v6 => v6,
    };
    if client.is_ipv4() == vip.is_ipv4() { (client, vip) } else { (mapped(client), mapped(vip)) }
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &PingoraAddr) -> Result<Stream> {
        Ok(upstream::connect(address, &self.before, &self.header, self.patience).await?.into())
    }
}
