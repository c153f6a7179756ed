//! What a request is refused with: a status and one sentence, in the forms that Octavia's clients print.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use model::{check::Problem, invalid::Invalid};
use serde_json::json;
use uuid::Uuid;

use crate::engine::{Refusal, layers::Class};

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The status.
    pub status: StatusCode,
    /// What is wrong and what would be right; one line.
    pub text: String,
    /// In which form the client is told.
    form: Form,
}

/// The two forms of Octavia's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `faultcode`, `faultstring`, `debuginfo`: of what a resource refuses.
    Fault,
    /// `code`, `title`, `description`: of paths and methods that are not there.
    Title,
}

impl Fault {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), form: Form::Fault }
    }

    /// What was sent can never be.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// The value of an attribute can never be.
    pub fn value(attribute: &str, value: impl std::fmt::Display, reason: impl std::fmt::Display) -> Self {
        Self::invalid(format!("Invalid input for field/attribute {attribute}. Value: '{value}'. {reason}"))
    }

    /// It contradicts what is there.
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// It may not be done.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    /// There is no such object.
    pub fn not_found(what: &str, id: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{what} {id} not found."))
    }

    /// It cannot be done now.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// There is no such path.
    pub fn no_path() -> Self {
        let text = "The resource could not be found.";
        Self { form: Form::Title, ..Self::new(StatusCode::NOT_FOUND, text) }
    }

    /// The path does not know this method.
    pub fn no_method() -> Self {
        let text = "The method is not allowed for this resource.";
        Self { form: Form::Title, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, text) }
    }

    /// Something about the request as a whole.
    pub fn request(status: StatusCode, text: impl Into<String>) -> Self {
        Self { form: Form::Title, ..Self::new(status, text) }
    }

    /// The same of an attribute.
    pub fn about(self, attribute: &str) -> Self {
        Self { text: format!("{attribute}: {}", self.text), ..self }
    }

    /// What the model says of objects that cannot be together.
    pub fn problems(problems: &[Problem]) -> Self {
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        // Of two places, one would have to go.
        let is_conflict = problems.iter().any(|problem| problem.other.is_some());
        if is_conflict { Self::conflict(text) } else { Self::invalid(text) }
    }
}

impl From<&Refusal> for Fault {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.class {
            Class::Invalid => StatusCode::BAD_REQUEST,
            Class::Conflict => StatusCode::CONFLICT,
            Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, refusal.to_string())
    }
}

/// What is wrong with an attribute, by the model's words.
pub fn invalid(attribute: &'static str) -> impl Fn(Invalid) -> Fault {
    move |invalid| Fault::invalid(format!("Invalid input for field/attribute {attribute}. {invalid}."))
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self { status, text, form } = self;
        let body = match form {
            Form::Fault => {
                let side = if status.is_server_error() { "Server" } else { "Client" };
                json!({ "faultcode": side, "faultstring": text, "debuginfo": null })
            }
            Form::Title => json!({
                "code": status.as_u16(),
                "title": status.canonical_reason().unwrap_or_default(),
                "description": text,
            }),
        };
        let json = (header::CONTENT_TYPE, "application/json");
        let request = ("x-openstack-request-id", format!("req-{}", Uuid::new_v4()));
        (status, [json], [request], Body::from(body.to_string())).into_response()
    }
}
