//! A connection to a member of HTTP/1 as Pingora gets it. What passes is looked at: an answer is read no further than it
//! goes, no faster than its client takes it, and not for ever.

use std::{
    any::Any,
    fmt, io, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use async_trait::async_trait;
use http::Method;
use pingora::{
    http::ResponseHeader,
    protocols::{Digest, GetProxyDigest, Peek, Shutdown, SocketDigest, Stream, raw_connect::ProxyDigest},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{
    super::{edge::Timeouts, message::Taken, wrapped::hand_on},
    answer::Answer,
    pages,
};

/// The most that is read at once, if nothing is known of the client. Pingora has a piece in its buffer, and one more of each
/// that waits for the client.
const PIECE: usize = 8 * 1024;
/// The most that may wait for the client, if it does not take it as it comes.
const WAITING: usize = 10 * 1024;
/// The most that is read at once if the kernel takes all of it for the client: Pingora's buffer.
const LARGE: usize = 64 * 1024;
/// What is worth more than [`PIECE`].
const WORTHWHILE: usize = 2 * PIECE;

/// What a request's proxy and the connection to its member tell each other.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The request that is about to be sent.
    next: Option<Request>,
    /// Bytes of the answer's content that were given to Pingora, those of them that were read last, and those that the
    /// client has taken, as far as that is known: of the last piece it is when another one comes.
    given: usize,
    last: usize,
    taken: usize,
    /// Whether the client has begun to take it.
    has_begun: bool,
    /// Whether the last read got all that it asked for: there is more.
    is_full: bool,
    /// Who reads when the client has taken more.
    reader: Option<Waker>,
    has_ended: bool,
    /// What came behind the answer's last chunk.
    trailer: Vec<u8>,
}

/// What has to be known of a request to understand its answer.
#[derive(Debug)]
struct Request {
    method: Method,
    may_switch: bool,
    wants_trailer: bool,
    timeouts: Timeouts,
    client: Option<Arc<SocketDigest>>,
}

impl Link {
    /// That of a connection of HTTP/1, which Pingora describes so.
    pub fn of(digest: &Digest) -> Option<Self> {
        digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref().cloned()
    }

    /// A request with this method is about to be sent, which asks for a tunnel or not, and whose client wants what comes
    /// behind an answer's last chunk. `client` is the socket that has nothing but its answer to carry, if there is one.
    pub fn begin(
        &self,
        method: &Method,
        may_switch: bool,
        wants_trailer: bool,
        timeouts: &Timeouts,
        client: Option<Arc<SocketDigest>>,
    ) {
        let next = Request { method: method.clone(), may_switch, wants_trailer, timeouts: *timeouts, client };
        *self.state() = State { next: Some(next), ..State::default() };
    }

    /// The client takes the next piece of the answer, and so has taken this many more bytes.
    pub fn taken(&self, bytes: usize) {
        let mut state = self.state();
        state.taken += bytes;
        state.has_begun = true;
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
    }

    /// What came behind the answer's last chunk, as it came, if that was wanted.
    pub fn take_trailer(&self) -> Vec<u8> {
        mem::take(&mut self.state().trailer)
    }

    /// Whether the connection was ended because nothing moved on it for too long.
    pub fn has_ended(&self) -> bool {
        self.state().has_ended
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection.
pub(super) struct Connection {
    inner: Stream,
    link: Link,
    /// What Pingora hands on to the proxy: the link.
    digest: Arc<ProxyDigest>,
    /// The answer to the request under way or the last one; none before the first.
    answer: Option<Answer>,
    /// Whether more has come than the answer: nothing can be asked for here any more.
    is_spoilt: bool,
    /// How long nothing may move; none while nothing has to.
    patience: Option<Duration>,
    /// How long nothing may move in a tunnel.
    tunnel: Duration,
    moved: Instant,
    /// Set anew only when it has run down, since most of the time something moves.
    timer: Option<Pin<Box<Sleep>>>,
    /// See [`Link::begin`].
    client: Option<Arc<SocketDigest>>,
    /// Whether the request under way asks for a tunnel, and it was written to since it was read.
    reads_later: bool,
    has_written: bool,
}

impl Connection {
    pub(super) fn new(inner: Stream) -> io::Result<Self> {
        let link = Link::default();
        let data: Box<dyn Any + Send + Sync> = Box::new(link.clone());
        let unused = ResponseHeader::build(200, Some(0)).map_err(io::Error::other)?;
        Ok(Self {
            inner,
            link,
            digest: Arc::new(ProxyDigest::new(Box::new(unused), Some(data))),
            answer: None,
            is_spoilt: false,
            patience: None,
            tunnel: Duration::ZERO,
            moved: Instant::now(),
            timer: None,
            client: None,
            reads_later: false,
            has_written: false,
        })
    }

    /// Takes note of the request that is sent next, and returns how much may be read for it.
    fn prepare(&mut self, context: &Context<'_>) -> Poll<usize> {
        let mut state = self.link.state();
        if let Some(Request { method, may_switch, wants_trailer, timeouts, client }) = state.next.take() {
            self.answer = Some(Answer::new(&method, may_switch, wants_trailer));
            self.patience = Some(timeouts.read);
            self.tunnel = timeouts.tunnel;
            self.client = client;
            (self.reads_later, self.has_written) = (may_switch, self.has_written && may_switch);
            self.moved = Instant::now();
        }
        let waiting = state.given - state.taken;
        let most = match waiting {
            0 => PIECE,
            // Pingora copies pieces that wait together, and keeps the room for that.
            _ if !state.has_begun => 0,
            _ if waiting > state.last => PIECE.min(WAITING.saturating_sub(waiting)),
            // All but the last piece has left, and only what comes next says that this has.
            _ => {
                let room = if state.is_full { self.room().saturating_sub(waiting) } else { 0 };
                if room >= WORTHWHILE {
                    room.min(LARGE)
                } else {
                    WAITING.saturating_sub(waiting).clamp(WAITING - PIECE, PIECE)
                }
            }
        };
        if most == 0 {
            state.reader = Some(context.waker().clone());
            drop(state);
            // Nothing has to move before the client has taken what there is.
            self.moved = Instant::now();
            return Poll::Pending;
        }
        Poll::Ready(most)
    }

    /// How much the kernel surely takes for the client now: it provides for twice what may be on its way at once
    /// (`tcp_sndbuf_expand` in `net/ipv4/tcp_input.c`). Nothing if the client has no such room, or has not yet taken as much.
    fn room(&self) -> usize {
        let info = self.client.as_ref().and_then(|client| client.tcp_info());
        info.filter(|info| info.tcpi_bytes_acked >= LARGE as u64).map_or(0, |info| {
            let segments = 2_u32.saturating_mul(info.tcpi_snd_cwnd).saturating_sub(info.tcpi_unacked);
            let room = segments.saturating_mul(info.tcpi_snd_mss).saturating_sub(info.tcpi_notsent_bytes);
            room.min(info.tcpi_snd_wnd) as usize
        })
    }

    /// Looks at what was read, which may be all that was asked for; returns how much of it there is for Pingora.
    fn check(&mut self, read: &[u8], is_full: bool) -> io::Result<usize> {
        let Some(answer) = self.answer.as_mut().filter(|answer| !answer.is_over()) else {
            self.is_spoilt = true;
            return Ok(0);
        };
        let wrong = |wrong| io::Error::new(io::ErrorKind::InvalidData, wrong);
        let Taken { length, content } = answer.take(read).map_err(wrong)?;
        self.is_spoilt = length < read.len();
        let mut state = self.link.state();
        state.is_full = is_full;
        if content > 0 {
            (state.given, state.last) = (state.given + content, content);
        }
        if answer.is_over() {
            state.trailer = answer.take_trailer();
        }
        drop(state);
        if answer.is_tunnel() {
            self.patience = Some(self.tunnel);
            self.reads_later = false;
        } else if answer.is_over() {
            self.patience = None;
        }
        Ok(length)
    }

    /// Waits until nothing has moved for too long.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(patience) = self.patience else { return Poll::Pending };
        loop {
            let until = self.moved + patience;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(patience)));
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(context));
            if until <= Instant::now() {
                self.link.state().has_ended = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            timer.as_mut().reset(until);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Poll::Ready(most) = self.prepare(context) else {
            if self.client.is_some() && self.room() < PIECE {
                pages::give_back(buffer);
            }
            return Poll::Pending;
        };
        if self.is_spoilt {
            return Poll::Ready(Ok(()));
        }
        // See `tunnel`.
        if self.reads_later && mem::take(&mut self.has_written) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let most = most.min(buffer.remaining());
        let mut part = (&mut self.inner).take(most as u64);
        if Pin::new(&mut part).poll_read(context, buffer)?.is_pending() {
            return self.poll_end(context);
        }
        let read = &buffer.filled()[before..];
        if !read.is_empty() {
            self.moved = Instant::now();
            let own = self.check(read, read.len() == most)?;
            buffer.set_filled(before + own);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes));
        self.has_written = true;
        self.moved = Instant::now();
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, slices));
        self.has_written = true;
        self.moved = Instant::now();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Connection {
    async fn shutdown(&mut self) {
        self.inner.shutdown().await;
    }
}

hand_on!(Connection);

/// The only place that Pingora has for something of ours.
impl GetProxyDigest for Connection {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.digest.clone())
    }
}

impl Peek for Connection {}
