//! A member that was picked for a request.

use std::{net::SocketAddr, time::Instant};

use http::HeaderValue;

use super::member::Connection;

/// A member that was picked.
#[derive(Debug)]
pub struct Picked {
    /// Its address.
    pub member: SocketAddr,
    /// A `Set-Cookie` header to add to the answer.
    pub set_cookie: Option<HeaderValue>,
    /// When the client has to leave it, if it takes no new ones and the client has the application's cookie.
    pub until: Option<Instant>,
    /// Counts as a request at the member until it is dropped.
    pub connection: Connection,
}
