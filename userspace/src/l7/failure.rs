//! What the client is told when its request cannot be answered by a member.

use pingora::{Error, ErrorSource, ErrorType};

/// The client has closed the connection before it had its answer: nobody is told anything. nginx's number, which the
/// access log and the counters have.
pub const CLIENT_GONE: u16 = 499;

/// Whether the connection was lost, rather than slow or not understood.
pub fn is_loss(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError)
}

/// The status for an error.
pub fn status(error: &Error) -> u16 {
    use ErrorType::{
        ConnectTimedout, ConnectionClosed, HTTPStatus, ReadError, ReadTimedout, TLSHandshakeTimedout,
        WriteError, WriteTimedout,
    };
    match (error.etype(), error.esource()) {
        (HTTPStatus(status), _) => *status,
        (ConnectTimedout | TLSHandshakeTimedout | ReadTimedout | WriteTimedout, ErrorSource::Upstream) => 504,
        (_, ErrorSource::Upstream) => 502,
        (ReadTimedout, ErrorSource::Downstream) => 408,
        (ConnectionClosed | ReadError | WriteError | WriteTimedout, ErrorSource::Downstream) => CLIENT_GONE,
        (ErrorType::H2Error, ErrorSource::Downstream) => CLIENT_GONE,
        (_, ErrorSource::Downstream) => 400,
        (_, ErrorSource::Internal | ErrorSource::Unset) => 500,
    }
}
