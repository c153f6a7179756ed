//! A client's connection as Pingora wants it, with no memory of its own while nothing is under way: nothing is read
//! ahead, and what is written waits in a buffer that is gone again after each flush. An idle connection costs a
//! quarter of what Pingora's own stream costs.
//!
//! Pingora flushes when an answer of known length is whole, and not when it breaks off. So what was written leaves also
//! when Pingora waits for something else, and at the end.

use std::{
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use async_trait::async_trait;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, raw_connect::ProxyDigest,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

/// Small writes are gathered up to this many bytes: a head and a short body leave in one segment.
const GATHER: usize = 4096;

/// A client's connection.
#[derive(Debug)]
pub struct ClientStream {
    socket: TcpStream,
    /// Written and not sent; empty without memory after a flush.
    unsent: Vec<u8>,
    /// How much of `unsent` is sent.
    sent: usize,
    digest: Arc<SocketDigest>,
    accepted: SystemTime,
}

impl ClientStream {
    /// Takes a connection that was accepted just now from this client.
    pub fn new(socket: TcpStream, client: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // Pingora would ask the kernel.
        let _ = digest.peer_addr.set(Some(client.into()));
        Self { socket, unsent: Vec::new(), sent: 0, digest: Arc::new(digest), accepted: SystemTime::now() }
    }

    fn poll_send_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Whoever waits for the client has nothing more to write at the moment. Errors are told when it has.
        let _ = self.poll_send_unsent(cx);
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            // The client may be slow or gone, and nobody waits for it any more.
            let _ = self.socket.try_write(rest);
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.unsent.len() + data.len() > GATHER {
            ready!(self.poll_send_unsent(cx))?;
        }
        if data.len() >= GATHER {
            return Pin::new(&mut self.socket).poll_write(cx, data);
        }
        self.unsent.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send_unsent(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send_unsent(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[async_trait]
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // The client may have gone first.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> i32 {
        self.socket.as_raw_fd()
    }
}

impl Ssl for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.accepted, ..TimingDigest::default() })]
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.digest.clone())
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.digest = Arc::new(digest);
    }
}

impl Peek for ClientStream {}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (ClientStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, client) = listener.accept().await.unwrap();
        (ClientStream::new(socket, client), other)
    }

    /// Sizes around the buffer's, small ones in front of large ones.
    #[tokio::test]
    async fn bytes_arrive_in_order_whatever_the_sizes_of_the_writes() {
        let (mut stream, mut other) = pair().await;
        let sizes = [1, GATHER - 1, 1, GATHER, 3, GATHER + 1, 0, 5 * GATHER, 7, 7];
        let written = tokio::spawn(async move {
            let mut expected = Vec::new();
            for (number, size) in sizes.into_iter().enumerate() {
                let part: Vec<u8> = (0..size).map(|at| (at + number) as u8).collect();
                stream.write_all(&part).await.unwrap();
                expected.extend(part);
            }
            Shutdown::shutdown(&mut stream).await;
            expected
        });
        let mut read = Vec::new();
        other.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, written.await.unwrap());
    }

    #[tokio::test]
    async fn a_flush_sends_all_and_leaves_no_memory() {
        let (mut stream, mut other) = pair().await;
        stream.write_all(b"head").await.unwrap();
        stream.write_all(b"body").await.unwrap();
        stream.flush().await.unwrap();
        let mut read = [0; 8];
        other.read_exact(&mut read).await.unwrap();
        assert_eq!((&read, stream.unsent.capacity()), (b"headbody", 0));
    }
}
