//! What is known of the members' health, in the maps: each member's record in `ek_backend`, for people, for clients that
//! stick to a member, and for the next process. The XDP program picks others by the slots of their pool.
//!
//! [`HEALTH_DOWN`] without a reason means that nothing is known yet.

use nix::time::{ClockId, clock_gettime};
use xdp_ebpf::{
    abi::{Backend, BackendIndex, HEALTH_DOWN, HEALTH_UNCHECKED, HEALTH_UP, ON_DOWN_RESET, Pool},
    shared::Shared,
};

use super::tables::Tables;
use crate::{
    engine::standings::{MemberHealth, State},
    health::{failure::Failure, judge::Verdict},
};

/// Writes what is known of a member into its record; `now` is in seconds, as [`now`] has it.
pub fn write(record: &Shared<'_, Backend>, health: MemberHealth, now: u32) {
    if read(record) == health {
        return;
    }
    record.health_since().set(now);
    let (reason, detail) = health.last_failure.map_or((0, 0), Failure::numbers);
    record.reason().set(reason);
    record.detail().set(detail);
    record.health().set(match health.state {
        State::Unchecked => HEALTH_UNCHECKED,
        State::Known(Verdict::Up) => HEALTH_UP,
        State::Unknown | State::Known(Verdict::Down) => HEALTH_DOWN,
    });
}

/// Seconds since the host's start.
pub fn now() -> u32 {
    // There is this clock, so it can be read.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| time.tv_sec() as u32)
}

/// For how many seconds a member has been well again, if it has failed before.
pub fn well_for(record: &Shared<'_, Backend>, now: u32) -> Option<u64> {
    let health = read(record);
    let is_over = health.last_failure.is_some() && health.state == State::Known(Verdict::Up);
    is_over.then(|| now.saturating_sub(record.health_since().get()).into())
}

/// What a member's record says.
pub fn read(record: &Shared<'_, Backend>) -> MemberHealth {
    let last_failure = Failure::from_numbers(record.reason().get(), record.detail().get());
    let state = match record.health().get() {
        HEALTH_UP => State::Known(Verdict::Up),
        HEALTH_DOWN if last_failure.is_none() => State::Unknown,
        HEALTH_DOWN => State::Known(Verdict::Down),
        _ => State::Unchecked,
    };
    MemberHealth { state, last_failure }
}

/// Members that are down while their pool has others for new sessions, by index in `ek_backend`.
pub fn abandoned(
    tables: &Tables,
    members: impl Iterator<Item = BackendIndex>,
) -> impl Iterator<Item = BackendIndex> {
    of_which(tables, members, |health, pool| {
        health.taken_for() == Some(Verdict::Down) && Pool::parts_of(pool.block().get()).1 > 0
    })
}

/// Members that are down, of pools whose sessions then end, by index in `ek_backend`.
pub fn resetting(
    tables: &Tables,
    members: impl Iterator<Item = BackendIndex>,
) -> impl Iterator<Item = BackendIndex> {
    of_which(tables, members, |health, pool| {
        health.state == State::Known(Verdict::Down) && pool.on_down().get() == ON_DOWN_RESET
    })
}

/// Members of which, by what is known of them and by their pool's record, this is true.
fn of_which(
    tables: &Tables,
    members: impl Iterator<Item = BackendIndex>,
    is_so: impl Fn(MemberHealth, Shared<'_, Pool>) -> bool,
) -> impl Iterator<Item = BackendIndex> {
    members.filter(move |&index| {
        let Some(record) = tables.backend.get(index) else { return false };
        tables.pool.get(record.pool().get()).is_some_and(|pool| is_so(read(&record), pool))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::memory::Mapping;

    #[test]
    fn a_record_remembers_what_is_known() {
        let memory = Mapping::<Backend>::of_zeros(1);
        let record = memory.get(0).unwrap();
        let failed = Some(Failure::WrongCode(503));
        for health in [
            MemberHealth::UNCHECKED,
            MemberHealth::UNKNOWN,
            MemberHealth { state: State::Known(Verdict::Up), last_failure: None },
            MemberHealth { state: State::Known(Verdict::Up), last_failure: Some(Failure::Timeout) },
            MemberHealth { state: State::Known(Verdict::Down), last_failure: failed },
        ] {
            write(&record, health, 0);
            assert_eq!(read(&record), health);
        }
    }

    #[test]
    fn since_when_it_is_well_is_since_its_last_change() {
        let memory = Mapping::<Backend>::of_zeros(1);
        let record = memory.get(0).unwrap();
        let failed = Some(Failure::Timeout);
        let health = |verdict, last_failure| MemberHealth { state: State::Known(verdict), last_failure };
        for (at, health, expected) in [
            (100, health(Verdict::Up, None), None),
            (110, health(Verdict::Down, failed), None),
            (120, health(Verdict::Up, failed), Some(80)),
            // The next process writes what it has read.
            (130, health(Verdict::Up, failed), Some(80)),
            (140, health(Verdict::Up, Some(Failure::Refused)), Some(60)),
        ] {
            write(&record, health, at);
            assert_eq!(well_for(&record, 200), expected, "{at}");
        }
    }
}
