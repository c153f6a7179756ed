//! What a member is picked by.

use std::{
    net::IpAddr,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;

/// A moment, by both clocks: cookies outlive a restart and go to other hosts, so they need the calendar's.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For all that this process remembers.
    pub instant: Instant,
    /// Seconds since 1970, for cookies.
    pub unix: u64,
}

impl Now {
    /// This moment.
    pub fn read() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self { instant: Instant::now(), unix }
    }
}

/// What a member is picked by.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// Whether it came over TLS, so that a cookie for it may be kept to TLS.
    pub is_https: bool,
}
