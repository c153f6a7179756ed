//! The sweeper: ends sessions that have been idle for too long and gives their ports back.
//!
//! A full pass over the forward table takes [`PARTS`] calls of [`Sweeper::part`]. A session goes live → dying → free:
//! the first step hides it from the XDP program, and it is freed a whole pass later, when no CPU can still be at
//! work on what it looked up before. Next: `reset` sends what the sweeper asks for; `apply` frees removed entries by
//! its [`Census`].

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use model::{host::Timeouts, served::Protocol};
use xdp_ebpf::{
    abi::{BackendIndex, Common, DYING, FREE, LIVE, Limit, ListenerIndex},
    connection,
    shared::Shared,
    tcp_state::State,
};

use super::{
    expiry::{Decision, decide, idle_jiffies, jiffies_to_time},
    halves::AnyHalf,
    memory::Mapping,
    reset::{Reset, for_both_ends},
    revocation::ChangedLists,
    sessions::Sessions,
};
use crate::dataplane::error::Result;

/// Into how many parts a pass is split.
pub const PARTS: u32 = 4;
/// How long to wait from part to part: a pass takes a second.
pub const PERIOD: Duration = Duration::from_millis(250);
/// The idle timeout of a session whose listener is unknown.
const DEFAULT_IDLE: Duration = Duration::from_mins(5);

/// What the sweeper goes by.
pub struct Limits<'a> {
    /// The low 32 bits of jiffies.
    pub now: u32,
    /// Jiffies per second.
    pub hz: u32,
    /// Timeouts of all states but the established one.
    pub timeouts: &'a Timeouts,
    /// Idle timeouts of established sessions by listener index.
    pub idle: &'a HashMap<ListenerIndex, Duration>,
    /// Backends that were removed, or are down while there are others, by index in `ek_backend`: their UDP sessions end
    /// at once, so that the next datagram finds another member, since nothing else would tell a client to come again.
    pub abandoned: &'a HashSet<BackendIndex>,
    /// Backends whose sessions have stayed for as long as they may, by index in `ek_backend`.
    pub drained: &'a HashSet<BackendIndex>,
    /// Listeners whose VIP was removed, by index in `ek_listener`: no packet of a client's arrives any more, so
    /// their sessions end at once.
    pub unreachable: &'a HashSet<ListenerIndex>,
    /// Access lists that may keep out by now who is in.
    pub changed_lists: &'a ChangedLists,
    /// `ek_limit`, like `load`.
    pub limit: &'a Mapping<Limit, ListenerIndex>,
    /// `ek_load`, where a session that ends before it is over counts until here.
    pub load: &'a Mapping<u32, BackendIndex>,
}

impl Limits<'_> {
    /// Ends the session of a forward half that is no longer live: a connection less for its backend and its listener, if
    /// it still was one.
    fn end(&self, forward: Shared<'_, Common>) {
        if connection::end(forward) {
            let (load, limit) = (forward.backend().get(), forward.listener().get());
            connection::count(
                self.load.get(BackendIndex::from(load)),
                self.limit.get(ListenerIndex::from(limit)),
                connection::LESS,
            );
        }
    }
}

/// How many sessions, dying ones included, a pass has seen by what they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By index in `ek_backend`.
    pub backends: HashMap<BackendIndex, u32>,
    /// By index in `ek_listener`.
    pub listeners: HashMap<ListenerIndex, u32>,
}

/// Where a pass is.
#[derive(Default)]
pub struct Sweeper {
    next: u32,
    next_reverse: u32,
    dying: HashSet<u32>,
    orphans: HashSet<u32>,
    census: Census,
}

impl Sweeper {
    /// Sweeps the next part of the table and appends the resets to send. At the end of a pass, returns what it saw.
    ///
    /// # Errors
    /// Tables that contradict each other; the pass goes on behind the half in question at the next call.
    pub fn part(
        &mut self,
        sessions: &Sessions,
        limits: &Limits<'_>,
        resets: &mut Vec<Reset>,
    ) -> Result<Option<Census>> {
        let len = sessions.forward.entries();
        let end = self.next.saturating_add(len.div_ceil(PARTS)).min(len);
        while self.next < end {
            let position = self.next;
            self.next += 1;
            let Some(forward) = sessions.forward.get(position) else { break };
            match forward.common().state().get() {
                LIVE => self.expire(sessions, position, forward, limits, resets),
                DYING => self.free(sessions, position, forward, limits, resets)?,
                _ => {}
            }
        }
        self.free_orphans(sessions)?;
        Ok((self.next >= len).then(|| {
            self.next = 0;
            self.next_reverse = 0;
            std::mem::take(&mut self.census)
        }))
    }

