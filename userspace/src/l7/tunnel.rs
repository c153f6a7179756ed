//! Connections to members for requests that ask for another protocol, such as WebSocket.
//!
//! Pingora 0.9.1 hands the end of such a request's empty body to the member's side of the exchange, and if that has
//! read the member's 101 before, takes it for the end of the tunnel: the connection closes before its first word. A
//! member that answers at once wins that race now and then. So what a member says is read one turn later here than what
//! it was sent, and then the end of the body comes first.
//!
//! Pingora also knows one deadline only for all that a member says, so that until the tunnel is open is the connection's.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use http::{Version, header::UPGRADE};
use pingora::{
    Result,
    connectors::L4Connect,
    http::RequestHeader,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
    upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::edge::Timeouts;
use super::{
    hop_by_hop,
    progress::{self, Progress},
};

/// Whether a request asks for a tunnel: of the protocols that it could ask for, only WebSocket goes on to members.
pub fn is_wanted(request: &RequestHeader) -> bool {
    let protocol = request.headers.get(UPGRADE);
    request.version == Version::HTTP_11
        && protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && hop_by_hop::options(&request.headers).any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

/// Has a connection made to `peer` on which a tunnel may be asked for. It may rest once that is open, of which the caller
/// tells what this returns.
pub fn prepare(peer: &mut HttpPeer, timeouts: &Timeouts) -> Progress {
    let progress = progress::demand(peer, timeouts);
    let options = &mut peer.options;
    options.read_timeout = Some(timeouts.tunnel);
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::default();
    options.custom_l4 = options.custom_l4.take().map(|usual| Arc::new(Connector { usual }) as _);
    progress
}

#[derive(Debug)]
struct Connector {
    usual: Arc<dyn L4Connect + Send + Sync>,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let stream = self.usual.connect(address).await?;
        Ok(VirtualSocketStream::new(Box::new(ReadsLater { stream, has_written: false })).into())
    }
}

/// A connection that is never ready to be read when it has just been written to.
#[derive(Debug)]
struct ReadsLater {
    stream: Stream,
    has_written: bool,
}

/// All options are set when it is made.
impl VirtualSocket for ReadsLater {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for ReadsLater {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ReadsLater {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
