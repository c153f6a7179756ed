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

use anyhow::Result;
use xdp_ebpf::{
    abi::{DYING, FREE, Half, LIVE, Limit},
    shared::Shared,
    tcp_state::State,
};

use super::{
    expiry::{Decision, decide, idle_jiffies, jiffies_to_time},
    memory::Mapping,
    reset::{Reset, for_both_ends},
    sessions::Sessions,
};
use crate::{host::Timeouts, model::Protocol};

/// Into how many parts a pass is split.
pub const PARTS: u32 = 4;
/// How long to wait from part to part: a pass takes a second.
pub const PERIOD: Duration = Duration::from_millis(250);
/// The idle timeout of a session whose listener is unknown.
const DEFAULT_IDLE: Duration = Duration::from_secs(300);

/// What the sweeper goes by.
pub struct Limits<'a> {
    /// The low 32 bits of jiffies.
    pub now: u32,
    /// Jiffies per second.
    pub hz: u32,
    /// Timeouts of all states but the established one.
    pub timeouts: &'a Timeouts,
    /// Idle timeouts of established sessions by listener index.
    pub idle: &'a HashMap<u16, Duration>,
    /// Backends that were removed, by index in `ek_backend`: their UDP sessions end at once, so that the next
    /// datagram finds another member, since nothing else would tell a client to come again.
    pub removed: &'a HashSet<u16>,
    /// Backends whose sessions have stayed for as long as they may, by index in `ek_backend`.
    pub drained: &'a HashSet<u16>,
    /// Listeners whose VIP was removed, by index in `ek_listener`: no packet of a client's arrives any more, so
    /// their sessions end at once.
    pub unreachable: &'a HashSet<u16>,
    /// `ek_limit`, like `load`.
    pub limit: &'a Mapping<Limit>,
    /// `ek_load`, where a session that ends before it is over counts until here.
    pub load: &'a Mapping<u32>,
}

impl Limits<'_> {
    /// A connection less for its backend and its listener.
    fn count_off(&self, half: &Half) {
        if let Some(load) = self.load.get(half.backend.into()) {
            load.value().add(u32::MAX);
        }
        if let Some(limit) = self.limit.get(half.listener.into()) {
            xdp_ebpf::limit::leave(limit);
        }
    }
}