    fn expire(
        &mut self,
        sessions: &Sessions,
        position: u32,
        forward: AnyHalf<'_>,
        limits: &Limits<'_>,
        resets: &mut Vec<Reset>,
    ) {
        let there = forward.common().snapshot();
        self.count(&there);
        let (listener, backend) = (ListenerIndex::from(there.listener), BackendIndex::from(there.backend));
        let Some(reverse) = sessions.reverse.get(forward.peer_in(&sessions.reverse)) else { return };
        let back = reverse.common().snapshot();
        if back.state != LIVE || reverse.peer_in(&sessions.forward) != position {
            return;
        }
        let idle = idle_jiffies(limits.now, there.last_seen).min(idle_jiffies(limits.now, back.last_seen));
        let established = limits.idle.get(&listener).copied().unwrap_or(DEFAULT_IDLE);
        let state = State::from_u8(there.tcp).unwrap_or(State::None);
        let protocol = Protocol::from_number(there.protocol).unwrap_or(Protocol::Tcp);
        let idle = jiffies_to_time(idle, limits.hz);
        let must_go = limits.drained.contains(&backend)
            || limits.unreachable.contains(&listener)
            || limits.changed_lists.shut_out(listener, forward.src().ip());
        let decision = match protocol {
            Protocol::Udp if must_go || limits.abandoned.contains(&backend) => Decision::Expire,
            Protocol::Tcp if must_go && !state.is_over() => Decision::ExpireWithResets,
            _ => decide(protocol, state, idle, established, limits.timeouts),
        };
        if decision == Decision::Keep || !forward.common().swap_state_if(LIVE, DYING) {
            return;
        }
        reverse.common().swap_state_if(LIVE, DYING);
        self.dying.insert(position);
        limits.end(forward.common());
        if decision == Decision::ExpireWithResets {
            resets.extend(for_both_ends(forward, reverse));
        }
    }

    /// Frees a dying session that was dying in the last pass too. One that was not was ended by the XDP program, for its
    /// client is shut out by now: both ends are told.
    fn free(
        &mut self,
        sessions: &Sessions,
        position: u32,
        forward: AnyHalf<'_>,
        limits: &Limits<'_>,
        resets: &mut Vec<Reset>,
    ) -> Result<()> {
        let there = forward.common().snapshot();
        self.count(&there);
        let peer = forward.peer_in(&sessions.reverse);
        if self.dying.insert(position) {
            let reverse = sessions.reverse.get(peer);
            let reverse = reverse.filter(|reverse| reverse.peer_in(&sessions.forward) == position);
            if let Some(reverse) = reverse
                && Protocol::from_number(there.protocol) != Some(Protocol::Udp)
                && !State::from_u8(reverse.common().tcp().get()).is_none_or(State::is_over)
            {
                resets.extend(for_both_ends(forward, reverse));
            }
            return Ok(());
        }
        if let Some(reverse) = sessions.reverse.get(peer)
            && reverse.peer_in(&sessions.forward) == position
        {
            if reverse.common().swap_state_if(LIVE, DYING) {
                return Ok(());
            }
            if reverse.common().swap_state_if(DYING, FREE) {
                sessions.free_port_of(peer)?;
            }
        }
        self.dying.remove(&position);
        // Done before, unless the process that did the first step was killed right behind it.
        limits.end(forward.common());
        forward.common().swap_state_if(DYING, FREE);
        Ok(())
    }

    /// Sweeps the next part of the reverse table for halves whose forward slot the XDP program has given to a new
    /// session of the same client: dying in this pass and in the last, and nobody's peer.
    fn free_orphans(&mut self, sessions: &Sessions) -> Result<()> {
        let len = sessions.reverse.entries();
        let end = self.next_reverse.saturating_add(len.div_ceil(PARTS)).min(len);
        while self.next_reverse < end {
            let position = self.next_reverse;
            self.next_reverse += 1;
            let Some(reverse) = sessions.reverse.get(position) else { break };
            if reverse.common().state().get() != DYING {
                continue;
            }
            let is_orphan = sessions.forward.get(reverse.peer_in(&sessions.forward)).is_none_or(|forward| {
                forward.common().state().get() != DYING || forward.peer_in(&sessions.reverse) != position
            });
            if !is_orphan {
                self.orphans.remove(&position);
                continue;
            }
            if self.orphans.insert(position) {
                continue;
            }
            self.orphans.remove(&position);
            if reverse.common().swap_state_if(DYING, FREE) {
                sessions.free_port_of(position)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, half: &Common) {
        *self.census.backends.entry(half.backend.into()).or_default() += 1;
        *self.census.listeners.entry(half.listener.into()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests;
