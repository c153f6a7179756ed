//! What the client is told when its request cannot be answered by a member.

use std::io;

use pingora::{Error, ErrorSource, ErrorType, RetryType, proxy::Session};

use super::tunnel;

/// The client has closed the connection before it had its answer: nobody is told anything. nginx's number, which the
/// access log and the counters have.
pub const CLIENT_GONE: u16 = 499;

/// An error in a few words, none of which a client or a member has said: that may be a secret.
pub fn brief(error: &Error) -> String {
    let (source, kind) = (error.esource().as_str(), error.etype().as_str());
    match error.root_cause().downcast_ref::<io::Error>() {
        Some(cause) => format!("{source} {kind}: {cause}"),
        None => format!("{source} {kind}"),
    }
}

/// Whether the connection was lost, or brought what is no answer, rather than slow.
pub fn is_loss(error: &Error) -> bool {
    use ErrorType::{ConnectionClosed, InvalidHTTPHeader, ReadError, WriteError};
    matches!(error.etype(), ConnectionClosed | InvalidHTTPHeader | ReadError | WriteError)
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

/// Whether a member was waited for in vain because the client had not sent the rest of its request, for which the member
/// waits, too. Of HTTP/2 there is no other deadline for that.
pub fn is_late(session: &mut Session, error: &Error) -> bool {
    *error.esource() == ErrorSource::Upstream
        && *error.etype() == ErrorType::ReadTimedout
        && !tunnel::is_wanted(session.req_header())
        && !session.is_body_done()
}

/// Whether a member has said, or shown by the way in which it ended the connection, that it did not look at the request
/// (RFC 9113 section 8.7). Pingora has other errors tried again, too: those a member may make after the deed.
pub fn is_unread(error: &Error) -> bool {
    matches!(error.retry, RetryType::Decided(true))
        && !matches!(error.etype(), ErrorType::InvalidH2 | ErrorType::H2Downgrade)
}
