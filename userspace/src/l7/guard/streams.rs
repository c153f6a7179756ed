//! A connection of HTTP/2: its requests are checked, given their share of what the connection may hold, and then each is
//! the proxy's.

use std::{
    any::Any,
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};

use pingora::{
    apps::HttpServerApp,
    http::ResponseHeader,
    protocols::{
        Digest, GetSocketDigest, GetTimingDigest, Ssl,
        http::{
            ServerSession,
            v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake},
        },
        raw_connect::ProxyDigest,
    },
    proxy::ProxyHttp,
    server::ShutdownWatch,
};
use tokio::{
    sync::Notify,
    time::{sleep, sleep_until},
};

use super::{
    budget,
    frames::Flow,
    head,
    refusal::Refusal,
    watched::Watched,
    windows::{self, Window},
};
use crate::l7::{
    answer,
    edge::{Edge, RequestBounds},
    exchange::Refused,
    upstream::HttpProxy,
};

/// How many requests that HTTP/2 forbids a connection may bring.
const MALFORMED: usize = 32;
/// What of an answer may wait in h2 for its turn, so that of what a client does not read there is no more.
const SEND_BUFFER: usize = 12 * 1024;

/// What a connection begins with.
pub(super) fn options(limits: &RequestBounds) -> H2Options {
    let mut options = default_h2_options();
    options.max_concurrent_streams(limits.streams.into());
    // What is a little too large is refused here, so that it is counted.
    options.max_header_list_size(limits.head_bytes.saturating_mul(2));
    options.initial_window_size(windows::LEAST);
    options.initial_connection_window_size(windows::of_connection(limits.streams));
    options.max_send_buffer_size(SEND_BUFFER);
    options
}

/// What happens on a connection.
#[expect(clippy::large_enum_variant, reason = "most of them are requests, and each lives for a moment")]
enum Event {
    Request(pingora::Result<Option<H2Accept>>),
    /// So much of bodies has come that their windows are looked at: a round trip is to be measured.
    Data,
    /// One has been.
    RoundTrip,
    /// There are fewer requests than have come.
    Missing,
    /// The listener ends.
    Ending,
    Idle,
}

/// Serves a connection until it ends.
pub(super) async fn serve<P>(
    proxy: &Arc<HttpProxy<P>>,
    stream: Box<Watched>,
    options: H2Options,
    current: impl Fn() -> Arc<Edge>,
    ending: &ShutdownWatch,
) where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let Some(flow) = stream.flow().cloned() else { return };
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: stream.get_timing_digest(),
        proxy_digest: known(&flow),
        socket_digest: stream.get_socket_digest(),
    });
    let Ok(mut connection) = handshake(stream, Some(options)).await else { return };
    let mut watch = ending.clone();
    let mut end = pin!(async move {
        let _ = watch.wait_for(|&stop| stop).await;
    });
    let (mut is_ending, mut malformed) = (false, 0);
    let mut window = Window::new(Instant::now());
    let Some(mut pings) = connection.ping_pong() else { return };
    let mut is_measuring = false;
    let open = Open::new();
    // Requests of which something was heard here, or which were found missing.
    let mut known = 0;
    loop {
        let event = {
            let mut request = pin!(HttpSession::from_h2_conn(&mut connection, digest.clone()));
            let next = poll_fn(|context| {
                loop {
                    if let Poll::Ready(request) = request.as_mut().poll(context) {
                        return Poll::Ready(Event::Request(request));
                    }
                    if is_measuring && pings.poll_pong(context).is_ready() {
                        return Poll::Ready(Event::RoundTrip);
                    }
                    if !is_measuring && window.is_due(flow.data()) {
                        return Poll::Ready(Event::Data);
                    }
                    // All requests that were read are taken: more may be read.
                    if !flow.is_full.swap(false, Relaxed) {
                        // While none is under way, there is nothing that h2 could still hand on.
                        let is_missing = open.is_none() && flow.begun() > known;
                        return if is_missing { Poll::Ready(Event::Missing) } else { Poll::Pending };
                    }
                }
            });
            let idle = current().idle;
            tokio::select! {
                biased;
                () = &mut end, if !is_ending => Event::Ending,
                event = next => event,
                () = open.idle(idle), if !is_ending => Event::Idle,
            }
        };
        match event {
            Event::Ending => {
                is_ending = true;
                connection.graceful_shutdown();
            }
            Event::Data => {
                window.measure(Instant::now(), flow.data());
                is_measuring = pings.send_ping(h2::Ping::opaque()).is_ok();
            }
            Event::RoundTrip => {
                is_measuring = false;
                if let Some(size) = window.grown(Instant::now(), flow.data(), flow.bodies()) {
                    // One may be on its way: the next time, then.
                    let _ = connection.set_initial_window_size(size);
                }
            }
            Event::Missing => {
                refused_by_h2(flow.begun() - known, &digest, &current());
                known = flow.begun();
            }
            Event::Request(Ok(Some(H2Accept::Session(session)))) => {
                known += 1;
                if let Some(size) = window.shrunk(Instant::now(), flow.bodies()) {
                    let _ = connection.set_initial_window_size(size);
                }
                if let Some((session, held)) = admit(session, &flow, &current()) {
                    let (proxy, ending, stays) = (proxy.clone(), ending.clone(), open.begin());
                    tokio::spawn(async move {
                        proxy.process_new_http(ServerSession::new_http2(session), &ending).await;
                        drop((held, stays));
                    });
                }
            }
            Event::Request(Ok(Some(H2Accept::Rejected))) => {
                // All that is known of it is that it contradicts itself: Pingora has answered and forgotten it.
                known += 1;
                unknown(Refusal::Other, &digest).finish(&current());
                malformed += 1;
                if malformed >= MALFORMED {
                    break;
                }
            }
            Event::Request(Ok(None) | Err(_)) | Event::Idle => break,
        }
    }
    refused_by_h2(flow.begun().saturating_sub(known), &digest, &current());
}

