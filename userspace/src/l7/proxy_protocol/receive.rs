//! The header from a balancer in front: demanded from trusted addresses, and from nobody else taken for one.

use std::{io, net::SocketAddr};

use pingora::protocols::{GetSocketDigest, SocketDigest, UniqueID, l4::socket::SocketAddr as PingoraAddr};
use proxy_header::{Error as HeaderError, ParseConfig, Protocol, ProxyHeader};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::super::{edge::Edge, exchange};

/// How version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Its fixed part: signature, version and command, protocol, length of the rest.
const FIXED: usize = 16;
/// The most that a header may take: one of version 2 with addresses and a few kilobytes of extras.
const LONGEST: usize = 4096;

/// Reads the header at the beginning of a client's connection, before TLS, if the peer is one that sends it. From then
/// on the stream's peer is the client. Reads not a byte more than the header.
///
/// # Errors
/// The header is missing, malformed or late; the connection is to be closed.
pub async fn receive<S>(stream: &mut S, edge: &Edge) -> io::Result<()>
where
    S: AsyncRead + GetSocketDigest + UniqueID + Unpin,
{
    let peer = exchange::client(stream.get_socket_digest().as_deref());
    let trusted =
        |peer: SocketAddr| edge.trusted.iter().any(|net| net.get().contains(&peer.ip().to_canonical()));
    if !peer.is_some_and(trusted) {
        return Ok(());
    }
    if let Some(client) = timeout(edge.timeouts.head, read(stream)).await?? {
        let digest = SocketDigest::from_raw_fd(stream.id());
        let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(client)));
        stream.set_socket_digest(digest);
    }
    Ok(())
}

/// Reads a header: the client, if it tells one.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    // No header of either version is shorter.
    let mut bytes = vec![0; SIGNATURE.len()];
    stream.read_exact(&mut bytes).await?;
    if bytes == SIGNATURE {
        bytes.resize(FIXED, 0);
        stream.read_exact(&mut bytes[SIGNATURE.len()..]).await?;
        let length = FIXED + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        if length > LONGEST {
            return Err(malformed(HeaderError::HeaderTooBig));
        }
        bytes.resize(length, 0);
        stream.read_exact(&mut bytes[FIXED..]).await?;
    }
    let config = ParseConfig { include_tlvs: false, ..ParseConfig::default() };
    loop {
        match ProxyHeader::parse(&bytes, config) {
            Ok((header, _)) => return client(&header),
            // A line, whose end comes within 107 bytes or is not looked for any more.
            Err(HeaderError::BufferTooShort) => bytes.push(stream.read_u8().await?),
            Err(error) => return Err(malformed(error)),
        }
    }
}

fn client(header: &ProxyHeader<'_>) -> io::Result<Option<SocketAddr>> {
    match header.proxied_address() {
        // The balancer's own connection, such as a health check.
        None => Ok(None),
        Some(address) if address.protocol == Protocol::Stream => Ok(Some(address.source)),
        Some(_) => Err(malformed(HeaderError::V1UnsupportedProtocol)),
    }
}

fn malformed(error: HeaderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
