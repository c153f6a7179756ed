//! What is common to all requests: who asks, from where, how bodies are read and answers written.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{FromRequestParts, State as Given},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use uuid::Uuid;

use crate::api::{
    DEFAULT_PROJECT,
    error::Fault,
    resources::Resource,
    shared::Shared,
    trace::{Asked, milliseconds},
};

/// From where a request came.
#[derive(Clone, Debug)]
pub struct Source(pub String);

/// What handlers are given of the daemon.
pub type App = Given<Arc<Shared>>;
/// An answer, or why there is none.
pub type Answered = Result<Response, Fault>;

/// A path segment that is an id. Nothing is under another one.
pub fn id_of<T: Resource>(text: &str) -> Result<Uuid, Fault> {
    text.parse().map_err(|_| Fault::not_found(T::NAME, text.chars().take(80).collect::<String>()))
}

/// Who asks.
pub struct Caller {
    user: String,
    project: String,
    source: String,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Fault> {
        let source = parts.extensions.get::<Source>().map(|source| source.0.clone()).unwrap_or_default();
        Ok(Self { user: "local".into(), project: DEFAULT_PROJECT.into(), source })
    }
}

impl Caller {
    /// What is written down of it.
    pub fn asks<T: Resource>(self, name: &'static str, id: Option<Uuid>) -> Asked {
        self.asks_of(name, T::TRACED, id)
    }

    /// The same of what is no resource.
    pub fn asks_of(self, name: &'static str, resource_type: &'static str, id: Option<Uuid>) -> Asked {
        let Self { user, project, source } = self;
        Asked { name, resource_type, resource_id: id, user, project, source, time: milliseconds() }
    }
}

/// JSON with a status.
pub fn json_answer(status: StatusCode, body: &Value) -> Response {
    let request = ("x-openstack-request-id", format!("req-{}", Uuid::new_v4()));
    (status, [(header::CONTENT_TYPE, "application/json")], [request], body.to_string()).into_response()
}

/// JSON that is as asked for.
pub fn ok(body: &Value) -> Answered {
    Ok(json_answer(StatusCode::OK, body))
}

/// A body as JSON.
pub fn read(headers: &HeaderMap, body: &Bytes) -> Result<Value, Fault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("application/json") {
        return Err(Fault::request(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send application/json."));
    }
    serde_json::from_slice(body).map_err(|error| Fault::invalid(format!("The body is not JSON: {error}.")))
}

/// The scheme and host that the client used.
pub fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
