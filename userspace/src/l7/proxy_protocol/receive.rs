//! The header from a balancer in front: demanded from trusted addresses, and from nobody else taken for one.

use std::{io, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::{
    Error, ErrorType, OrErr, Result,
    listeners::PreTlsProcess,
    protocols::{
        GetSocketDigest, SocketDigest, Stream, UniqueID,
        l4::{socket::SocketAddr as PingoraAddr, stream::Stream as L4Stream},
    },
};
use proxy_header::{Error as HeaderError, ParseConfig, Protocol, ProxyHeader};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::super::{edge::Edge, exchange};

/// The most that a header may take: one of version 2 with addresses and a few kilobytes of extras.
const LONGEST: usize = 4096;

/// Pingora's hook for connections over TLS, before the handshake.
pub struct BeforeTls(pub Arc<ArcSwap<Edge>>);

#[async_trait]
impl PreTlsProcess for BeforeTls {
    async fn process(&self, stream: &mut L4Stream) -> Result<()> {
        let edge = self.0.load_full();
        let rest = receive(stream, &edge).await?;
        stream.rewind(&rest);
        Ok(())
    }
}

/// The same for a connection without TLS. Returns what has been read of what comes after the header.
///
/// # Errors
/// The header is missing, malformed or late.
pub(in super::super) async fn plain(stream: &mut Stream, edge: &Edge) -> Result<BytesMut> {
    receive(&mut **stream, edge).await
}

async fn receive<S>(stream: &mut S, edge: &Edge) -> Result<BytesMut>
where
    S: AsyncRead + GetSocketDigest + UniqueID + Unpin + ?Sized,
{
    let socket = stream.get_socket_digest();
    let peer = exchange::client(socket.as_deref());
    let trusted = |peer: SocketAddr| edge.trusted.iter().any(|net| net.contains(&peer.ip().to_canonical()));
    if !peer.is_some_and(trusted) {
        return Ok(BytesMut::new());
    }
    let read = timeout(edge.head, read(stream)).await;
    let (client, rest) = read
        .map_err(|_| Error::explain(ErrorType::ReadTimedout, "no PROXY protocol header in time"))?
        .or_err(ErrorType::InvalidHTTPHeader, "PROXY protocol")?;
    if let Some(client) = client {
        let digest = SocketDigest::from_raw_fd(stream.id());
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(client)));
        stream.set_socket_digest(digest);
    }
    Ok(rest)
}

/// Reads a header: the client if it tells one, and what was read of what follows.
async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized)) -> io::Result<(Option<SocketAddr>, BytesMut)> {
    let mut bytes = BytesMut::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match parse(&bytes)? {
            Some((client, length)) => {
                bytes.advance(length);
                return Ok((client, bytes));
            }
            None if bytes.len() >= LONGEST => return Err(malformed(HeaderError::HeaderTooBig)),
            None => {}
        }
    }
}

/// The header at the beginning of `bytes`: the client, and how long the header is; `None` if it is not all there.
fn parse(bytes: &[u8]) -> io::Result<Option<(Option<SocketAddr>, usize)>> {
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    match ProxyHeader::parse(bytes, config) {
        Ok((header, length)) => match header.proxied_address() {
            // The balancer's own connection, such as a health check.
            None => Ok(Some((None, length))),
            Some(address) if address.protocol == Protocol::Stream => Ok(Some((Some(address.source), length))),
            Some(_) => Err(malformed(HeaderError::V1UnsupportedProtocol)),
        },
        Err(HeaderError::BufferTooShort) => Ok(None),
        Err(error) => Err(malformed(error)),
    }
}

fn malformed(error: HeaderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