/// Logs and counts so many requests that h2 has answered or reset itself, and of which it says nothing.
fn refused_by_h2(count: u64, digest: &Digest, edge: &Edge) {
    (0..count).for_each(|_| unknown(Refusal::Protocol, digest).finish(edge));
}

/// A request of which nothing is known but its connection.
fn unknown(refusal: Refusal, digest: &Digest) -> Refused<'static> {
    Refused {
        refusal,
        line: [b"", b"", b"HTTP/2.0"],
        socket: digest.socket_digest.clone(),
        tls: digest.ssl_digest.clone(),
        began: Instant::now(),
        bytes: (0, 0),
    }
}

/// Checks a request's head before anything else is made of it. `None` if it was refused.
fn admit(mut session: HttpSession, flow: &Flow, edge: &Edge) -> Option<(HttpSession, budget::Held)> {
    let began = Instant::now();
    if let Err(refusal) = head::check_stream(session.req_header(), &edge.limits) {
        let answered = answer::refusal(refusal.status()).ok().map(Box::new);
        // If the client has gone, there is nobody to tell.
        let _ = answered.map(|response| session.write_response_header(response, true));
        let request = session.req_header();
        let refused = Refused {
            refusal,
            line: [request.method.as_str().as_bytes(), request.raw_path(), b"HTTP/2.0"],
            socket: session.digest().and_then(|digest| digest.socket_digest.clone()),
            tls: session.digest().and_then(|digest| digest.ssl_digest.clone()),
            began,
            bytes: (budget::size(request) as u64, 0),
        };
        refused.finish(edge);
        return None;
    }
    budget::join_cookies(session.req_header_mut());
    let held = flow.budget.hold(session.req_header());
    if held.is_none() {
        // It was not looked at, so the client may ask again (RFC 9113, section 8.7).
        session.shutdown_with_reason(h2::Reason::REFUSED_STREAM);
        edge.counters.refused(Refusal::Crowded);
    }
    Some((session, held?))
}

/// Has Pingora hand on what is known of a connection to its requests, in the only place that it has for something of ours.
fn known(flow: &Arc<Flow>) -> Option<Arc<ProxyDigest>> {
    let unused = ResponseHeader::build(200, Some(0)).ok()?;
    let data: Box<dyn Any + Send + Sync> = Box::new(flow.clone());
    Some(Arc::new(ProxyDigest::new(Box::new(unused), Some(data))))
}

/// Waits until all that was written of an answer has left, or nothing more of it leaves for this time: h2 forgets the rest
/// when the request ends that it belongs to.
pub async fn flush(session: &mut ServerSession, patience: Duration) {
    const STEP: Duration = Duration::from_millis(2);
    let ServerSession::H2(session) = session else { return };
    let known = session.digest().and_then(|digest| digest.proxy_digest.clone());
    let flow = known.as_ref().and_then(|known| known.user_data.as_ref()?.downcast_ref::<Arc<Flow>>());
    let (Some(flow), Some(body)) = (flow, session.take_response_body_writer()) else { return };
    let (stream, all) = (body.stream_id().into(), session.body_bytes_sent() as u64);
    let (mut last, mut moved) = (flow.sent(stream), Instant::now());
    while last.is_none_or(|sent| sent < all) && !flow.is_over() && moved.elapsed() < patience {
        sleep(STEP).await;
        let sent = flow.sent(stream);
        if last.is_some() && sent.is_none() {
            // The client has ended it.
            return;
        }
        if sent != last {
            (last, moved) = (sent, Instant::now());
        }
    }
}

/// Requests of a connection that are under way.
struct Open {
    count: AtomicUsize,
    none: Notify,
    /// Since when there has been none, if there is none.
    since: Mutex<Instant>,
}

/// One of them.
struct Stays(Arc<Open>);

impl Open {
    fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), none: Notify::new(), since: Mutex::new(Instant::now()) })
    }

    fn begin(self: &Arc<Self>) -> Stays {
        self.count.fetch_add(1, Relaxed);
        Stays(self.clone())
    }

    fn is_none(&self) -> bool {
        self.count.load(Relaxed) == 0
    }

    fn since(&self) -> MutexGuard<'_, Instant> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there has been none for so long, whatever else has come meanwhile.
    async fn idle(&self, time: Duration) {
        loop {
            while self.count.load(Relaxed) > 0 {
                self.none.notified().await;
            }
            let since = *self.since();
            sleep_until((since + time).into()).await;
            if self.count.load(Relaxed) == 0 && *self.since() == since {
                return;
            }
        }
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Relaxed) == 1 {
            *self.0.since() = Instant::now();
            self.0.none.notify_one();
        }
    }
}
