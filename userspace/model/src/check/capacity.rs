//! Whether the data path has room for all objects, and for changes of them.

use super::{At, Check, pools::slots_of};
use crate::object::{Objects, Pool};

/// What is counted of one kind.
struct Usage {
    taken: u64,
    most: u64,
    what: &'static str,
}

impl Usage {
    const fn new(most: u64, what: &'static str) -> Self {
        Self { taken: 0, most, what }
    }

    /// Takes room for `more`; whether this is what is too much with those before it.
    fn is_full_with(&mut self, more: u64) -> bool {
        let had_room = self.taken <= self.most;
        self.taken += more;
        had_room && self.taken > self.most
    }
}

/// What a pool takes.
#[derive(Clone, Copy, Default)]
struct Taken {
    pools: u64,
    members: u64,
    slots: u64,
}

impl Check<'_> {
    pub(super) fn capacity(&mut self) {
        if self.have_pools_grown() {
            self.room_for_pools();
        }
        let changed = self.difference;
        let is_same = changed.load_balancers.is_empty()
            && changed.listeners.is_empty()
            && changed.access_lists.is_empty();
        if !is_same {
            self.room_for_listeners();
        }
    }

    /// Whether pools take more than before, when there was room for all: so one weight that falls, or one object that
    /// goes, does not look at all others.
    fn have_pools_grown(&self) -> bool {
        let sum = |objects: &Objects| {
            self.pools.iter().fold(Taken::default(), |sum, &(id, _)| {
                let taken = objects.pools.get(&id).and_then(|pool| self.taken(objects, pool));
                let taken = taken.unwrap_or_default();
                Taken {
                    pools: sum.pools + taken.pools,
                    members: sum.members + taken.members,
                    slots: sum.slots + taken.slots,
                }
            })
        };
        let (old, new) = (sum(self.before), sum(self.objects));
        new.pools > old.pools || new.members > old.members || new.slots > old.slots
    }

    /// Nothing if the pool itself is too much, which is told already.
    fn taken(&self, objects: &Objects, pool: &Pool) -> Option<Taken> {
        let group = objects.server_groups.get(&pool.server_group)?;
        let slots = slots_of(pool, group);
        let taken = Taken { pools: 1, members: group.members.len() as u64, slots };
        (slots <= self.surroundings.capacity.pool_slots).then_some(taken)
    }

    fn room_for_pools(&mut self) {
        let objects = self.objects;
        let capacity = self.surroundings.capacity;
        let mut pools = Usage::new(capacity.pools, "pools");
        let mut members = Usage::new(capacity.members, "members in all pools");
        let mut slots = Usage::new(
            capacity.slots,
            "slots in all pools (a pool has its weights' sum, divided by what divides them all; by source hash, \
             16381 or 65521)",
        );
        for (id, pool) in self.in_order(&objects.pools) {
            let Some(taken) = self.taken(objects, pool) else { continue };
            let at = At::object(id);
            self.take(&mut pools, at, taken.pools);
            self.take(&mut members, at, taken.members);
            self.take(&mut slots, at, taken.slots);
        }
    }

    fn room_for_listeners(&mut self) {
        let objects = self.objects;
        let capacity = self.surroundings.capacity;
        let mut listeners = Usage::new(capacity.listeners, "listeners, one for each VIP");
        let mut networks = Usage::new(capacity.networks, "networks in access lists, counted for each VIP");
        for (id, listener) in self.in_order(&objects.listeners) {
            let Some(load_balancer) = objects.load_balancers.get(&listener.load_balancer) else { continue };
            let vips = load_balancer.vips.len() as u64;
            self.take(&mut listeners, At::object(id), vips);
            let list = listener.access_list.and_then(|list| objects.access_lists.get(&list));
            let listed = list.map_or(0, |list| list.access.networks() as u64);
            // And an entry for all of IPv4, where IPv6's would include that.
            let entries = if listed == 0 { 0 } else { listed + 1 };
            self.take(&mut networks, At::object(id), vips * entries);
        }
    }

    fn take(&mut self, usage: &mut Usage, at: At, more: u64) {
        if usage.is_full_with(more) {
            let Usage { taken, most, what } = usage;
            self.add(
                at,
                format!("makes {taken} {what}"),
                format!("there is room for {most}, and for as many more while they change"),
            );
        }
    }
}
