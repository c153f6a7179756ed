//! Between Pingora's listener and its proxy: reads the head of every HTTP/1 request itself, so that it has a deadline
//! and can be refused for its raw shape, then gives Pingora the connection with that head in front.
//!
//! ```text
//! watched  the connection, with what was read ahead   (traffic: what it has carried)
//!   → head    what a head must be like
//!   → streams a connection of HTTP/2, request by request
//!     → budget what heads may take together; windows: what bodies may
//!     → frames what passes on it
//!   → last_chunk fields behind an answer
//!   → refusal why it is refused, and what the client is told
//! ```
//!
//! Every request that the guard or Pingora itself refuses is logged and counted here, because it never reaches the
//! proxy.
//! Next: `proxy`, which gets an [`Arrival`] with each request of HTTP/1.

pub mod arrival;
mod budget;
mod frames;
#[cfg(test)]
mod fuzz;
mod head;
mod last_chunk;
pub mod refusal;
mod streams;
#[cfg(test)]
mod tests;
mod traffic;
mod trailer_block;
mod watched;
mod windows;

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use bytes::{Buf, BytesMut};
use pingora::{
    Error, ErrorType, Result,
    apps::{HttpServerApp, HttpServerOptions},
    protocols::{
        ALPN, GetSocketDigest, Ssl, Stream,
        http::{ServerSession, v2::server::H2Options},
    },
    proxy::{ProxyHttp, Session},
    server::ShutdownWatch,
};
use tokio::{
    io::AsyncWriteExt,
    time::{Sleep, sleep, sleep_until, timeout, timeout_at},
};

use self::{arrival::Arrival, frames::PREFACE, refusal::Refusal, watched::Watched};
pub use self::{streams::flush, traffic::Traffic};
use super::{
    edge::Edge,
    exchange::Refused,
    linger,
    message::{self, Rest},
    snapshot::Snapshot,
    upstream::HttpProxy,
};

/// The most bytes of empty lines before a request.
const MOST_BLANK: usize = 32;
/// A client then asks again on another connection (RFC 9110 section 15.5.20).
const MISDIRECTED: u16 = 421;

/// A proxy with the guard before it.
pub struct Guard<P> {
    proxy: Arc<HttpProxy<P>>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// What connections of HTTP/2 begin with.
    h2: H2Options,
}

