//! The connections of Layer-7 listeners, counted where the XDP program sees them: it refuses a SYN once there are as
//! many as may be; a connection that passed there just before the last place was taken is refused here.

use std::{collections::HashMap, sync::Arc};

use xdp_ebpf::{
    abi::{Common, ENTRY_FREE, LISTENER_LAYER7, Limit, ListenerIndex},
    connection::Standing,
    limit::{acquire_connection, release_connection},
    tcp_state::State,
};

use super::{
    error::{Context, Result},
    memory::Mapping,
    tables::Tables,
    taken::Taken,
};
use crate::engine::front::Admission;

/// The connections of one listener.
pub struct Connections {
    limit: Arc<Mapping<Limit, ListenerIndex>>,
    index: ListenerIndex,
}

impl Connections {
    /// Those of the listener with this index.
    pub fn new(limit: Arc<Mapping<Limit, ListenerIndex>>, index: ListenerIndex) -> Self {
        Self { limit, index }
    }
}

impl Admission for Connections {
    fn acquire(&self) -> bool {
        let Some(limit) = self.limit.get(self.index) else { return false };
        let has_room = acquire_connection(limit).is_ok();
        if !has_room {
            limit.closed().add(1);
        }
        has_room
    }

    fn release(&self) {
        if let Some(limit) = self.limit.get(self.index) {
            release_connection(limit);
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
    for (index, record) in (0..).map(ListenerIndex::new).zip(tables.listener.iter()) {
        let record = record?;
        if record.state != ENTRY_FREE && record.kind == LISTENER_LAYER7 {
            layer7.insert(index, 0);
        }
    }
    if layer7.is_empty() {
        return Ok(());
    }
    let taken = Taken::read(&tables.sessions)?;
    for session in tables.sessions.live(taken.iter()) {
        let Common { tcp, protocol, .. } = session.forward;
        let is_open =
            State::from_u8(tcp).is_some_and(|state| Standing::of(protocol, state) == Standing::Open);
        if is_open && let Some(count) = layer7.get_mut(&session.forward.listener.into()) {
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
    use crate::engine::front::Permit;

    #[test]
    fn there_is_room_again_when_a_connection_has_ended() {
        let limit = Arc::new(Mapping::<Limit, _>::of_zeros(2));
        let record = || limit.get(ListenerIndex::new(1)).unwrap().snapshot();
        limit.get(ListenerIndex::new(1)).unwrap().max_connections().set(2);
        let admission: Arc<dyn Admission> = Arc::new(Connections::new(limit.clone(), ListenerIndex::new(1)));
        let mut taken: Vec<_> = (0..5).filter_map(|_| Permit::acquire(&admission)).collect();
        assert_eq!((taken.len(), record().connections, record().closed), (2, 2, 3));
        taken.pop();
        assert_eq!(record().connections, 1);
        taken.extend(Permit::acquire(&admission));
        assert_eq!((taken.len(), record().closed), (2, 3));
        drop(taken);
        assert_eq!(record().connections, 0);
    }
}
