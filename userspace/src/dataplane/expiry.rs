//! When a session ends: a pure decision from its protocol, its state and its idle time. Next: `sweep`, which asks it.

use std::time::Duration;

use model::{host::Timeouts, served::Protocol, value::Seconds};
use xdp_ebpf::{abi::ListenerIndex, tcp_state::State};

/// The idle timeout of a session whose listener is unknown.
const DEFAULT_IDLE: Duration = Duration::from_mins(5);

/// Idle timeouts of established sessions by index in `ek_listener`.
#[derive(Clone, Debug, Default)]
pub struct IdleTimeouts(Vec<Duration>);

impl IdleTimeouts {
    /// A listener's.
    #[inline]
    pub fn of(&self, listener: ListenerIndex) -> Duration {
        self.0.get(listener.index as usize).copied().unwrap_or(DEFAULT_IDLE)
    }

    /// From now on it is this one.
    pub fn set(&mut self, listener: ListenerIndex, timeout: Duration) {
        let index = listener.index as usize;
        if index >= self.0.len() {
            self.0.resize(index + 1, DEFAULT_IDLE);
        }
        self.0[index] = timeout;
    }

    /// The listener is no more.
    pub fn forget(&mut self, listener: ListenerIndex) {
        self.set(listener, DEFAULT_IDLE);
    }
}

/// How long an answer may take to a segment that came when the idle timeout was nearly over, but no longer than that.
const PATIENCE: Duration = Duration::from_mins(1);

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Keep,
    /// It ends.
    Expire,
    /// It ends, and both of its ends are told, because they may believe that it is open.
    Cut,
}

/// How long ago `last_seen` was, in jiffies. A packet that came after `now` was read counts as now.
pub fn idle_jiffies(now: u32, last_seen: u32) -> u32 {
    let idle = now.wrapping_sub(last_seen);
    if idle > u32::MAX - 0xFFFF { 0 } else { idle }
}

/// Jiffies as time. `hz` is not zero.
pub fn jiffies_to_time(jiffies: u32, hz: u32) -> Duration {
    Duration::from_micros(u64::from(jiffies) * 1_000_000 / u64::from(hz.max(1)))
}

/// What `evenkeel sessions` calls the state.
pub fn state_name(protocol: Protocol, state: State) -> &'static str {
    match (protocol, state) {
        (Protocol::Udp, State::Established) => "ANSWERED",
        (Protocol::Udp, _) => "ONE_WAY",
        (Protocol::Tcp, _) => state.name(),
    }
}

/// Every state that a session may be shown in.
pub const STATES: [(Protocol, State); 12] = [
    (Protocol::Tcp, State::None),
    (Protocol::Tcp, State::SynSent),
    (Protocol::Tcp, State::SynRecv),
    (Protocol::Tcp, State::SynAck),
    (Protocol::Tcp, State::Established),
    (Protocol::Tcp, State::FinWait),
    (Protocol::Tcp, State::TimeWait),
    (Protocol::Tcp, State::CloseWait),
    (Protocol::Tcp, State::LastAck),
    (Protocol::Tcp, State::Close),
    (Protocol::Udp, State::None),
    (Protocol::Udp, State::Established),
];

/// How long a session's ends have been silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// The one that has spoken last.
    pub least: Duration,
    /// The other one.
    pub most: Duration,
}

impl Idle {
    /// Of a client and a backend.
    pub fn of(ends: [Duration; 2]) -> Self {
        let [one, other] = ends;
        Self { least: one.min(other), most: one.max(other) }
    }

    /// Whether a TCP session is over after so much time. An end that speaks gets an answer: if it goes on without one,
    /// that is no life, however often it sends. What came just before the time was up has [`PATIENCE`] for its answer.
    fn exceeds(self, limit: Duration) -> bool {
        self.least >= limit || self.most >= limit + PATIENCE.min(limit)
    }
}

/// What a session is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its state.
    pub state: State,
    /// How long its ends have been silent.
    pub idle: Idle,
    /// A reset closed it that its receiver believed, and neither end has spoken since.
    pub is_closed_for_sure: bool,
}

/// Decides about a session; `established` is its listener's idle timeout.
pub fn decide(seen: Seen, established: Duration, timeouts: &Timeouts) -> Decision {
    let Seen { protocol, state, idle, is_closed_for_sure } = seen;
    let limit = match state {
        State::Established => established,
        _ => rest(protocol, state, timeouts).duration(),
    };
    match (protocol, state) {
        // Datagrams need no answer.
        (Protocol::Udp, _) if idle.least < limit => Decision::Keep,
        (Protocol::Tcp, _) if !idle.exceeds(limit) => Decision::Keep,
        (Protocol::Tcp, State::Close) if !is_closed_for_sure => Decision::Cut,
        (Protocol::Tcp, State::Established | State::FinWait | State::CloseWait | State::LastAck) => {
            Decision::Cut
        }
        _ => Decision::Expire,
    }
}

