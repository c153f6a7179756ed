//! Which member gets a new session.
//!
//! Userspace has left only members in a pool's slots that are healthy and have weight, so nothing here looks at
//! health, but for a client that comes back to its own member.

use crate::{
    abi::{
        ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_SOURCE_HASH, Backend, BackendIndex, Config, ENTRY_ACTIVE,
        HEALTH_DOWN, MAX_LEAST_MEMBERS, Pool, PoolIndex, Slot, SlotIndex, Sticky, StickyKey, source_slot,
    },
    address::MappedAddress,
    tables::Tables,
    verdict::Event,
};

/// Picks the backend for a client's new session; `source` is the client's address.
///
/// # Errors
/// [`Event::DropNoMember`] if the pool has nobody to pick.
#[inline(always)]
pub fn pick<T: Tables>(
    tables: &T,
    config: &Config,
    pool_index: PoolIndex,
    source: MappedAddress,
) -> Result<BackendIndex, Event> {
    let pool = tables.pool(pool_index).ok_or(Event::DropInternal)?;
    let (base, count, algorithm) = Pool::parts_of(pool.block().get());
    if count == 0 {
        return Err(Event::DropNoMember);
    }
    let of = |slot: SlotIndex| tables.slot(slot).map(|slot| BackendIndex::from(slot.backend));
    let backend = match algorithm {
        ALGORITHM_SOURCE_HASH => of(base.plus(source_slot(source, count))),
        ALGORITHM_LEAST_CONNECTIONS => least_loaded(tables, base, count, turn(tables, pool_index, count)?),
        _ => {
            let sticky = pool.sticky().get();
            if sticky > 0 {
                let stay = Stay { key: StickyKey { pool: pool_index, reserved: 0, source }, seconds: sticky };
                let other = || of(base.plus(turn(tables, pool_index, count)?)).ok_or(Event::DropInternal);
                return stay.pick(tables, config, other);
            }
            of(base.plus(turn(tables, pool_index, count)?))
        }
    };
    backend.ok_or(Event::DropInternal)
}

/// The next position of the pool's cursor, below `count`: one atomic addition, so that it is exact over all CPUs
/// together.
#[inline(always)]
fn turn<T: Tables>(tables: &T, pool: PoolIndex, count: u32) -> Result<u32, Event> {
    let picks = tables.cursor(pool).ok_or(Event::DropInternal)?.value().add(1);
    Ok((picks % u64::from(count)) as u32)
}

/// The member with the fewest connections for its weight, among the `count` from `base` on. The look
/// begins at `first`, so that members that are level take turns.
#[inline(always)]
fn least_loaded<T: Tables>(tables: &T, base: SlotIndex, count: u32, first: u32) -> Option<BackendIndex> {
    let mut best: Option<(Slot, u64, u64)> = None;
    for step in 0..MAX_LEAST_MEMBERS {
        if step >= count {
            break;
        }
        let position = first + step;
        let position = if position >= count { position - count } else { position };
        let slot = tables.slot(base.plus(position))?;
        let (load, weight) =
            (u64::from(tables.load(slot.backend.into())?.value().get()), u64::from(slot.weight));
        // load / weight < best's, without dividing.
        if best.is_none_or(|(_, best_load, best_weight)| load * best_weight < best_load * weight) {
            best = Some((slot, load, weight));
        }
    }
    best.map(|(slot, ..)| slot.backend.into())
}

/// A client that stays with its member.
struct Stay {
    key: StickyKey,
    seconds: u32,
}

impl Stay {
    /// The client's own member if it still takes connections, or else what `other` picks, from now on.
    #[inline(always)]
    fn pick<T: Tables>(
        &self,
        tables: &T,
        config: &Config,
        other: impl FnOnce() -> Result<BackendIndex, Event>,
    ) -> Result<BackendIndex, Event> {
        let now = tables.now();
        let stays = |kept: &Sticky| {
            now.wrapping_sub(kept.last_opened) < self.seconds.saturating_mul(config.jiffies_hz)
                && tables.backend(kept.backend).is_some_and(|backend| takes_more(backend, self.key.pool))
        };
        let backend = match tables.sticky(&self.key) {
            Some(kept) if stays(&kept) => kept.backend,
            _ => other()?,
        };
        tables.stick(&self.key, &Sticky { backend, last_opened: now });
        Ok(backend)
    }
}

/// Whether the index is still a member of this pool, and takes new connections.
#[inline(always)]
fn takes_more(backend: &Backend, pool: PoolIndex) -> bool {
    backend.pool == pool
        && backend.state == ENTRY_ACTIVE
        && backend.weight > 0
        && backend.health != HEALTH_DOWN
}
