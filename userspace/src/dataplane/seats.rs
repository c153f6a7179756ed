//! The connections of Layer-7 listeners, counted where the XDP program sees them: it refuses a SYN once there are as
//! many as may be, and whoever has come by before the last place was taken is refused here.

use std::{collections::HashMap, sync::Arc};

use anyhow::{Context, Result};
use xdp_ebpf::{
    abi::{ENTRY_FREE, LISTENER_LAYER7, Limit},
    limit::{leave, take_place},
    tcp_state::State,
};

use super::{memory::Mapping, tables::Tables};

/// A listener's places for connections.
#[derive(Clone)]
pub struct Seats {
    limit: Arc<Mapping<Limit>>,
    index: u32,
}

/// A connection's place, until it is dropped.
pub struct Seat(Seats);

impl Seats {
    /// Those of the listener with this index.
    pub fn new(limit: Arc<Mapping<Limit>>, index: u32) -> Self {
        Self { limit, index }
    }

    /// Takes one for a new connection. `None` if there is none; that is counted.
    pub fn take(&self) -> Option<Seat> {
        let limit = self.limit.get(self.index)?;
        if take_place(limit).is_err() {
            limit.closed().add(1);
            return None;
        }
        Some(Seat(self.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(limit) = self.0.limit.get(self.0.index) {
            leave(limit);
        }
    }
}

/// Counts the connections of Layer-7 listeners anew for a process that takes over: those of the one before have ended
/// with it. What is left are sessions of a time when the listener was one of Layer 4.
///
/// # Errors
/// A map cannot be read.
pub fn recount(tables: &Tables) -> Result<()> {
    let mut layer7 = HashMap::new();
    for (index, record) in (0..).zip(tables.listener.iter()) {
        let record = record?;
        if record.state != ENTRY_FREE && record.kind == LISTENER_LAYER7 {
            layer7.insert(index, 0);
        }
    }
    if layer7.is_empty() {
        return Ok(());
    }
    for session in tables.sessions.live() {
        let over = State::from_u8(session.forward.tcp).is_none_or(State::is_over);
        if !over && let Some(count) = layer7.get_mut(&session.forward.listener.into()) {
            *count += 1;
        }
    }
    for (index, count) in layer7 {
        tables.limit.get(index).context("ek_limit")?.connections().set(count);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_its_connection_has_ended() {
        let limit = Arc::new(Mapping::<Limit>::of_zeros(2));
        let record = || limit.get(1).unwrap().snapshot();
        limit.get(1).unwrap().max_connections().set(2);
        let seats = Seats::new(limit.clone(), 1);
        let mut taken: Vec<_> = (0..5).filter_map(|_| seats.take()).collect();
        assert_eq!((taken.len(), record().connections, record().closed), (2, 2, 3));
        taken.pop();
        assert_eq!(record().connections, 1);
        taken.extend(seats.take());
        assert_eq!((taken.len(), record().closed), (2, 3));
        drop(taken);
        assert_eq!(record().connections, 0);
    }
}
