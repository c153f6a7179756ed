//! What listeners have had to do.

use std::collections::HashMap;

use model::id::ListenerId;
use serde::Serialize;

/// What one or several listeners have had to do, by Octavia's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Bytes from clients: of Layer 4 from the IP header on, of Layer 7 of requests.
    pub bytes_in: u64,
    /// Bytes to clients, likewise.
    pub bytes_out: u64,
    /// Sessions or connections now.
    pub active_connections: u64,
    /// Those that there have been.
    pub total_connections: u64,
    /// Sessions and requests that no member was to see, and requests that none answered well.
    pub request_errors: u64,
}

impl Stats {
    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.active_connections += other.active_connections;
        self.total_connections += other.total_connections;
        self.request_errors += other.request_errors;
    }
}

/// What was counted of each listener that serves.
pub type Counted = HashMap<ListenerId, Stats>;