/// The timeouts while ports or room for sessions run short: a tenth of the time for handshakes, so that the oldest that
/// are not complete go. Established sessions pay nothing.
pub fn in_a_hurry(timeouts: &Timeouts) -> Timeouts {
    let syn_recv = Seconds::new(Duration::from_secs((timeouts.syn_recv.get() / 10).max(1).into()));
    Timeouts { syn_recv: syn_recv.unwrap_or(timeouts.syn_recv), ..*timeouts }
}

/// How long a session may rest in a state; of an established one it is the listener's to say.
fn rest(protocol: Protocol, state: State, timeouts: &Timeouts) -> Seconds {
    match state {
        State::None if protocol == Protocol::Udp => timeouts.udp_one_way,
        State::SynSent | State::SynRecv | State::SynAck | State::Listen => timeouts.syn_recv,
        State::FinWait => timeouts.fin_wait,
        State::TimeWait => timeouts.time_wait,
        State::None | State::Close | State::Established => timeouts.close,
        State::CloseWait => timeouts.close_wait,
        State::LastAck => timeouts.last_ack,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timeouts() -> Timeouts {
        Timeouts {
            syn_recv: Seconds::literal(2),
            fin_wait: Seconds::literal(3),
            time_wait: Seconds::literal(4),
            close: Seconds::literal(5),
            close_wait: Seconds::literal(6),
            last_ack: Seconds::literal(7),
            udp_one_way: Seconds::literal(8),
        }
    }

    fn seen(protocol: Protocol, state: State, ends: [Duration; 2]) -> Seen {
        Seen { protocol, state, idle: Idle::of(ends), is_closed_for_sure: false }
    }

    #[test]
    fn every_state_ends_at_its_own_timeout() {
        let of = |protocol, state, seconds: u32| {
            let at = |time| decide(seen(protocol, state, [time; 2]), 90 * SECOND, &timeouts());
            assert_eq!(at(seconds * SECOND - Duration::from_millis(4)), Decision::Keep, "{state:?}");
            at(seconds * SECOND)
        };
        // Whoever may believe in it is told.
        for (state, seconds, decision) in [
            (State::SynSent, 2, Decision::Expire),
            (State::SynRecv, 2, Decision::Expire),
            (State::SynAck, 2, Decision::Expire),
            (State::FinWait, 3, Decision::Cut),
            (State::TimeWait, 4, Decision::Expire),
            (State::Close, 5, Decision::Cut),
            (State::CloseWait, 6, Decision::Cut),
            (State::LastAck, 7, Decision::Cut),
            (State::Established, 90, Decision::Cut),
        ] {
            assert_eq!(of(Protocol::Tcp, state, seconds), decision, "{state:?}");
        }
        assert_eq!(of(Protocol::Udp, State::None, 8), Decision::Expire);
        assert_eq!(of(Protocol::Udp, State::Established, 90), Decision::Expire, "nobody to reset");
        let heard = Seen { is_closed_for_sure: true, ..seen(Protocol::Tcp, State::Close, [5 * SECOND; 2]) };
        assert_eq!(decide(heard, 90 * SECOND, &timeouts()), Decision::Expire, "both ends know");
    }

    /// Whichever of both it is, and whatever the other one sends meanwhile.
    #[test]
    fn an_end_that_does_not_answer_is_not_kept_alive_by_the_other() {
        for (established, patience) in [(90 * SECOND, 60 * SECOND), (2 * SECOND, 2 * SECOND)] {
            let after = |silent| {
                let at =
                    |ends| decide(seen(Protocol::Tcp, State::Established, ends), established, &timeouts());
                let both = [at([Duration::ZERO, silent]), at([silent, Duration::ZERO])];
                assert_eq!(both[0], both[1]);
                both[0]
            };
            assert_eq!(after(established), Decision::Keep, "what came last may still be answered");
            assert_eq!(after(established + patience - Duration::from_millis(4)), Decision::Keep);
            assert_eq!(after(established + patience), Decision::Cut);
        }
        let datagrams = seen(Protocol::Udp, State::Established, [Duration::ZERO, 1000 * SECOND]);
        assert_eq!(decide(datagrams, SECOND, &timeouts()), Decision::Keep, "nobody owes them an answer");
    }

    #[test]
    fn in_a_hurry_only_handshakes_have_less_time() {
        let hurried = in_a_hurry(&Timeouts { syn_recv: Seconds::literal(30), ..timeouts() });
        assert_eq!(hurried, Timeouts { syn_recv: Seconds::literal(3), ..timeouts() });
        assert_eq!(in_a_hurry(&hurried).syn_recv, Seconds::literal(1), "never less than a second");
    }

    #[test]
    fn idle_time_survives_the_wrap_of_jiffies() {
        assert_eq!(idle_jiffies(5, u32::MAX - 4), 10);
        assert_eq!(idle_jiffies(1000, 900), 100);
        assert_eq!(idle_jiffies(900, 901), 0, "a packet after the clock was read");
        assert_eq!(idle_jiffies(u32::MAX, 2), 0, "also across the wrap");
        assert_eq!(jiffies_to_time(500, 250), 2 * SECOND);
        assert_eq!(jiffies_to_time(86_400 * 1000, 1000), 86_400 * SECOND, "a day at the finest clock");
    }
}
