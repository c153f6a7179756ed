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

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Keep,
    /// It ends.
    Expire,
    /// It ends, and both of its ends are told, because they believe that it is open.
    ExpireWithResets,
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

/// Decides about a session in `state` that has been idle in both directions for `idle`; `established` is its
/// listener's idle timeout.
pub fn decide(
    protocol: Protocol,
    state: State,
    idle: Duration,
    established: Duration,
    timeouts: &Timeouts,
) -> Decision {
    let limit = match state {
        State::Established => established,
        _ => rest(protocol, state, timeouts).duration(),
    };
    match (idle < limit, protocol, state) {
        (true, ..) => Decision::Keep,
        (false, Protocol::Tcp, State::Established) => Decision::ExpireWithResets,
        (false, ..) => Decision::Expire,
    }
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

    #[test]
    fn every_state_ends_at_its_own_timeout() {
        let of = |protocol, state, seconds: u32| {
            let short = seconds * SECOND - Duration::from_millis(4);
            let last = decide(protocol, state, short, 90 * SECOND, &timeouts());
            (last, decide(protocol, state, seconds * SECOND, 90 * SECOND, &timeouts()))
        };
        let at = |state, seconds| of(Protocol::Tcp, state, seconds);
        let quiet = (Decision::Keep, Decision::Expire);
        assert_eq!(at(State::SynSent, 2), quiet);
        assert_eq!(at(State::SynRecv, 2), quiet);
        assert_eq!(at(State::SynAck, 2), quiet);
        assert_eq!(at(State::FinWait, 3), quiet);
        assert_eq!(at(State::TimeWait, 4), quiet);
        assert_eq!(at(State::Close, 5), quiet);
        assert_eq!(at(State::CloseWait, 6), quiet);
        assert_eq!(at(State::LastAck, 7), quiet);
        assert_eq!(at(State::Established, 90), (Decision::Keep, Decision::ExpireWithResets));
        assert_eq!(of(Protocol::Udp, State::None, 8), quiet);
        assert_eq!(of(Protocol::Udp, State::Established, 90), quiet, "nobody to reset");
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
