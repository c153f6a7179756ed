//! Connections to members that carry one request only and end when nothing moves on them any more, neither way. They take
//! the place of Pingora's deadline where that does not fit: in HTTP/2 it runs from a request's head to its answer's,
//! however much of the request is still on its way.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use pingora::{
    Result,
    connectors::L4Connect,
    protocols::l4::{
        socket::SocketAddr,
        stream::Stream,
        virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream},
    },
    proxy::Session,
    upstreams::peer::HttpPeer,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{edge::Timeouts, pick::BeforeConnect, upstream};

/// A body of so many bytes may share its connection: whoever takes longer for that than a member may for its answer is
/// too slow.
const SHORT: u64 = 64 * 1024;

/// Whether it may take long to send this request's body. Calls of gRPC do not say how long they are, but mostly are
/// short, and too many for connections of their own.
pub fn is_needed(session: &mut Session) -> bool {
    if session.as_mut().is_body_empty() {
        return false;
    }
    let headers = &session.req_header().headers;
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    length.is_none_or(|length| length > SHORT) && !is_grpc(headers)
}

/// Whether a request calls gRPC.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Has such a connection made to `peer`, in whatever way connections to it are made: it ends when nothing has moved for
/// `timeouts.read`.
pub fn demand(peer: &mut HttpPeer, timeouts: &Timeouts) -> Progress {
    let progress = Progress::default();
    let before = BeforeConnect::of(peer);
    let options = &mut peer.options;
    options.read_timeout = None;
    options.custom_l4 = Some(Arc::new(Connector {
        usual: options.custom_l4.take(),
        before,
        connect: timeouts.connect,
        patience: timeouts.read,
        progress: progress.clone(),
    }));
    upstream::renew(peer);
    progress
}

/// What is known of a connection's progress.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    has_ended: AtomicBool,
}

impl Progress {
    /// Whether the connection was ended because nothing moved.
    pub fn has_ended(&self) -> bool {
        self.0.has_ended.load(Relaxed)
    }
}

#[derive(Debug)]
struct Connector {
    usual: Option<Arc<dyn L4Connect + Send + Sync>>,
    before: BeforeConnect,
    connect: Duration,
    patience: Duration,
    progress: Progress,
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        let stream = match &self.usual {
            Some(usual) => usual.connect(address).await?,
            None => upstream::connect(address, &self.before, b"", self.connect).await?.into(),
        };
        let (patience, progress) = (self.patience, self.progress.clone());
        let timer = Box::pin(sleep(patience));
        let socket = Progressing { stream, moved: Instant::now(), timer, patience, progress };
        Ok(VirtualSocketStream::new(Box::new(socket)).into())
    }
}

/// The connection.
#[derive(Debug)]
struct Progressing {
    stream: Stream,
    moved: Instant,
    /// Set anew only when it has run down, since most of the time something moves.
    timer: Pin<Box<Sleep>>,
    patience: Duration,
    progress: Progress,
}

impl Progressing {
    /// Waits until nothing has moved for too long.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let until = self.moved + self.patience;
            if until <= Instant::now() {
                self.progress.0.has_ended.store(true, Relaxed);
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.timer.as_mut().reset(until);
        }
    }
}

/// All options are set when it is made.
impl VirtualSocket for Progressing {
    fn set_socket_option(&self, _option: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Progressing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() {
            self.moved = Instant::now();
            return read;
        }
        self.poll_end(context)
    }
}

impl AsyncWrite for Progressing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.moved = Instant::now();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
