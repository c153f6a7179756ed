//! One request, stage by stage, in the order in which Pingora calls: which pool, which member, what if it does not
//! answer, and what the client gets.

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use pingora::{
    Error, ErrorType, Result,
    proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session},
    upstreams::peer::HttpPeer,
};

use super::{
    failure::{self, CLIENT_GONE},
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
}

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
        Request { pool: snapshot.pool.clone(), snapshot, tried: Vec::new() }
    }

    async fn upstream_peer(&self, _session: &mut Session, request: &mut Request) -> Result<Box<HttpPeer>> {
        let member = request.pool.as_ref().and_then(|pool| Some((pool, pool.pick(&request.tried)?)));
        let Some((pool, member)) = member else {
            // All that could be tried was, in vain; or there was none.
            return Error::e_explain(
                ErrorType::HTTPStatus(if request.tried.is_empty() { 503 } else { 502 }),
                "no member is left",
            );
        };
        request.tried.push(member.address);
        Ok(Box::new(upstream::peer(pool, &member, &request.snapshot.http.timeouts)))
    }

    /// Nothing was sent yet, so any request may try another member.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        _request: &mut Request,
        mut error: Box<Error>,
    ) -> Box<Error> {
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
        _request: &mut Request,
        _reused: bool,
    ) -> Box<Error> {
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
