//! One request, stage by stage, in the order in which Pingora calls: what its policy says, which member, what if that
//! does not answer, and what the client gets.

#[cfg(test)]
mod tests;

use std::{
    any::Any,
    mem,
    net::{IpAddr, SocketAddr},
    os::fd::RawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, StatusCode, header};
use pingora::{
    Error, ErrorSource, ErrorType, OkOrErr, Result,
    http::{RequestHeader, ResponseHeader},
    modules::http::HttpModules,
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

use super::{
    answer::{self, Decision},
    cookies,
    exchange::{self, Exchange},
    failure::{self, CLIENT_GONE},
    guard::{self, refusal::Refusal},
    hop_by_hop, http_1_0,
    linger::linger,
    pace::Pace,
    pick::{self, Now, Outcome, Picked},
    pools::Pool,
    progress::{self, Progress},
    proxy_protocol,
    snapshot::Snapshot,
    trailers, tunnel,
    upstream::{self, Link},
};

/// There is nobody to ask.
const NO_MEMBER: u16 = 503;
/// A member was down before it had answered, and its pool resets connections then.
const WENT_DOWN: ErrorType = ErrorType::HTTPStatus(504);
/// There are no tunnels to such members.
const NO_TUNNEL: ErrorType = ErrorType::HTTPStatus(501);

/// A listener's requests.
pub struct Proxy {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

/// What is known of one request.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Request {
    snapshot: Arc<Snapshot>,
    pool: Option<Arc<Pool>>,
    /// The member that it is sent to, which counts it as long as this lives.
    picked: Option<Picked>,
    /// The members that it was sent to.
    tried: Vec<SocketAddr>,
    /// Those of them that broke off.
    failed: Vec<SocketAddr>,
    exchange: Exchange,
    /// Whether the member that it is sent to has begun to answer.
    is_answered: bool,
    /// Whether its client takes fields behind the answer.
    wants_trailers: bool,
    /// That of the member's connection, if it is one of HTTP/2 for this request alone.
    progress: Option<Progress>,
    /// The member's connection, if it is one of HTTP/1.
    link: Option<Link>,
    /// How long the last piece of its answer was.
    piece: usize,
    /// That of its body.
    pace: Pace,
    /// Whether it needs a new connection: the one that was kept was closed.
    is_stale: bool,
    /// Whether its answer ends before it is whole.
    is_cut: bool,
    /// What the client is told if nobody answers: how the last one failed.
    status: u16,
}

impl Proxy {
    /// Goes by what is in `snapshot` when a request begins.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { snapshot }
    }
}

impl Request {
    /// Whether its body comes fast enough, now that this piece has come. Tunnels rest as they like, and so do gRPC's
    /// streams, whose messages are as short and as rare as they are.
    fn keeps_pace(&mut self, session: &Session, piece: Option<&Bytes>) -> bool {
        let bytes = piece.map_or(0, Bytes::len);
        self.pace.is_kept(bytes, self.snapshot.edge.limits.body, Instant::now)
            || session.was_upgraded()
            || (self.pool.as_ref().is_some_and(|pool| pool.http.member.http2)
                && progress::is_grpc(&session.req_header().headers))
    }

    /// Whether its connection was reset because the member went down.
    fn is_reset(&self) -> bool {
        self.picked.as_ref().is_some_and(|picked| picked.connection.is_reset())
    }

    /// Tells the pool how the member did.
    fn report(&self, outcome: Outcome) {
        if let (Some(pool), Some(picked)) = (&self.pool, &self.picked) {
            pool.balancer.report(picked.member, outcome, Now::read());
        }
    }

    /// Tells it of those that broke off, unless all of several did: then it is the request at which they do.
    fn report_failed(&mut self, is_answered: bool) {
        let failed = mem::take(&mut self.failed);
        if let Some(pool) = self.pool.as_ref().filter(|_| is_answered || failed.len() == 1) {
            failed.iter().for_each(|&member| pool.balancer.report(member, Outcome::Failed, Now::read()));
        }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        Request {
            snapshot: self.snapshot.load_full(),
            pool: None,
            picked: None,
            tried: Vec::new(),
            failed: Vec::new(),
            exchange: Exchange::default(),
            is_answered: false,
            wants_trailers: false,
            progress: None,
            link: None,
            piece: 0,
            pace: Pace::default(),
            is_stale: false,
            is_cut: false,
            status: NO_MEMBER,
        }
    }

