//! What the guard tells the proxy of a request of HTTP/1.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use super::traffic::Traffic;

/// What the proxy is told of a request of HTTP/1, as the connection's user context.
#[derive(Debug)]
pub struct Arrival {
    /// When the request's first byte came.
    pub began: Instant,
    /// What the connection has carried.
    pub traffic: Arc<Traffic>,
    /// Bytes that it had carried before, from and to the client.
    pub before: (u64, u64),
    pub(super) reached: Arc<AtomicBool>,
}

impl Arrival {
    /// To be called when the proxy has got the request: from then on it is the proxy's to log.
    pub fn reached(&self) {
        self.reached.store(true, Relaxed);
    }
}
