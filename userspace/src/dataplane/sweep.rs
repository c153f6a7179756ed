//! The sweeper: ends sessions that have been idle for too long and gives their ports back.
//!
//! It walks over the local ports that are taken, each of which leads to a session; a pass over all takes [`PARTS`] calls of
//! [`Sweeper::part`]. A session goes live → dying → free: the first step hides it from the XDP program, and it is freed a
//! whole pass later, when no CPU can still be at work on what it looked up before. One whose ends may believe in it is cut
//! first, for some passes in which they are told. Next: `reset` sends what the sweeper
//! asks for; `apply` frees removed entries by its [`Census`].

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use model::{host::Timeouts, served::Protocol};
use xdp_ebpf::{
    abi::{BackendIndex, CUT, Common, DYING, FLAG_HEARD, FREE, LIVE, Limit, ListenerIndex, PROTOCOL_UDP},
    connection::{self, Note, Standing},
    shared::Shared,
    tcp_state::State,
};

use super::{
    census::Census,
    expiry::{Decision, Idle, IdleTimeouts, Seen, decide, idle_jiffies, jiffies_to_time},
    halves::AnyHalf,
    memory::Mapping,
    reset::{Reset, for_both_ends},
    revocation::ChangedLists,
    sessions::Sessions,
    taken::Taken,
};
use crate::dataplane::error::Result;

/// Into how many parts a pass is split.
pub const PARTS: u32 = 4;
/// How long to wait from part to part: a pass takes a second.
pub const PERIOD: Duration = Duration::from_millis(250);
/// In how many passes the ends of a session that was cut are told so.
const TOLD: u8 = 3;
/// For how many passes it answers what they send.
const CUT_PASSES: u8 = 5;
/// How many sessions are looked at together.
const BATCH: usize = 64;

/// What the sweeper goes by.
pub struct Criteria<'a> {
    /// The low 32 bits of jiffies.
    pub now: u32,
    /// Jiffies per second.
    pub hz: u32,
    /// Timeouts of all states but the established one.
    pub timeouts: &'a Timeouts,
    /// Idle timeouts of established sessions by listener index.
    pub idle: &'a IdleTimeouts,
    /// Backends that were removed, or are down while there are others, by index in `ek_backend`: their UDP sessions end
    /// at once, so that the next datagram finds another member, since nothing else would tell a client to come again.
    pub abandoned: &'a HashSet<BackendIndex>,
    /// Backends that are down, of pools whose TCP sessions then end.
    pub dropped: &'a HashSet<BackendIndex>,
    /// Backends whose sessions have stayed for as long as they may, by index in `ek_backend`.
    pub drained: &'a HashSet<BackendIndex>,
    /// Listeners whose VIP was removed, by index in `ek_listener`: no packet of a client's arrives any more, so
    /// their sessions end at once.
    pub unreachable: &'a HashSet<ListenerIndex>,
    /// Access lists that may keep out by now who is in.
    pub changed_lists: &'a ChangedLists,
    /// `ek_half_open`, like `load`.
    pub half_open: &'a Mapping<u32>,
    /// `ek_limit`, like `load`.
    pub limit: &'a Mapping<Limit, ListenerIndex>,
    /// `ek_load`, where a session that ends before it is over counts until here.
    pub load: &'a Mapping<u32, BackendIndex>,
}

impl Criteria<'_> {
    /// Ends the session of a forward half that is no longer live: a connection less for its backend and its listener or its
    /// client's network, if it still was one.
    fn end(&self, forward: Shared<'_, Common>) {
        let before = connection::end(forward);
        let note = Note::new(forward, [before, Standing::Over]);
        if let Some(load) = self.load.get(note.backend())
            && let Some(limit) = self.limit.get(note.listener())
            && let Some(half_open) = self.half_open.get(note.prefix().into())
        {
            note.write(load, limit, half_open);
        }
    }
}

