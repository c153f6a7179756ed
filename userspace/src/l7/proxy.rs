//! One request, stage by stage, in the order in which Pingora calls: which pool, which member, what if it does not
//! answer, and what the client gets.

use std::{any::Any, net::SocketAddr, os::fd::RawFd, sync::Arc};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    protocols::Digest,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

use super::{
    exchange::Exchange,
    failure::{self, CLIENT_GONE},
    proxy_protocol,
    snapshot::{Pool, Snapshot},
    upstream,
};

/// A listener's requests.
pub struct Proxy {
    snapshot: Arc<ArcSwap<Snapshot>>,
}

/// What is known of one request.
pub struct Request {
    snapshot: Arc<Snapshot>,
    pool: Option<Arc<Pool>>,
    /// The members that it was sent to.
    tried: Vec<SocketAddr>,
    exchange: Exchange,
    /// What the client is told if nobody answers: how the last one failed.
    status: u16,
}

/// There is nobody to ask.
const NO_MEMBER: u16 = 503;

impl Proxy {
    /// Goes by what is in `snapshot` when a request begins.
    pub fn new(snapshot: Arc<ArcSwap<Snapshot>>) -> Self {
        Self { snapshot }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Request;

    fn new_ctx(&self) -> Request {
        let snapshot = self.snapshot.load_full();
        let mut exchange = Exchange::default();
        if let Some(pool) = &snapshot.listener.pool {
            exchange.for_pool(pool);
        }
        Request { pool: snapshot.pool.clone(), snapshot, tried: Vec::new(), status: NO_MEMBER, exchange }
    }

    fn on_connection_reuse(
        &self,
        _session: &mut Session,
        request: &mut Request,
        arrival: Box<dyn Any + Send + Sync>,
    ) {
        request.exchange.arrived(arrival);
    }

    async fn early_request_filter(&self, session: &mut Session, request: &mut Request) -> Result<()> {
        request.snapshot.edge.admit(session)
    }

    async fn upstream_peer(&self, session: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        let member = request.pool.as_ref().and_then(|pool| Some((pool, pool.pick(&request.tried)?)));
        let Some((pool, member)) = member else {
            return Error::e_explain(ErrorType::HTTPStatus(request.status), "no member is left");
        };
        request.tried.push(member.address);
        request.exchange.trying(member.address);
        let Snapshot { edge, http, .. } = &*request.snapshot;
        let mut peer = upstream::peer(pool, &member, &http.timeouts);
        if let Some(version) = pool.http.proxy_protocol {
            proxy_protocol::introduce(&mut peer, version, session, edge, http.timeouts.connect)?;
        }
        Ok(Box::new(peer))
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        _fd: RawFd,
        _digest: Option<&Digest>,
        request: &mut Request,
    ) -> Result<()> {
        request.exchange.connected(reused);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        request: &mut Request,
    ) -> Result<()> {
        request.snapshot.edge.forward(upstream, session)
    }

    async fn upstream_response_filter(
        &self,
        _session: &mut Session,
        response: &mut ResponseHeader,
        request: &mut Request,
    ) -> Result<()> {
        request.exchange.answered(response.status.as_u16());
        Ok(())
    }

    /// Nothing was sent yet, so any request may try another member.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
        request.exchange.failed(&error);
        request.status = failure::status(&error);
        error.set_retry(true);
        error
    }

    /// Another member is tried if the request may be made twice, can be sent again from its first byte, and the client
    /// has heard nothing yet. A member that is slow is waited for once only.
    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        request: &mut Request,
        _reused: bool,
    ) -> Box<Error> {
        request.exchange.failed(&error);
        request.status = failure::status(&error);
        let mut error = error.more_context(format!("member {}", peer._address));
        let again = session.req_header().method.is_idempotent()
            && !session.retry_buffer_truncated()
            && session.response_written().is_none()
            && *error.esource() == pingora::ErrorSource::Upstream
            && *error.etype() != ErrorType::ReadTimedout;
        error.set_retry(again);
        error
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        _request: &mut Request,
    ) -> FailToProxy {
        let status = failure::status(error);
        if status != CLIENT_GONE && session.response_written().is_none() {
            // The client may be gone by now.
            let _ = session.respond_error(status).await;
        }
        FailToProxy { error_code: status, can_reuse_downstream: false }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, request: &mut Request) {
        request.exchange.finish(session, error, &request.snapshot.edge);
    }

    fn suppress_error_log(&self, session: &Session, _request: &Request, error: &Error) -> bool {
        tracing::debug!("{}: {error}", session.request_summary());
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        session: &Session,
        _request: &Request,
        error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        tracing::debug!("{}: {error}; another member is tried", session.request_summary());
        true
    }
}
