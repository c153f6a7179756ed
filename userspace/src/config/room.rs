//! How much of the data path's maps a file may fill: half. What a change brings is in the maps beside what it takes the
//! place of, which goes when no packet and no session can refer to it any more.

use xdp_ebpf::abi::{MAX_ACCESS, MAX_BACKENDS, MAX_LISTENERS, MAX_POOLS, MAX_SLOTS};

use super::document::Table;

/// A map's room for what a file makes many of.
pub(super) struct Room {
    taken: u64,
    most: u64,
    what: &'static str,
}

impl Room {
    /// In a map of `capacity` entries, for `what`.
    fn new(capacity: u32, what: &'static str) -> Self {
        Self { taken: 0, most: u64::from(capacity / 2), what }
    }

    /// In `ek_listener`.
    pub(super) fn for_listeners() -> Self {
        Self::new(MAX_LISTENERS, "listeners, one for each VIP")
    }

    /// In `ek_access`.
    pub(super) fn for_networks() -> Self {
        Self::new(MAX_ACCESS, "networks in access lists, counted for each VIP")
    }

    /// In `ek_pool`.
    pub(super) fn for_pools() -> Self {
        Self::new(MAX_POOLS, "pools")
    }

    /// In `ek_backend`.
    pub(super) fn for_members() -> Self {
        Self::new(MAX_BACKENDS, "members in all pools")
    }

    /// In `ek_slot`.
    pub(super) fn for_slots() -> Self {
        let what = "slots in all pools (a pool has its weights' sum, divided by what divides them all; by source hash, \
                    16381 or 65521)";
        Self::new(MAX_SLOTS, what)
    }

    /// Takes room for `more`; reports the first table that is too much with those before it.
    pub(super) fn take(&mut self, table: &Table<'_>, more: u64) {
        let Self { taken, most, what } = self;
        let had_room = *taken <= *most;
        *taken += more;
        if had_room && *taken > *most {
            table.refuse(format!(
                "makes {taken} {what}; there is room for {most}, and for as many more while they change"
            ));
        }
    }
}