/// Where a pass is.
pub struct Sweeper {
    taken: Taken,
    next: u32,
    /// Those of one part; kept for its memory.
    ports: Vec<u32>,
    dying: HashSet<u32>,
    /// In how many passes a session was seen cut, by the position of its forward half.
    cut: HashMap<u32, u8>,
    orphans: HashSet<u32>,
    census: Census,
}

/// What a taken port leads to.
struct Pair<'a> {
    /// The reverse half's position.
    port: u32,
    reverse: AnyHalf<'a>,
    /// That of the forward half to which it points.
    position: u32,
    forward: AnyHalf<'a>,
    states: [u8; 2],
}

impl Sweeper {
    /// A sweeper of these tables. From then on nobody else may give ports back.
    ///
    /// # Errors
    /// Maps smaller than `ek_config` says.
    pub fn new(sessions: &Sessions) -> Result<Self> {
        Ok(Self {
            taken: Taken::read(sessions)?,
            next: 0,
            ports: Vec::new(),
            dying: HashSet::new(),
            cut: HashMap::new(),
            orphans: HashSet::new(),
            census: Census::default(),
        })
    }

    /// Sweeps the next part and appends the resets to send. At the end of a pass, returns what it saw.
    ///
    /// # Errors
    /// Tables that contradict each other; the pass goes on with the next part at the next call.
    pub fn part(
        &mut self,
        sessions: &Sessions,
        criteria: &Criteria<'_>,
        resets: &mut Vec<Reset>,
    ) -> Result<Option<Census>> {
        self.taken.follow(sessions)?;
        let mut ports = std::mem::take(&mut self.ports);
        ports.clear();
        ports.extend(self.taken.part(self.next, PARTS));
        self.next = (self.next + 1) % PARTS;
        let mut swept = Ok(());
        let mut pairs = Vec::with_capacity(BATCH);
        for batch in ports.chunks(BATCH) {
            read(sessions, batch, &mut pairs);
            for pair in &pairs {
                swept = swept.and(self.one(sessions, pair, criteria, resets));
            }
        }
        self.ports = ports;
        swept?;
        Ok((self.next == 0).then(|| std::mem::take(&mut self.census)))
    }

    fn one(
        &mut self,
        sessions: &Sessions,
        pair: &Pair<'_>,
        criteria: &Criteria<'_>,
        resets: &mut Vec<Reset>,
    ) -> Result<()> {
        let is_whole = pair.forward.peer_in(&sessions.reverse) == pair.port;
        match pair.states {
            [LIVE, LIVE] if is_whole => self.expire(pair, criteria, resets),
            [LIVE | CUT, CUT] if is_whole => {
                self.count(&pair.forward.common().snapshot());
                pair.reverse.common().swap_state_if(LIVE, CUT);
                // Done before, unless the process that cut it was killed right behind that.
                criteria.end(pair.forward.common());
                self.tell(pair, resets);
            }
            [LIVE | CUT | DYING, DYING] if is_whole => return self.free(sessions, pair, criteria),
            [DYING, _] => return self.free_orphan(sessions, pair),
            _ => {}
        }
        Ok(())
    }

    fn expire(&mut self, pair: &Pair<'_>, criteria: &Criteria<'_>, resets: &mut Vec<Reset>) {
        let Pair { forward, reverse, position, .. } = *pair;
        let (there, back) = (forward.common().snapshot(), reverse.common().snapshot());
        self.count(&there);
        let (listener, backend) = (ListenerIndex::from(there.listener), BackendIndex::from(there.backend));
        let ends = [there.last_seen, back.last_seen]
            .map(|last_seen| jiffies_to_time(idle_jiffies(criteria.now, last_seen), criteria.hz));
        let seen = Seen {
            protocol: if there.protocol == PROTOCOL_UDP { Protocol::Udp } else { Protocol::Tcp },
            state: State::from_u8(there.tcp).unwrap_or(State::None),
            idle: Idle::of(ends),
            is_closed_for_sure: there.flags & back.flags & FLAG_HEARD != 0,
        };
        let must_go = criteria.drained.contains(&backend)
            || criteria.unreachable.contains(&listener)
            || criteria.changed_lists.shut_out(listener, forward.src().ip());
        let decision = match seen.protocol {
            Protocol::Udp if must_go || criteria.abandoned.contains(&backend) => Decision::Expire,
            Protocol::Tcp if (must_go || criteria.dropped.contains(&backend)) && !seen.state.is_over() => {
                Decision::Cut
            }
            _ => decide(seen, criteria.idle.of(listener), criteria.timeouts),
        };
        let state = match decision {
            Decision::Keep => return,
            Decision::Expire => DYING,
            Decision::Cut => CUT,
        };
        if !forward.common().swap_state_if(LIVE, state) {
            return;
        }
        reverse.common().swap_state_if(LIVE, state);
        criteria.end(forward.common());
        if state == CUT {
            self.tell(pair, resets);
        } else {
            self.dying.insert(position);
        }
    }