/// How many sessions, dying ones included, a pass has seen by what they refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// By index in `ek_backend`.
    pub backends: HashMap<u16, u32>,
    /// By index in `ek_listener`.
    pub listeners: HashMap<u16, u32>,
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
            let index = self.next;
            self.next += 1;
            let Some(forward) = sessions.forward.get(index) else { break };
            match forward.state().get() {
                LIVE => self.expire(sessions, index, forward, limits, resets),
                DYING => self.free(sessions, index, forward)?,
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
        index: u32,
        forward: Shared<'_, Half>,
        limits: &Limits<'_>,
        resets: &mut Vec<Reset>,
    ) {
        let there = forward.snapshot();
        self.count(&there);
        let Some(reverse) = sessions.reverse.get(there.peer) else { return };
        let back = reverse.snapshot();
        if back.state != LIVE || back.peer != index {
            return;
        }
        let idle = idle_jiffies(limits.now, there.last_seen).min(idle_jiffies(limits.now, back.last_seen));
        let established = limits.idle.get(&there.listener).copied().unwrap_or(DEFAULT_IDLE);
        let state = State::from_u8(there.tcp).unwrap_or(State::None);
        let protocol = Protocol::from_number(there.protocol).unwrap_or(Protocol::Tcp);
        let idle = jiffies_to_time(idle, limits.hz);
        let must_go = limits.drained.contains(&there.backend) || limits.unreachable.contains(&there.listener);
        let decision = match protocol {
            Protocol::Udp if must_go || limits.removed.contains(&there.backend) => Decision::Expire,
            Protocol::Tcp if must_go && !state.is_over() => Decision::ExpireWithResets,
            _ => decide(protocol, state, idle, established, limits.timeouts),
        };
        if decision == Decision::Keep || !forward.state().swap_if(LIVE, DYING) {
            return;
        }
        reverse.state().swap_if(LIVE, DYING);
        self.dying.insert(index);
        if !state.is_over() {
            limits.count_off(&there);
        }
        if decision == Decision::ExpireWithResets {
            resets.extend(for_both_ends(&there, &back));
        }
    }

    /// Frees a dying session that was dying in the last pass too.
    fn free(&mut self, sessions: &Sessions, index: u32, forward: Shared<'_, Half>) -> Result<()> {
        let there = forward.snapshot();
        self.count(&there);
        if self.dying.insert(index) {
            return Ok(());
        }
        if let (Some(home), Some(reverse)) = (sessions.port_home(&there), sessions.reverse.get(there.peer))
            && home.reverse == there.peer
            && reverse.peer().get() == index
        {
            if reverse.state().swap_if(LIVE, DYING) {
                return Ok(());
            }
            if reverse.state().swap_if(DYING, FREE) {
                sessions.give_back(home.plane, there.new_sport)?;
            }
        }
        self.dying.remove(&index);
        forward.state().swap_if(DYING, FREE);
        Ok(())
    }

    /// Sweeps the next part of the reverse table for halves whose forward slot the XDP program has given to a new
    /// session of the same client: dying in this pass and in the last, and nobody's peer.
    fn free_orphans(&mut self, sessions: &Sessions) -> Result<()> {
        let len = sessions.reverse.entries();
        let end = self.next_reverse.saturating_add(len.div_ceil(PARTS)).min(len);
        while self.next_reverse < end {
            let index = self.next_reverse;
            self.next_reverse += 1;
            let Some(reverse) = sessions.reverse.get(index) else { break };
            if reverse.state().get() != DYING {
                continue;
            }
            let back = reverse.snapshot();
            let forward = sessions.forward.get(back.peer).map(Shared::snapshot);
            let is_orphan = forward.is_none_or(|forward| forward.state != DYING || forward.peer != index);
            if !is_orphan {
                self.orphans.remove(&index);
                continue;
            }
            if self.orphans.insert(index) {
                continue;
            }
            self.orphans.remove(&index);
            let there = Half {
                new_src: back.dst,
                new_sport: back.dport,
                new_dst: back.src,
                new_dport: back.sport,
                ..Half::default()
            };
            if let Some(home) = sessions.port_home(&there).filter(|home| home.reverse == index)
                && reverse.state().swap_if(DYING, FREE)
            {
                sessions.give_back(home.plane, there.new_sport)?;
            }
        }
        Ok(())
    }

    fn count(&mut self, half: &Half) {
        *self.census.backends.entry(half.backend).or_default() += 1;
        *self.census.listeners.entry(half.listener).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::abi::{CLAIMED, PROTOCOL_TCP, PROTOCOL_UDP};

    use super::*;
    use crate::dataplane::sessions::tests::{on_plain_memory, take};

    const HZ: u32 = 250;
    const BACKEND: ([u8; 4], u16) = ([192, 0, 2, 11], 8080);
    /// The index of a removed backend.
    const REMOVED: u16 = 9;
    /// The index of a backend that has drained for long enough.
    const DRAINED: u16 = 10;
    /// The index of a listener without its VIP.
    const UNREACHABLE: u16 = 11;

    /// Opens a session at `index` of the forward table, as the XDP program does.
    fn open(sessions: &Sessions, index: u32, state: State, last_seen: u32) -> u32 {
        let mut forward = Half {
            src: [198, 51, 100, 1],
            sport: 40000,
            dst: [203, 0, 113, 10],
            dport: 80,
            new_src: [100, 64, 0, 1],
            new_dst: BACKEND.0,
            new_dport: BACKEND.1,
            last_seen,
            tcp: state as u8,
            backend: 5,
            listener: 6,
            ..Half::default()
        };
        let plane = sessions
            .config
            .plane_index(1, xdp_ebpf::abi::plane_of(BACKEND.0, BACKEND.1, sessions.config.plane_mask));
        forward.new_sport = take(sessions, plane).expect("a free port");
        forward.peer = sessions.port_home(&forward).unwrap().reverse;
        let reverse = Half {
            state: LIVE,
            peer: index,
            last_seen,
            backend: 5,
            listener: 6,
            tcp: state as u8,
            ..Half::default()
        };
        sessions.reverse.get(forward.peer).unwrap().write(reverse);
        sessions.forward.get(index).unwrap().write(Half { state: LIVE, ..forward });
        forward.peer
    }

    fn pass(sweeper: &mut Sweeper, sessions: &Sessions, now: u32) -> (Census, Vec<Reset>) {
        let (idle, timeouts) = (HashMap::from([(6, Duration::from_secs(90))]), Timeouts::default());
        let (removed, load, limit) = (HashSet::from([REMOVED]), Mapping::of_zeros(16), Mapping::of_zeros(16));
        let limits = Limits {
            now,
            hz: HZ,
            timeouts: &timeouts,
            idle: &idle,
            removed: &removed,
            drained: &HashSet::from([DRAINED]),
            unreachable: &HashSet::from([UNREACHABLE]),
            limit: &limit,
            load: &load,
        };
        let mut resets = Vec::new();
        let mut calls = 0;
        loop {
            calls += 1;
            if let Some(census) = sweeper.part(sessions, &limits, &mut resets).unwrap() {
                assert_eq!(calls, PARTS);
                return (census, resets);
            }
        }
    }

    #[test]
    fn an_idle_session_is_reset_hidden_and_freed_a_pass_later() {
        let sessions = on_plain_memory(2, 12);
        let (index, start) = (9, u32::MAX - 100);
        let reverse = open(&sessions, index, State::Established, start);
        let states = || {
            let [f, r] = [sessions.forward.get(index), sessions.reverse.get(reverse)];
            (f.unwrap().state().get(), r.unwrap().state().get())
        };
        let mut sweeper = Sweeper::default();

        let (census, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(90 * HZ - 1));
        assert_eq!((states(), resets.len()), ((LIVE, LIVE), 0));
        assert_eq!((census.backends[&5], census.listeners[&6]), (1, 1));

        let (census, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(90 * HZ));
        assert_eq!((states(), resets.len()), ((DYING, DYING), 2));
        assert_eq!(census.backends[&5], 1);
        assert_eq!(sessions.free_ports(), sessions.total_ports() - 1);

        let (census, resets) = pass(&mut sweeper, &sessions, start.wrapping_add(91 * HZ));
        assert_eq!((states(), resets.len()), ((FREE, FREE), 0));
        assert_eq!(census.backends[&5], 1, "it was still there when the pass came by");
        assert_eq!(sessions.free_ports(), sessions.total_ports());

        assert_eq!(pass(&mut sweeper, &sessions, start).0, Census::default());
        assert_eq!(sessions.free_ports(), sessions.total_ports(), "a port is given back once");
    }

    #[test]
    fn traffic_in_either_direction_keeps_a_session() {
        let sessions = on_plain_memory(2, 12);
        let reverse = open(&sessions, 0, State::Established, 0);
        sessions.reverse.get(reverse).unwrap().last_seen().set(80 * HZ);
        let (_, resets) = pass(&mut Sweeper::default(), &sessions, 100 * HZ);
        assert!(resets.is_empty());
        assert_eq!(sessions.live().count(), 1);
    }

    #[test]
    fn udp_leaves_a_removed_backend_at_once_and_tcp_stays() {
        for (protocol, left) in [(PROTOCOL_UDP, 0), (PROTOCOL_TCP, 1)] {
            let sessions = on_plain_memory(2, 12);
            open(&sessions, 3, State::Established, 100);
            let forward = sessions.forward.get(3).unwrap();
            forward.write(Half { protocol, backend: REMOVED, ..forward.snapshot() });
            let (_, resets) = pass(&mut Sweeper::default(), &sessions, 101);
            assert_eq!((sessions.live().count(), resets.len()), (left, 0));
        }
    }

    #[test]
    fn whoever_must_go_is_told() {
        for (backend, listener) in [(DRAINED, 6), (5, UNREACHABLE)] {
            for (protocol, state, resets) in [
                (PROTOCOL_TCP, State::Established, 2),
                (PROTOCOL_TCP, State::FinWait, 2),
                (PROTOCOL_UDP, State::Established, 0),
            ] {
                let sessions = on_plain_memory(2, 12);
                open(&sessions, 3, state, 100);
                let forward = sessions.forward.get(3).unwrap();
                forward.write(Half { protocol, backend, listener, ..forward.snapshot() });
                let (_, told) = pass(&mut Sweeper::default(), &sessions, 101);
                assert_eq!(
                    (sessions.live().count(), told.len()),
                    (0, resets),
                    "{backend} {listener} {state:?}"
                );
            }
            let sessions = on_plain_memory(2, 12);
            open(&sessions, 3, State::TimeWait, 100);
            let forward = sessions.forward.get(3).unwrap();
            forward.write(Half { protocol: PROTOCOL_TCP, backend, listener, ..forward.snapshot() });
            assert!(pass(&mut Sweeper::default(), &sessions, 101).1.is_empty(), "both ends know already");
        }
    }

    #[test]
    fn closed_sessions_end_without_resets() {
        let sessions = on_plain_memory(2, 12);
        open(&sessions, 3, State::TimeWait, 0);
        let mut sweeper = Sweeper::default();
        let (_, resets) = pass(&mut sweeper, &sessions, 1000 * HZ);
        assert!(resets.is_empty());
        pass(&mut sweeper, &sessions, 1000 * HZ);
        assert_eq!(sessions.free_ports(), sessions.total_ports());
    }

    #[test]
    fn sessions_that_the_program_closed_are_freed_on_the_second_sight() {
        let sessions = on_plain_memory(2, 12);
        let reverse = open(&sessions, 3, State::TimeWait, 0);
        for half in [sessions.forward.get(3), sessions.reverse.get(reverse)] {
            half.unwrap().state().set(DYING);
        }
        let mut sweeper = Sweeper::default();
        pass(&mut sweeper, &sessions, 0);
        assert_eq!(sessions.forward.get(3).unwrap().state().get(), DYING);
        pass(&mut sweeper, &sessions, 0);
        assert_eq!(sessions.forward.get(3).unwrap().state().get(), FREE);
        assert_eq!(sessions.free_ports(), sessions.total_ports());
    }

    #[test]
    fn the_port_of_a_session_whose_slot_was_given_away_comes_back_once() {
        let sessions = on_plain_memory(2, 12);
        let old = open(&sessions, 3, State::TimeWait, 0);
        let forward = sessions.forward.get(3).unwrap();
        let half = forward.snapshot();
        let back = sessions.reverse.get(old).unwrap();
        let (dst, dport, src, sport) = (half.new_src, half.new_sport, half.new_dst, half.new_dport);
        back.write(Half { state: DYING, dst, dport, src, sport, ..back.snapshot() });
        let new = open(&sessions, 3, State::Established, 0);
        assert_ne!(old, new);
        let mut sweeper = Sweeper::default();
        for (states, free) in [((DYING, LIVE), 2), ((FREE, LIVE), 1), ((FREE, LIVE), 1)] {
            pass(&mut sweeper, &sessions, 0);
            let state = |index| sessions.reverse.get(index).unwrap().state().get();
            assert_eq!((state(old), state(new)), states);
            assert_eq!(sessions.free_ports(), sessions.total_ports() - free);
        }
    }

    #[test]
    fn a_session_being_opened_is_left_alone() {
        let sessions = on_plain_memory(2, 12);
        let reverse = open(&sessions, 3, State::Established, 0);
        sessions.reverse.get(reverse).unwrap().state().set(CLAIMED);
        let (_, resets) = pass(&mut Sweeper::default(), &sessions, 1000 * HZ);
        assert!(resets.is_empty());
        assert_eq!(sessions.forward.get(3).unwrap().state().get(), LIVE);
    }
}
