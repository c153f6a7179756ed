//! What a client of HTTP/1.0 must not get: interim answers (RFC 9110 section 15.2) and chunks (RFC 9112 section 6.1). Where
//! an answer's length is not known, it ends with the connection.

use std::{any::Any, sync::LazyLock};

use async_trait::async_trait;
use http::{
    Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use pingora::{
    Result,
    http::ResponseHeader,
    modules::http::{HttpModule, HttpModuleBuilder, HttpModules, Module},
    proxy::Session,
};

/// A module of the request's own, because Pingora puts chunks around what members say in HTTP/2 after the proxy's last
/// look at the head.
static MODULES: LazyLock<HttpModules> = LazyLock::new(|| {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(NoChunks));
    modules
});

/// Prepares for such a client's answer. To be called first of all with every request.
pub fn prepare(session: &mut Session) {
    if session.req_header().version == Version::HTTP_10 {
        session.set_ignore_info_resp(true);
        session.downstream_modules_ctx = MODULES.build_ctx();
    }
}

/// Has the connection end with an answer that does not say how long it is. To be called before the answer's head goes out.
pub fn end(session: &mut Session, response: &ResponseHeader) {
    if session.req_header().version == Version::HTTP_10 && !response.headers.contains_key(CONTENT_LENGTH) {
        session.set_keepalive(None);
    }
}

#[derive(Clone, Copy)]
struct NoChunks;

impl HttpModuleBuilder for NoChunks {
    fn init(&self) -> Module {
        Box::new(*self)
    }
}

#[async_trait]
impl HttpModule for NoChunks {
    async fn response_header_filter(
        &mut self,
        response: &mut ResponseHeader,
        _end_of_stream: bool,
    ) -> Result<()> {
        response.remove_header(&TRANSFER_ENCODING);
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