impl<P> Guard<P>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    /// Guards a proxy. Connections of HTTP/2 get by what is in `snapshot` now.
    pub fn new(mut proxy: HttpProxy<P>, snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        let h2 = streams::options(&snapshot.load().edge.limits);
        let options = proxy.server_options.get_or_insert_with(HttpServerOptions::default);
        // So that CONNECT is not refused without a line in the log.
        options.allow_connect_method_proxying = true;
        Self { proxy: Arc::new(proxy), snapshot, h2 }
    }

    /// Serves a client's connection until it ends. No idle connection and no new request outlives `ending`.
    pub async fn serve(&self, stream: Stream, ending: &ShutdownWatch) {
        let edge = self.edge();
        let _open = edge.counters.connection();
        let stream = Box::new(Watched::new(stream, edge.limits.send));
        if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
            self.http2(stream, BytesMut::new(), ending).await;
        } else {
            self.http1(stream, ending).await;
        }
    }

    /// A connection of HTTP/2 that begins with these bytes, which were read ahead.
    async fn http2(&self, mut stream: Box<Watched>, bytes: BytesMut, ending: &ShutdownWatch) {
        let edge = self.edge();
        if stream.preface(bytes, edge.timeouts.head, edge.limits.heads_bytes as usize).await {
            let traffic = stream.traffic().clone();
            let patience = edge.idle.max(edge.timeouts.read);
            let current = || self.edge();
            tokio::select! {
                () = streams::serve(&self.proxy, stream, self.h2.clone(), current, ending) => {}
                () = forsaken(ending, &traffic, patience) => {}
            }
        }
    }

    /// Ends idle connections once no more are served.
    pub async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }

    fn edge(&self) -> Arc<Edge> {
        self.snapshot.load().edge.clone()
    }

    /// One request after the other.
    async fn http1(&self, mut stream: Box<Watched>, shutdown: &ShutdownWatch) {
        let mut edge = self.edge();
        let is_tls = stream.get_ssl_digest().is_some();
        // The time for the first head begins with the connection.
        let mut idle_until = Instant::now() + edge.timeouts.head;
        let mut head_until = Some(idle_until);
        // Both wait through all requests: to begin to wait costs more than to go on.
        let mut timer = pin!(sleep_until(idle_until.into()));
        let mut ending = shutdown.clone();
        let mut end = pin!(async move {
            let _ = ending.wait_for(|&stop| stop).await;
        });
        loop {
            let Some(mut bytes) = first(&mut stream, idle_until, timer.as_mut(), end.as_mut()).await else {
                return;
            };
            let began = Instant::now();
            edge = self.edge();
            if bytes.is_empty() {
                return Box::pin(refuse(stream, &edge, Refusal::Malformed, &bytes, began)).await;
            }
            if edge.https != is_tls {
                // The listener speaks something else now than when the connection began.
                return;
            }
            stream.set_patience(edge.limits.send);
            if edge.cleartext_http2
                && head_until.is_some()
                && is_preface(&mut stream, &mut bytes, idle_until).await
            {
                return Box::pin(self.http2(stream, bytes, shutdown)).await;
            }
            let checked = match check(&bytes, 0, &edge) {
                // With memory of its own: an idle connection has none for this.
                None => {
                    let until = head_until.unwrap_or(began + edge.timeouts.head);
                    Box::pin(whole(&mut stream, &mut bytes, &edge, until)).await
                }
                checked => checked,
            };
            let (length, mut rest) = match checked {
                Some(Ok(good)) => good,
                Some(Err(refusal)) => return Box::pin(refuse(stream, &edge, refusal, &bytes, began)).await,
                None => return,
            };
            head::write_host_as_target(&mut bytes[..length]);
            let own = length + rest.take(&bytes[length..]).length;
            if rest.is_lost() {
                return Box::pin(refuse(stream, &edge, Refusal::BadChunks, &bytes, began)).await;
            }
            let traffic = stream.traffic().clone();
            let before = (traffic.read(), traffic.written());
            let reached = Arc::new(AtomicBool::new(false));
            let arrival = Arrival { began, traffic: traffic.clone(), before, reached: reached.clone() };
            let (socket, tls) = (stream.get_socket_digest(), stream.get_ssl_digest());
            let head = stream.put_back(bytes, own, rest);
            let reused = self.proxy.process_new_http(session(stream, edge.idle, arrival), shutdown).await;
            if !reached.load(Relaxed) && traffic.written() > before.1 {
                let refused = Refused {
                    refusal: Refusal::Other,
                    line: head::first_line(&head),
                    socket,
                    tls,
                    began,
                    bytes: (traffic.read() - before.0, traffic.written() - before.1),
                };
                refused.finish(&edge);
            }
            let Some(reused) = reused else { return };
            // What Pingora would keep for the next request is its timeouts and requests sent ahead, neither of which
            // is its business here.
            let (inner, _) = reused.consume();
            let Ok(inner) = inner.into_any().downcast::<Watched>() else { return };
            stream = inner;
            (idle_until, head_until) = (Instant::now() + edge.idle, None);
        }
    }
}

/// Waits until `ending` has come and then nothing has moved for this time. Pingora asks a client of HTTP/2 to leave, and waits
/// for its answer for ever.
async fn forsaken(ending: &ShutdownWatch, traffic: &Traffic, patience: Duration) {
    let _ = ending.clone().wait_for(|&stop| stop).await;
    let moved = || (traffic.read(), traffic.written());
    let mut before = None;
    while before != Some(moved()) {
        before = Some(moved());
        sleep(patience).await;
    }
}

/// Waits for a request's first byte, until then or until `end` comes. `None` if the client has gone, or has had its
/// time; nothing if there were only empty lines.
async fn first(
    stream: &mut Watched,
    until: Instant,
    mut timer: Pin<&mut Sleep>,
    mut end: Pin<&mut impl Future<Output = ()>>,
) -> Option<BytesMut> {
    let mut bytes = stream.take_later();
    let mut skipped = 0;
    loop {
        // Empty lines may come before a request, but not for ever.
        let blank = head::blank(&bytes);
        bytes.advance(blank);
        skipped += blank;
        if skipped > MOST_BLANK {
            bytes.clear();
            return Some(bytes);
        }
        if !bytes.is_empty() {
            return Some(bytes);
        }
        let more = poll_fn(|context| match stream.poll_more(context, &mut bytes) {
            Poll::Ready(read) => Poll::Ready(matches!(read, Ok(1..))),
            Poll::Pending => {
                let is_over = poll_reach(until, timer.as_mut(), context).is_ready();
                if is_over || end.as_mut().poll(context).is_ready() {
                    Poll::Ready(false)
                } else {
                    Poll::Pending
                }
            }
        });
        if !more.await {
            return None;
        }
    }
}