    /// None: without this, each request carries a compression that is off.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        request: &mut Request,
        arrival: Box<dyn Any + Send + Sync>,
    ) {
        request.exchange.arrived(arrival);
    }

    async fn early_request_filter(&self, session: &mut Session, request: &mut Request) -> Result<()> {
        http_1_0::prepare(session);
        request.wants_trailers = trailers::are_wanted(session.req_header());
        request.snapshot.edge.admit(session)
    }

    /// Whether the request is answered here.
    async fn request_filter(&self, session: &mut Session, request: &mut Request) -> Result<bool> {
        match answer::decide(&request.snapshot, session.req_header())? {
            Decision::Forward(pool) => {
                if pool.http.member.http2 && tunnel::is_wanted(session.req_header()) {
                    return Error::e_explain(NO_TUNNEL, "no WebSocket goes to members that speak HTTP/2");
                }
                request.exchange.for_pool(&pool.name);
                request.pool = Some(pool);
                return Ok(false);
            }
            Decision::Answer(response) => {
                if !session.as_mut().is_body_empty() {
                    // It may not come at all: whoever expects 100 has the answer by now.
                    session.set_keepalive(None);
                }
                let written = session.write_response_header(response, true).await;
                written.map_err(|error| error.into_down())?;
            }
        }
        Ok(true)
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        let Snapshot { edge, http, .. } = &*request.snapshot;
        // The one before counts no longer.
        request.picked = None;
        let wanted = pick::Request {
            client: client(session)?,
            headers: &session.req_header().headers,
            is_https: http.tls.is_some(),
        };
        let picked = request
            .pool
            .as_ref()
            .and_then(|pool| Some((pool, pool.balancer.pick(&wanted, &request.tried, Now::read())?)));
        let Some((pool, picked)) = picked else {
            return Error::e_explain(ErrorType::HTTPStatus(request.status), "no member is left");
        };
        let mut peer = upstream::peer(pool, &picked, &edge.timeouts);
        edge.counters.count_connections(&mut peer);
        if mem::take(&mut request.is_stale) {
            upstream::renew(&mut peer);
        }
        request.is_answered = false;
        if let Some(version) = pool.http.member.proxy_protocol {
            proxy_protocol::introduce(&mut peer, version, session, edge, edge.timeouts.connect)?;
        }
        if tunnel::is_wanted(session.req_header()) {
            tunnel::prepare(&mut peer);
        }
        request.link = None;
        request.progress = if pool.http.member.http2 && progress::is_needed(session) {
            Some(progress::demand(&mut peer, &edge.timeouts))
        } else {
            None
        };
        request.exchange.trying(picked.member);
        request.tried.push(picked.member);
        request.picked = Some(picked);
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        digest: Option<&Digest>,
        request: &mut Request,
    ) -> Result<()> {
        request.exchange.connected(reused);
        request.link = digest.and_then(Link::of);
        request.piece = 0;
        if let Some(link) = &request.link {
            let head = session.req_header();
            // A connection of HTTP/2 carries other answers, too, and has windows.
            let client = session
                .digest()
                .filter(|_| !session.is_http2())
                .and_then(|digest| digest.socket_digest.clone());
            link.begin(
                &head.method,
                tunnel::is_wanted(head),
                request.wants_trailers,
                &request.snapshot.edge.timeouts,
                client,
            );
        }
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        let edge = &request.snapshot.edge;
        edge.forward(upstream, session)?;
        if request.wants_trailers {
            trailers::demand(upstream, request.link.is_none())?;
        }
        cookies::join(upstream)?;
        upstream::to_origin(upstream, edge)
    }

    /// Pingora writes an empty piece at a body's end to a member of HTTP/1 as the last chunk, and then the last chunk
    /// once more, which would begin the next request on that connection. An end needs no piece.
    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        request: &mut Request,
    ) -> Result<()> {
        if !end && !request.keeps_pace(session, body.as_ref()) {
            return Err(
                Error::explain(ErrorType::ReadTimedout, "next to nothing of the body comes").into_down()
            );
        }
        if end && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        request.is_answered = true;
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            session.set_read_timeout(Some(request.snapshot.edge.timeouts.tunnel));
            request.exchange.switched();
            // How the tunnel ends says nothing of the member.
            request.report(Outcome::Answered);
        } else {
            hop_by_hop::remove(response);
            hop_by_hop::settle_length(response)?;
            if response.status.is_informational() {
                // The answer is still to come.
                return Ok(());
            }
        }
        request.exchange.answered(response.status.as_u16());
        if let (Some(pool), Some(picked)) = (&request.pool, &mut request.picked) {
            pool.balancer.on_response(picked, &response.headers, Now::read());
            if let Some(cookie) = picked.set_cookie.take() {
                response.append_header(header::SET_COOKIE, cookie)?;
            }
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        http_1_0::end(session, response);
        if request.wants_trailers
            && trailers::can_have(session.req_header().version)
            && !response.status.is_informational()
        {
            request.exchange.arrival().into_iter().for_each(|arrival| arrival.traffic.expect_trailers());
        }
        if !response.status.is_informational() && !session.is_body_done() {
            // Its end is not waited for.
            session.set_keepalive(None);
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        request: &mut Request,
    ) -> Result<Option<Duration>> {
        if end
            && request.wants_trailers
            && let (Some(link), Some(arrival)) = (&request.link, request.exchange.arrival())
        {
            arrival.traffic.set_trailers(trailers::lines(&trailers::read(&link.take_trailer())));
        }
        let length = body.as_ref().map_or(0, Bytes::len);
        if length > 0 {
            if let Some(link) = &request.link {
                // The next piece is taken when those before have left.
                link.taken(mem::replace(&mut request.piece, length));
            }
            // It may have to be waited for with the rest of the request.
            request.pace.begin_anew();
        }
        Ok(None)
    }

    /// Of a member of HTTP/2.
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        fields: &mut HeaderMap,
        request: &mut Request,
    ) -> Result<Option<Bytes>> {
        trailers::clean(fields);
        if let Some(arrival) = request.exchange.arrival().filter(|_| request.wants_trailers) {
            arrival.traffic.set_trailers(trailers::lines(fields));
        }
        Ok(None)
    }

    /// Nothing was sent yet, so any request may try another member.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if request.is_reset() {
            error.etype = WENT_DOWN;
        } else {
            request.report(Outcome::Failed);
        }
        request.exchange.failed(&error);
        request.status = failure::status(&error);
        error.set_retry(true);
        error
    }

    /// Another member is tried if the request may be made twice or was not looked at, can be sent again from its first
    /// byte, and the client has heard nothing yet. A member that is slow is waited for once only.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("member {}", peer._address));
        let has_ended = request.progress.as_ref().is_some_and(Progress::has_ended)
            || request.link.as_ref().is_some_and(Link::has_ended);
        if has_ended && *error.esource() == ErrorSource::Upstream {
            error.etype = ErrorType::ReadTimedout;
        }
        // Not if it has sent more than the member took.
        if failure::is_late(session, &error) && !(has_ended && has_more(session)) {
            error.as_down();
        }
        if request.exchange.is_lost() {
            error.etype = ErrorType::HTTPStatus(Refusal::BadChunks.status());
            error.as_down();
            request.snapshot.edge.counters.refused(Refusal::BadChunks);
        }
        let is_reset = *error.esource() == ErrorSource::Upstream && request.is_reset();
        if is_reset {
            error.etype = WENT_DOWN;
        }
        request.exchange.failed(&error);
        let is_members = *error.esource() == ErrorSource::Upstream;
        let is_unread = failure::is_unread(&error);
        if is_members {
            request.status = failure::status(&error);
            request.is_stale =
                reused && !is_reset && !request.is_answered && (is_unread || failure::is_loss(&error));
            if request.is_stale {
                // Closed while nobody used it, as a member may, or no good any more: it can be asked again.
                request.tried.pop();
            } else if !is_reset && !session.was_upgraded() {
                request.failed.extend(request.picked.as_ref().map(|picked| picked.member));
            }
        }
        let again = is_members
            && (is_unread || session.req_header().method.is_idempotent())
            && !session.retry_buffer_truncated()
            && exchange::answer(session).is_none()
            && *error.etype() != ErrorType::ReadTimedout;
        error.set_retry(again);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        request: &mut Request,
    ) -> FailToProxy {
        let status = failure::status(error);
        request.is_cut = exchange::answer(session).is_some();
        if request.is_cut && status != CLIENT_GONE {
            // Nobody waits for what there is, else.
            guard::flush(&mut session.downstream_session, request.snapshot.edge.limits.send).await;
        }
        if status != CLIENT_GONE
            && !request.is_cut
            && let Err(error) = refuse(session, status).await
        {
            // The client may be gone by now.
            tracing::debug!("a client is not told of {status}: {}", failure::brief(&error));
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, request: &mut Request) {
        request.exchange.finish(session, error, &request.snapshot.edge);
        // Whoever streams has clients that leave before the end.
        let is_left = |error: &Error| request.is_answered && *error.esource() == ErrorSource::Downstream;
        let is_answered = error.is_none_or(is_left);
        request.report_failed(is_answered);
        if is_answered && !session.was_upgraded() {
            request.report(Outcome::Answered);
        }
        // What follows is nothing of the member's.
        request.picked = None;
        if !request.is_cut && exchange::answer(session).is_some() {
            linger(session).await;
        }
    }

    /// What Pingora would log has the request in it, and parts of answers.
    fn suppress_error_log(&self, session: &Session, _request: &Request, error: &Error) -> bool {
        tracing::debug!("{} is not answered: {}", session.req_header().method, failure::brief(error));
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        session: &Session,
        _request: &Request,
        error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        let method = &session.req_header().method;
        tracing::debug!("another member is tried for {method}: {}", failure::brief(error));
        true
    }
}

/// Whether more of the request's body is there.
fn has_more(session: &mut Session) -> bool {
    matches!(session.read_request_body().now_or_never(), Some(Ok(Some(_))))
}

/// Answers with this status, as the last answer of an HTTP/1 connection.
async fn refuse(session: &mut Session, status: u16) -> Result<()> {
    session.set_keepalive(None);
    session.write_response_header(Box::new(answer::refusal(status)?), true).await?;
    session.finish_body().await?;
    Ok(())
}

/// Who asks.
fn client(session: &Session) -> Result<IpAddr> {
    let socket = session.digest().and_then(|digest| digest.socket_digest.as_deref());
    exchange::client(socket)
        .map(|client| client.ip().to_canonical())
        .or_err(ErrorType::InternalError, "a client without address")
}
