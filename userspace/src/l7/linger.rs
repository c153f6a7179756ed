//! The end of a connection of HTTP/1 whose client still sends what nobody wants any more: a connection that is closed
//! while data waits is reset, and the client may never see its answer.

use std::time::Duration;

use pingora::proxy::Session;
use tokio::time::timeout;

/// How long a client may take to take note.
pub(super) const TIME: Duration = Duration::from_secs(2);
/// How much more it may send meanwhile.
pub(super) const BYTES: usize = 256 * 1024;

/// Reads what is left of an answered request's body, as long as that is not too much.
pub async fn linger(session: &mut Session) {
    if session.is_http2() || session.was_upgraded() || session.is_body_done() {
        return;
    }
    let rest = async {
        let mut left = BYTES;
        while let Ok(Some(bytes)) = session.read_request_body().await
            && bytes.len() < left
        {
            left -= bytes.len();
        }
    };
    // With memory of its own, which almost no request needs. Whoever sends more, or has not sent it by then, is not
    // waited for.
    let _ = Box::pin(timeout(TIME, rest)).await;
}
