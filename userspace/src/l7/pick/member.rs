//! What is known of each member, from one configuration to the next.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use model::{
    schedule::{Candidate, Health},
    served::{OnDown, Pool},
    sticky::{Ejection, Sticky},
    value::Weight,
};
use serde::{Deserialize, Serialize};

use super::sockets::{BeforeConnect, Sockets};
use crate::health::judge::Verdict;

/// How much longer a member rests at most if it fails again and again.
const LONGEST_EJECTION: u32 = 10;
/// One whole turn in [`Member::credit`].
const TURN: u64 = 1 << 32;

/// What a member has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Its address.
    pub member: SocketAddr,
    /// Requests now.
    pub requests_open: u32,
    /// Requests that it was sent so far, each attempt counted.
    pub requests: u64,
}

/// What every request touches: shared by all views and all configurations.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    requests: AtomicU32,
    /// Requests that it was sent so far.
    sent: AtomicU64,
    /// Failures since the last good answer or since it last began to rest.
    failures: AtomicU32,
    /// How often it has rested since the last good answer.
    ejections: AtomicU32,
    /// What it has of turns during slow start, in units of 1/[`TURN`].
    credit: AtomicU64,
    /// Those of its connections, and what has them known.
    pub(super) sockets: Sockets,
    before_connect: BeforeConnect,
}

impl Member {
    /// How many requests it has now.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// It was sent so many before.
    pub(super) fn resume(&self, requests: u64) {
        self.sent.fetch_add(requests, Relaxed);
    }

    /// The same, with those that it was sent so far.
    pub(super) fn load(&self) -> Load {
        Load { member: self.address, requests_open: self.requests(), requests: self.sent.load(Relaxed) }
    }

    /// It answered. Mostly there is no failure to reset, and nothing is written.
    pub(super) fn reset_failures(&self) {
        for count in [&self.failures, &self.ejections] {
            if count.load(Relaxed) != 0 {
                count.store(0, Relaxed);
            }
        }
    }

    /// Counts a failure and returns how many there are.
    pub(super) fn fail(&self) -> u32 {
        self.failures.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Whether it takes this turn if it shall take this share of its turns, 0 to 1: as evenly as can be.
    pub(super) fn takes(&self, share: f64) -> bool {
        // Not above TURN, since the share is at most 1.
        let step = (share * TURN as f64) as u64;
        let before = self.credit.fetch_add(step, Relaxed);
        before / TURN != before.wrapping_add(step) / TURN
    }
}

/// A request at a member, until dropped.
#[derive(Debug)]
pub struct Connection {
    member: Arc<Member>,
    /// How often its connections had been reset, if they are when it goes down.
    resets: Option<u32>,
}

impl Connection {
    pub(super) fn new(member: &Arc<Member>, on_down: OnDown) -> Self {
        member.requests.fetch_add(1, Relaxed);
        member.sent.fetch_add(1, Relaxed);
        let resets = (on_down == OnDown::Reset).then(|| member.sockets.resets());
        Self { member: Arc::clone(member), resets }
    }

    /// What its sockets need, if they are reset when the member goes down.
    pub fn before_connect(&self) -> Option<&BeforeConnect> {
        self.resets.map(|_| &self.member.before_connect)
    }

    /// Whether that has happened.
    pub fn is_reset(&self) -> bool {
        let sockets = &self.member.sockets;
        self.resets.is_some_and(|before| sockets.is_down() || sockets.resets() != before)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.member.requests.fetch_sub(1, Relaxed);
    }
}

/// What decides whether a member may be picked.
#[derive(Clone, Debug)]
pub(super) struct MemberState {
    pub(super) member: Arc<Member>,
    pub(super) weight: Weight,
    /// Whether it takes requests only while no other member does.
    backup: bool,
    verdict: Option<Verdict>,
    pub(super) slow_start: SlowStart,
    ejected_until: Option<Instant>,
    /// It is removed; clients that stick to it may go on until then.
    leaves_at: Option<Instant>,
}

/// Where a member is with its slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlowStart {
    /// It begins with the first good check.
    Waiting,
    /// It began then.
    Since(Instant),
    /// It has none.
    Never,
}

impl MemberState {
    fn new(address: SocketAddr, slow_start: SlowStart) -> Self {
        let sockets = Sockets::default();
        let member = Member {
            address,
            requests: AtomicU32::new(0),
            sent: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            credit: AtomicU64::new(0),
            before_connect: sockets.before_connect(),
            sockets,
        };
        Self {
            member: Arc::new(member),
            weight: Weight::literal(0),
            backup: false,
            verdict: None,
            slow_start,
            ejected_until: None,
            leaves_at: None,
        }
    }