    /// A session that was cut, here or by the XDP program: tells both ends, more than once because nobody says whether
    /// they have heard. Until its time is over, XDP answers whatever they send.
    fn tell(&mut self, pair: &Pair<'_>, resets: &mut Vec<Reset>) {
        let Pair { forward, reverse, position, .. } = *pair;
        let passes = self.cut.entry(position).or_insert(0);
        *passes += 1;
        if *passes <= TOLD {
            resets.extend(for_both_ends(forward, reverse));
        }
        if *passes > CUT_PASSES {
            self.cut.remove(&position);
            forward.common().swap_state_if(CUT, DYING);
            reverse.common().swap_state_if(CUT, DYING);
        }
    }

    /// Frees a dying session that was dying in the last pass too.
    fn free(&mut self, sessions: &Sessions, pair: &Pair<'_>, criteria: &Criteria<'_>) -> Result<()> {
        let Pair { forward, reverse, position, .. } = *pair;
        self.count(&forward.common().snapshot());
        if self.dying.insert(position)
            || reverse.common().swap_state_if(LIVE, DYING)
            || reverse.common().swap_state_if(CUT, DYING)
        {
            return Ok(());
        }
        self.dying.remove(&position);
        // Done before, unless the process that did the first step was killed right behind it.
        criteria.end(forward.common());
        // The half by which the session is found goes last: should this process be killed, the next one goes on here.
        forward.common().swap_state_if(DYING, FREE);
        self.free_port(sessions, pair)
    }

    /// Frees a reverse half whose forward slot the XDP program has given to a new session of the same client: dying in
    /// this pass and in the last, and nobody's peer.
    fn free_orphan(&mut self, sessions: &Sessions, pair: &Pair<'_>) -> Result<()> {
        if self.orphans.insert(pair.port) {
            return Ok(());
        }
        self.orphans.remove(&pair.port);
        self.free_port(sessions, pair)
    }

    fn free_port(&mut self, sessions: &Sessions, pair: &Pair<'_>) -> Result<()> {
        if pair.reverse.common().swap_state_if(DYING, FREE) {
            sessions.free_port_of(pair.port)?;
            self.taken.remove(pair.port);
        }
        Ok(())
    }

    fn count(&mut self, half: &Common) {
        self.census.backends.add(half.backend.into());
        self.census.listeners.add(half.listener.into());
    }
}

/// What these taken ports lead to. A half is far away in memory, so first all of one direction are read and then all of the
/// other: the processor waits for many of them at once.
fn read<'a>(sessions: &'a Sessions, ports: &[u32], pairs: &mut Vec<Pair<'a>>) {
    pairs.clear();
    pairs.extend(ports.iter().filter_map(|&port| {
        let reverse = sessions.reverse.get(port)?;
        let position = reverse.peer_in(&sessions.forward);
        let forward = sessions.forward.get(position)?;
        Some(Pair { port, reverse, position, forward, states: [reverse.common().state().get(), FREE] })
    }));
    for pair in pairs {
        pair.states[1] = pair.forward.common().state().get();
    }
}

#[cfg(test)]
mod tests;
