//! Whether the data path has room for all objects, and for changes of them.

use super::{At, Check};
use crate::schedule::slots;

/// What is counted of one kind.
struct Room {
    taken: u64,
    most: u64,
    what: &'static str,
}

impl Room {
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

impl Check<'_> {
    pub(super) fn room(&mut self) {
        let objects = self.objects;
        let capacity = self.surroundings.capacity;
        let mut pools = Room::new(capacity.pools, "pools");
        let mut members = Room::new(capacity.members, "members in all pools");
        let mut all_slots = Room::new(
            capacity.slots,
            "slots in all pools (a pool has its weights' sum, divided by what divides them all; by source hash, \
             16381 or 65521)",
        );
        for (id, pool) in self.in_order(&objects.pools) {
            let Some(group) = objects.server_groups.get(&pool.server_group) else { continue };
            let weights: Vec<u16> = group.members.values().map(|member| member.weight.get()).collect();
            let slots = slots(&pool.kind.algorithm(), &weights);
            if slots > capacity.pool_slots {
                continue;
            }
            let at = At::object(id);
            self.take(&mut pools, at, 1);
            self.take(&mut members, at, weights.len() as u64);
            self.take(&mut all_slots, at, slots);
        }
        let mut listeners = Room::new(capacity.listeners, "listeners, one for each VIP");
        let mut networks = Room::new(capacity.networks, "networks in access lists, counted for each VIP");
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

    fn take(&mut self, room: &mut Room, at: At, more: u64) {
        if room.is_full_with(more) {
            let Room { taken, most, what } = room;
            self.add(
                at,
                format!("makes {taken} {what}"),
                format!("there is room for {most}, and for as many more while they change"),
            );
        }
    }
}