    /// Takes what is known of its health.
    pub(super) fn judge(&mut self, verdict: Option<Verdict>, now: Instant) {
        self.verdict = verdict;
        if self.is_up() && self.slow_start == SlowStart::Waiting {
            self.slow_start = SlowStart::Since(now);
        }
    }

    /// Ends its slow start if that is over, or if there is none any more: it shall not begin again with other settings.
    pub(super) fn settle(&mut self, slow_start: Option<Duration>, now: Instant) {
        let is_over = match (self.slow_start, slow_start) {
            (SlowStart::Since(start), Some(ramp)) => now.saturating_duration_since(start) >= ramp,
            (_, ramp) => ramp.is_none(),
        };
        if is_over {
            self.slow_start = SlowStart::Never;
        }
    }

    /// Whether its checks are good, or there are none.
    pub(super) fn is_up(&self) -> bool {
        self.verdict == Some(Verdict::Up)
    }

    /// Whether nothing is known of its health yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.verdict.is_none()
    }

    /// Whether it rests because it failed.
    pub(super) fn is_ejected(&self, now: Instant) -> bool {
        self.ejected_until.is_some_and(|until| now < until)
    }

    /// Whether it shares in new clients' requests when it is well.
    pub(super) fn takes_part(&self) -> bool {
        self.weight.get() > 0 && self.leaves_at.is_none()
    }

    /// As it stands for new clients' requests.
    pub(super) fn candidate(&self) -> Candidate<SocketAddr> {
        let health = match self.verdict {
            Some(Verdict::Up) => Health::Up,
            Some(Verdict::Down) => Health::Down,
            None => Health::Unknown,
        };
        Candidate { key: self.member.address, weight: self.weight, backup: self.backup, health }
    }

    /// Whether it is removed.
    pub(super) fn leaves(&self) -> bool {
        self.leaves_at.is_some()
    }

    /// Whether it is removed, and no client can stick to it any more.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        self.leaves_at.is_some_and(|leaves_at| leaves_at <= now)
    }

    /// When something of this changes by itself next.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        self.ejected_until.into_iter().chain(self.leaves_at).filter(|&then| then > now).min()
    }
}

/// The members of a pool with what was known of them. Those that are removed stay as long as a client may stick to them.
pub(super) fn take_over(
    mut known: BTreeMap<SocketAddr, MemberState>,
    pool: &Pool,
    starts_slowly: bool,
    sticky: Option<&Sticky>,
    now: Instant,
) -> BTreeMap<SocketAddr, MemberState> {
    let is_checked = pool.check.is_some();
    let was_empty = !known.values().any(|state| state.leaves_at.is_none());
    let slow_start = match (starts_slowly && !was_empty, is_checked) {
        (false, _) => SlowStart::Never,
        (true, true) => SlowStart::Waiting,
        (true, false) => SlowStart::Since(now),
    };
    let mut states = BTreeMap::new();
    for (&address, settings) in &pool.members {
        let state = known.remove(&address);
        let mut state = state.unwrap_or_else(|| MemberState::new(address, slow_start));
        state.weight = settings.weight;
        state.backup = settings.backup;
        state.leaves_at = None;
        if !is_checked {
            state.judge(Some(Verdict::Up), now);
        }
        states.insert(address, state);
    }
    if let Some(sticky) = sticky.filter(|sticky| sticky.drain) {
        for (address, mut state) in known {
            state.leaves_at.get_or_insert(now + sticky.time.duration());
            if !state.is_gone(now) {
                states.insert(address, state);
            }
        }
    }
    states
}

/// Lets a member rest that has failed too often, if not too many of the pool do; returns whether it does now.
pub(super) fn eject(
    states: &mut BTreeMap<SocketAddr, MemberState>,
    member: SocketAddr,
    ejection: &Ejection,
    now: Instant,
) -> bool {
    let taking_part = states.values().filter(|state| state.takes_part());
    let (all, resting) = taking_part
        .fold((0, 0), |(all, resting), state| (all + 1, resting + usize::from(state.is_ejected(now))));
    let allowed = all * usize::from(ejection.share.get()) / 100;
    let Some(state) = states.get_mut(&member) else { return false };
    if state.is_ejected(now) || resting >= allowed || resting + 1 >= all {
        return false;
    }
    let times = state.member.ejections.fetch_add(1, Relaxed).saturating_add(1);
    state.member.failures.store(0, Relaxed);
    state.ejected_until = Some(now + rest(ejection.time.duration(), times));
    true
}

fn rest(time: Duration, times: u32) -> Duration {
    time.saturating_mul(times.min(LONGEST_EJECTION))
}