/// Whether a connection that begins with these bytes is one of HTTP/2: reads more while it may be.
async fn is_preface(stream: &mut Watched, bytes: &mut BytesMut, until: Instant) -> bool {
    let read = timeout_at(until.into(), async {
        while bytes.len() < PREFACE.len() && PREFACE.starts_with(bytes) {
            if !matches!(stream.read_more(bytes).await, Ok(1..)) {
                return;
            }
        }
    });
    read.await.is_ok() && bytes.starts_with(PREFACE)
}

/// Reads until the head that has begun is whole, or is no good, or is late. `None` if the client has gone.
async fn whole(stream: &mut Watched, bytes: &mut BytesMut, edge: &Edge, until: Instant) -> Option<Checked> {
    let checked = timeout_at(until.into(), async {
        loop {
            let searched = bytes.len();
            if !matches!(stream.read_more(bytes).await, Ok(1..)) {
                return None;
            }
            if let Some(checked) = check(bytes, searched, edge) {
                return Some(checked);
            }
        }
    });
    checked.await.unwrap_or(Some(Err(Refusal::Late)))
}

/// The length of a request's head and what follows it, or why it is refused.
type Checked = Result<(usize, Rest), Refusal>;

/// Checks the head at the beginning of `bytes`, the first of which were searched for its end; `None` as long as it may
/// get good.
fn check(bytes: &[u8], searched: usize, edge: &Edge) -> Option<Checked> {
    let most = edge.limits.head_bytes as usize;
    match message::head_end(bytes, searched) {
        Some(end) if end <= most => Some(head::check(&bytes[..end], &edge.limits).map(|rest| (end, rest))),
        None if bytes.len() <= most => None,
        _ => Some(Err(Refusal::TooLarge)),
    }
}

/// Waits until then. The timer may be set to an earlier moment, and then is set to this one when that has come: a
/// connection that is never idle for long sets it once and not with each request.
fn poll_reach(until: Instant, mut timer: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
    let until = until.into();
    if timer.deadline() > until {
        timer.as_mut().reset(until);
    }
    loop {
        ready!(timer.as_mut().poll(context));
        if timer.deadline() >= until {
            return Poll::Ready(());
        }
        timer.as_mut().reset(until);
    }
}

/// A request as Pingora takes it.
fn session(stream: Stream, idle: Duration, arrival: Arrival) -> ServerSession {
    let mut session = ServerSession::new_http1(stream);
    if let ServerSession::H1(session) = &mut session {
        // A client that sends no more may still wait for its answer.
        session.set_abort_on_close(false);
        // `Proxy` does that with answers; Pingora would with 100, too.
        session.set_close_on_response_before_downstream_finish(false);
    }
    session.set_keepalive(Some(idle.as_secs()));
    session.set_connection_user_context(Some(Box::new(arrival)));
    session
}

/// Answers, logs and counts, and ends the connection.
async fn refuse(mut stream: Box<Watched>, edge: &Edge, refusal: Refusal, bytes: &[u8], began: Instant) {
    let written = stream.traffic().written();
    let answered = async {
        stream.write_all(&refusal.response()).await?;
        stream.flush().await?;
        AsyncWriteExt::shutdown(&mut *stream).await
    };
    let answered = matches!(timeout(linger::TIME, answered).await, Ok(Ok(())));
    let refused = Refused {
        refusal,
        line: head::first_line(bytes),
        socket: stream.get_socket_digest(),
        tls: stream.get_ssl_digest(),
        began,
        bytes: (bytes.len() as u64, stream.traffic().written() - written),
    };
    refused.finish(edge);
    if answered {
        // A connection closed while data waits is reset, and the client may never see the answer.
        let mut rest = BytesMut::new();
        let _ = timeout(linger::TIME, async {
            let mut left = linger::BYTES;
            while let Ok(length @ 1..) = stream.read_more(&mut rest).await
                && length < left
            {
                left -= length;
                rest.clear();
            }
        })
        .await;
    }
}

impl Edge {
    /// Sets how long a request may stop to move. To be called first of all with every request.
    ///
    /// # Errors
    /// The request is refused; the error carries the status, and `fail_to_proxy` answers with it.
    pub fn admit(&self, session: &mut Session) -> Result<()> {
        session.set_read_timeout(Some(self.limits.body));
        if !session.is_http2() {
            return Ok(());
        }
        let is_tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        if is_tls != self.https || !(is_tls || self.cleartext_http2) {
            // The connection is from before the listener was changed.
            return Error::e_explain(ErrorType::HTTPStatus(MISDIRECTED), "the listener speaks otherwise now");
        }
        // Of HTTP/1 the connection itself goes by it.
        session.set_write_timeout(Some(self.limits.send));
        Ok(())
    }
}
