//! A client's connection as Pingora gets it: it first reads what the guard has read ahead, no further than to the end of
//! its request, both ways are counted, and a client that takes nothing of what it is sent is given up.

use std::{
    cell::RefCell,
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use pingora::protocols::{GetProxyDigest, Peek, Shutdown, Stream, raw_connect::ProxyDigest};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Sleep, sleep, timeout},
};

use super::{
    budget::Budget,
    frames::{Flow, Frames, PREFACE},
    last_chunk::Outgoing,
    traffic::Traffic,
};
use crate::l7::{message::Rest, wrapped::hand_on};

/// The most that is read ahead at once.
const SCRATCH: usize = 16 * 1024;

/// What a client has to take in the time in which it may take nothing.
const ENOUGH: usize = 16 * 1024;

thread_local! {
    /// Where reads go until it is known how much there is, so that a connection on which nothing comes has no buffer.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// A client that does not take what is sent to it.
struct Stall {
    timer: Pin<Box<Sleep>>,
    /// What the kernel has taken since.
    taken: usize,
    /// What the client had acknowledged: the kernel takes nothing before much of what it has is gone, for which a slow
    /// client may need longer than it may take nothing.
    acknowledged: u64,
}

/// See the module.
pub(super) struct Watched {
    inner: Stream,
    ahead: Bytes,
    /// What of the request is still to be read behind `ahead`.
    rest: Rest,
    /// Of HTTP/2.
    frames: Option<Box<Frames>>,
    /// Of the next request, which the client sent without waiting.
    later: BytesMut,
    /// How long the client may take nothing of what is sent to it.
    patience: Duration,
    /// Set while it does that.
    stalled: Option<Stall>,
    traffic: Arc<Traffic>,
    /// An answer behind which fields may stand.
    outgoing: Option<Box<Outgoing>>,
}

impl Watched {
    pub(super) fn new(inner: Stream, patience: Duration) -> Self {
        Self {
            inner,
            ahead: Bytes::new(),
            rest: Rest::Unknown,
            frames: None,
            later: BytesMut::new(),
            patience,
            stalled: None,
            traffic: Arc::default(),
            outgoing: None,
        }
    }

    pub(super) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// What came of an attempt to send: an error if the client has taken next to nothing for too long. Some bytes now and
    /// then are nothing; all that there is, or [`ENOUGH`], is something.
    fn in_time<T>(
        &mut self,
        sent: Poll<io::Result<T>>,
        taken: impl Fn(&T) -> usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &sent {
            let Some(stall) = &mut self.stalled else { return sent };
            stall.taken = stall.taken.saturating_add(result.as_ref().map_or(usize::MAX, taken));
            if stall.taken >= ENOUGH {
                self.stalled = None;
                return sent;
            }
        }
        loop {
            if self.stalled.is_none() {
                let acknowledged = self.acknowledged();
                self.stalled = Some(Stall { timer: Box::pin(sleep(self.patience)), taken: 0, acknowledged });
            }
            let Some(stall) = &mut self.stalled else { return sent };
            if stall.timer.as_mut().poll(context).is_pending() {
                return sent;
            }
            let before = stall.acknowledged;
            if self.acknowledged().saturating_sub(before) < ENOUGH as u64 {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.stalled = None;
        }
    }

    /// How many bytes the client has acknowledged, those of TLS too; 0 of what is no TCP.
    fn acknowledged(&self) -> u64 {
        let socket = self.inner.get_socket_digest();
        socket.and_then(|socket| socket.tcp_info()).map_or(0, |info| info.tcpi_bytes_acked)
    }

    /// What is known of a connection of HTTP/2.
    pub(super) fn flow(&self) -> Option<&Arc<Flow>> {
        self.frames.as_ref().map(|frames| frames.flow())
    }

    pub(super) fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// Reads what is there, or waits until something is, and appends it. Returns how much; 0 at the end.
    pub(super) async fn read_more(&mut self, bytes: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|context| self.poll_more(context, bytes)).await
    }

    /// As [`Self::read_more`].
    pub(super) fn poll_more(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        READ.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            bytes.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Waits for the preface of HTTP/2, of which these bytes were read, which no timeout of Pingora's is for, and which Pingora logs as an error when it
    /// is something else. Whether it came in time.
    /// From then on what passes is looked at, and its heads may take `heads` bytes.
    pub(super) async fn preface(&mut self, mut bytes: BytesMut, patience: Duration, heads: usize) -> bool {
        let read = timeout(patience, async {
            while bytes.len() < PREFACE.len() && matches!(self.read_more(&mut bytes).await, Ok(1..)) {}
        });
        let in_time = read.await.is_ok() && bytes.starts_with(PREFACE);
        let all = bytes.len();
        self.put_back(bytes, all, Rest::Unknown);
        self.frames = Some(Box::new(Frames::new(Flow::new(Budget::new(heads)), PREFACE.len())));
        in_time
    }

    /// Has these bytes read next, and returns what of them is one request's: so many, of which `rest` is still to come.
    /// What is behind them waits for [`Self::take_later`].
    pub(super) fn put_back(&mut self, mut bytes: BytesMut, own: usize, rest: Rest) -> Bytes {
        // The answer before may have had none, whatever its head said.
        self.outgoing = None;
        self.traffic.may_have_trailers.store(false, Relaxed);
        self.later = bytes.split_off(own);
        self.rest = rest;
        self.ahead = bytes.freeze();
        self.ahead.clone()
    }

    /// What has come of the next request.
    pub(super) fn take_later(&mut self) -> BytesMut {
        mem::take(&mut self.later)
    }

    /// Writes a part of an answer, or its last chunk with the fields that stand behind it.
    fn poll_write_outgoing(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut outgoing = self.outgoing.take().unwrap_or_else(|| Box::new(Outgoing::new()));
        if outgoing.ends_with(bytes) {
            *outgoing = Outgoing::last(&self.traffic.take_trailers());
        }
        let result = loop {
            let written = match &*outgoing {
                Outgoing::Last(last) if last.is_empty() => break Poll::Ready(Ok(bytes.len())),
                Outgoing::Last(last) => Pin::new(&mut self.inner).poll_write(context, last),
                _ => Pin::new(&mut self.inner).poll_write(context, bytes),
            };
            let written = match self.in_time(written, |&count| count, context) {
                Poll::Ready(Ok(written)) => written,
                other => break other,
            };
            self.traffic.written.fetch_add(written as u64, Relaxed);
            match &mut *outgoing {
                Outgoing::Last(last) => last.advance(written),
                outgoing => {
                    outgoing.pass(&bytes[..written]);
                    break Poll::Ready(Ok(written));
                }
            }
        };
        if result.is_ready() && matches!(*outgoing, Outgoing::Last(_) | Outgoing::Other) {
            self.traffic.may_have_trailers.store(false, Relaxed);
        } else {
            self.outgoing = Some(outgoing);
        }
        result
    }

    /// Reads what of the request is still to come. When all of it is there, waits for the client's end.
    fn poll_rest(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.traffic.is_tunnel.load(Relaxed) {
            if self.later.is_empty() {
                return Pin::new(&mut self.inner).poll_read(context, buffer);
            }
            let length = self.later.len().min(buffer.remaining());
            buffer.put_slice(&self.later.split_to(length));
            return Poll::Ready(Ok(()));
        }
        if self.rest.is_over() && !self.later.is_empty() {
            // Whoever waits for the client's end has something else to wait for, too.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        let own = self.rest.take(read).length;
        if self.rest.is_lost() {
            buffer.set_filled(before);
            self.traffic.is_lost.store(true, Relaxed);
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if own == read.len() {
            return Poll::Ready(Ok(()));
        }
        self.later.extend_from_slice(&read[own..]);
        buffer.set_filled(before + own);
        if own == 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

/// Without what the client said: Pingora may put this into a log.
impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.flow().is_some_and(|flow| flow.is_full.load(Relaxed)) {
            // Whoever takes the requests that were read reads on then.
            return Poll::Pending;
        }
        if self.ahead.is_empty() {
            ready!(self.poll_rest(context, buffer))?;
        } else {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead[..length]);
            self.ahead.advance(length);
        }
        let read = &buffer.filled()[before..];
        self.traffic.read.fetch_add(read.len() as u64, Relaxed);
        if let Some(frames) = &mut self.frames {
            frames.flow().is_full.store(true, Relaxed);
            frames.read(read).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.traffic.may_have_trailers.load(Relaxed) {
            return self.poll_write_outgoing(context, bytes);
        }
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        let written = ready!(self.in_time(written, |&count| count, context))?;
        self.traffic.written.fetch_add(written as u64, Relaxed);
        if let Some(frames) = &mut self.frames {
            frames.written(&bytes[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.traffic.may_have_trailers.load(Relaxed) {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write_outgoing(context, first.map_or(&[], |slice| slice));
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        let written = ready!(self.in_time(written, |&count| count, context))?;
        self.traffic.written.fetch_add(written as u64, Relaxed);
        if let Some(frames) = &mut self.frames {
            let mut left = written;
            for slice in slices {
                let part = left.min(slice.len());
                frames.written(&slice[..part]);
                left -= part;
            }
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        self.in_time(flushed, |()| usize::MAX, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(context);
        self.in_time(shut, |()| usize::MAX, context)
    }
}

#[async_trait]
impl Shutdown for Watched {
    async fn shutdown(&mut self) {
        // By way of `in_time`; the client may have gone first.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

hand_on!(Watched);

impl GetProxyDigest for Watched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.inner.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.inner.set_proxy_digest(digest);
    }
}

/// Pingora asks to peek for HTTP/2 without TLS, which the guard looks for itself.
impl Peek for Watched {}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, duplex},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::l7::{fixture::DEADLINE, stream::ClientStream};

    const PATIENCE: Duration = Duration::from_millis(400);
    /// Much more than fits.
    const BYTES: usize = 8 * ENOUGH;

    /// What comes of sending to a client that does this.
    async fn sent_to(client: impl AsyncFnOnce(&mut tokio::io::DuplexStream)) -> io::Result<()> {
        let (mut end, ours) = duplex(ENOUGH / 4);
        let mut watched = Watched::new(Box::new(ours), PATIENCE);
        let sending = async {
            watched.write_all(&[0; BYTES]).await?;
            watched.flush().await
        };
        timeout(DEADLINE, async { tokio::join!(sending, client(&mut end)).0 }).await.unwrap()
    }

    /// Takes so much now and then.
    async fn take(end: &mut tokio::io::DuplexStream, part: usize) {
        let mut buffer = vec![0; part];
        loop {
            sleep(PATIENCE / 8).await;
            // The other side may have given up.
            if !matches!(end.read(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let error = sent_to(async |_| {}).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// Nor is its connection kept for what could not be sent.
    #[tokio::test]
    async fn its_connection_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, client) = listener.accept().await.unwrap();
        let mut watched = Watched::new(Box::new(ClientStream::new(socket, client)), PATIENCE);
        let ended = timeout(DEADLINE, async {
            while watched.write_all(&[0; BYTES]).await.is_ok() {}
            Shutdown::shutdown(&mut watched).await;
        });
        ended.await.unwrap();
    }

    /// All of it takes longer than one may wait.
    #[tokio::test]
    async fn a_slow_one_is_not() {
        let sent = sent_to(async |end| {
            let mut left = BYTES;
            let mut buffer = vec![0; ENOUGH / 4];
            while left > 0 {
                sleep(PATIENCE / 16).await;
                left -= end.read(&mut buffer).await.unwrap();
            }
        });
        sent.await.unwrap();
    }

    /// A byte now and then keeps nothing open.
    #[tokio::test]
    async fn one_that_takes_next_to_nothing_is_given_up() {
        let (mut end, ours) = duplex(ENOUGH / 4);
        let mut watched = Watched::new(Box::new(ours), PATIENCE);
        let sending = async move { watched.write_all(&[0; BYTES]).await };
        let drip = async {
            take(&mut end, 1).await;
        };
        let both = async {
            tokio::select! {
                sent = sending => sent,
                () = drip => Ok(()),
            }
        };
        let error = timeout(DEADLINE, both).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
