//! Until when sessions may stay with a member that takes no more: it was removed, or has weight 0. The moment stands
//! in the member's record, so that a new process keeps it. Next: `sweep`, which ends them.

use std::collections::HashSet;

use xdp_ebpf::abi::{Backend, ENTRY_ACTIVE, ENTRY_FREE};

use super::memory::Mapping;

/// Notes at which moment the sessions of each of these members end, and returns those whose moment has come. `now` is
/// the low 32 bits of jiffies, `hz` jiffies per second.
pub fn due(
    backends: &Mapping<Backend>,
    indexes: impl Iterator<Item = u32>,
    now: u32,
    hz: u32,
) -> HashSet<u16> {
    indexes
        .filter(|&index| {
            let Some(record) = backends.get(index) else { return false };
            let takes_more = record.state().get() == ENTRY_ACTIVE && record.weight().get() > 0;
            let timeout = record.drain_timeout().get();
            if takes_more || timeout == 0 || record.state().get() == ENTRY_FREE {
                record.drain_until().set(0);
                return false;
            }
            if record.drain_until().get() == 0 {
                // Zero means that there is none.
                record.drain_until().set(now.wrapping_add(timeout.saturating_mul(hz)).max(1));
            }
            now.wrapping_sub(record.drain_until().get()).cast_signed() >= 0
        })
        .map(|index| index as u16)
        .collect()
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::abi::ENTRY_REMOVED;

    use super::*;

    const HZ: u32 = 250;

    #[test]
    fn a_member_is_due_so_long_after_it_took_its_last() {
        let backends = Mapping::<Backend>::of_zeros(4);
        let record = |index: u32| backends.get(index).unwrap();
        for (index, weight, state, drain_timeout) in [
            (0, 1, ENTRY_ACTIVE, 10),
            (1, 0, ENTRY_ACTIVE, 10),
            (2, 0, ENTRY_REMOVED, 20),
            (3, 0, ENTRY_REMOVED, 0),
        ] {
            record(index).write(Backend { weight, state, drain_timeout, ..Backend::default() });
        }
        // The clock wraps meanwhile.
        let start = u32::MAX - 15 * HZ;
        let at = |seconds: u32| {
            let mut due: Vec<u16> =
                due(&backends, 0..4, start.wrapping_add(seconds * HZ), HZ).into_iter().collect();
            due.sort_unstable();
            due
        };
        assert_eq!((at(0), at(9)), (vec![], vec![]));
        assert_eq!(at(10), [1]);
        assert_eq!(at(20), [1, 2]);
        record(1).weight().set(3);
        assert_eq!(at(21), [2]);
        record(1).weight().set(0);
        assert_eq!(at(30), [2], "it begins anew");
        assert_eq!(at(40), [1, 2]);
    }
}
