//! How long sessions may stay with a member that takes no more: it was removed, or has weight 0. Since when stands in
//! the member's record, so that a new process goes on from there. Next: `sweep`, which ends them.

use std::collections::HashSet;

use xdp_ebpf::abi::{Backend, BackendIndex, ENTRY_ACTIVE, Pool, PoolIndex};

use super::{expiry::idle_jiffies, memory::Mapping};

/// Notes since when each of these members (indexes in `ek_backend`) takes no more, and returns those whose pool lets
/// sessions stay no longer. `now` is the low 32 bits of jiffies, `hz` jiffies per second.
pub fn due(
    (pools, backends): (&Mapping<Pool, PoolIndex>, &Mapping<Backend, BackendIndex>),
    members: impl Iterator<Item = BackendIndex>,
    now: u32,
    hz: u32,
) -> HashSet<BackendIndex> {
    members
        .filter(|&index| {
            let Some(member) = backends.get(index) else { return false };
            if member.state().get() == ENTRY_ACTIVE && member.weight().get() > 0 {
                member.drained_since().set(0);
                return false;
            }
            if member.drained_since().get() == 0 {
                // Zero means that it takes some.
                member.drained_since().set(now.max(1));
            }
            let timeout = pools.get(member.pool().get()).map_or(0, |pool| pool.drain_timeout().get());
            let for_jiffies = idle_jiffies(now, member.drained_since().get());
            timeout > 0 && for_jiffies >= timeout.saturating_mul(hz)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::abi::ENTRY_REMOVED;

    use super::*;

    const HZ: u32 = 250;

    #[test]
    fn a_member_is_due_so_long_after_it_took_its_last() {
        let pools = Mapping::<Pool, _>::of_zeros(3);
        for (index, seconds) in [(0, 10), (1, 20), (2, 0)] {
            pools.get(PoolIndex::new(index)).unwrap().drain_timeout().set(seconds);
        }
        let backends = Mapping::<Backend, _>::of_zeros(4);
        let member = |index: u32| backends.get(BackendIndex::new(index)).unwrap();
        for (index, weight, state, pool) in [
            (0, 1, ENTRY_ACTIVE, 0),
            (1, 0, ENTRY_ACTIVE, 0),
            (2, 0, ENTRY_REMOVED, 1),
            (3, 0, ENTRY_REMOVED, 2),
        ] {
            member(index).write(Backend { weight, state, pool: PoolIndex::new(pool), ..Backend::default() });
        }
        // The clock wraps meanwhile.
        let start = u32::MAX - 15 * HZ;
        let at = |seconds: u32| {
            let now = start.wrapping_add(seconds * HZ);
            let members = (0..4).map(BackendIndex::new);
            let due = due((&pools, &backends), members, now, HZ);
            let mut due: Vec<u32> = due.into_iter().map(u32::from).collect();
            due.sort_unstable();
            due
        };
        assert_eq!((at(0), at(9)), (vec![], vec![]));
        assert_eq!(at(10), [1]);
        assert_eq!(at(20), [1, 2]);
        member(1).weight().set(3);
        assert_eq!(at(21), [2]);
        member(1).weight().set(0);
        assert_eq!(at(30), [2], "it begins anew");
        pools.get(PoolIndex::new(0)).unwrap().drain_timeout().set(5);
        assert_eq!(at(35), [1, 2], "a new timeout holds at once");
    }
}
