//! Which member gets a new session.
//!
//! Userspace has left only members in a pool's slots that are healthy and have weight, so nothing here looks at
//! health, but for a client that comes back to its own member.

use crate::{
    abi::{
        ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_SOURCE_HASH, Backend, BackendIndex, Config, ENTRY_ACTIVE,
        HEALTH_DOWN, MAX_BACKENDS, MAX_LEAST_MEMBERS, Pool, PoolIndex, Sticky, StickyKey, source_slot,
    },
    address::MappedAddress,
    packet::Packet,
    ports,
    shared::Shared,
    tables::Tables,
    verdict::Event,
};

/// How many members are looked at, one after the other, until one has a free local port.
const MEMBERS_TRIED: u32 = 16;
/// No backend's index.
const NOBODY: u32 = MAX_BACKENDS;

/// This stage's function that the kernel verifies once and apart, for clients of both families.
pub trait OutOfLine: Packet + Sized {
    /// [`pick`], of members with a local port ([`ports::has_any`]).
    ///
    /// # Errors
    /// As there.
    fn schedule<T: Tables>(
        &self,
        tables: &T,
        pool: PoolIndex,
        source: MappedAddress,
        spread: u32,
    ) -> Result<BackendIndex, Event> {
        pick(tables, pool, source, |member| ports::has_any(tables, member, spread) == Some(true))
    }
}

/// Picks the backend for a client's new session; `source` is the client's address. A member for which `has_port` says
/// that no local port is left is passed over.
///
/// # Errors
/// [`Event::DropNoMember`] if the pool has nobody to pick, [`Event::DropNoPort`] if none of those that were looked at
/// has a port.
#[inline(always)]
pub fn pick<T: Tables>(
    tables: &T,
    pool_index: PoolIndex,
    source: MappedAddress,
    has_port: impl Fn(BackendIndex) -> bool,
) -> Result<BackendIndex, Event> {
    let config = tables.config().ok_or(Event::DropInternal)?;
    let pool = tables.pool(pool_index).ok_or(Event::DropInternal)?;
    let (base, count, algorithm) = Pool::parts_of(pool.block().get());
    if count == 0 {
        return Err(Event::DropNoMember);
    }
    let of = |position: u32| tables.slot(base.plus(position)).map(|slot| BackendIndex::from(slot.backend));
    match algorithm {
        ALGORITHM_SOURCE_HASH => {
            let first = source_slot(source, count);
            // What lies behind a client's own slot is another client's, and so spread as these are.
            first_with_port(tables, &has_port, |step| of((first + step).checked_rem(count)?))
        }
        ALGORITHM_LEAST_CONNECTIONS => first_with_port(tables, &has_port, |step| {
            let fits = |member| step == 0 || has_port(member);
            if step > 1 { None } else { least_loaded(tables, pool_index, pool, fits) }
        }),
        _ => {
            let key = StickyKey { pool: pool_index, reserved: 0, source };
            let stay = Stay { key, seconds: pool.sticky().get() };
            if let Some(member) = stay.member(tables, config)
                && has_port(member)
            {
                stay.stick(tables, member);
                return Ok(member);
            }
            let member = first_with_port(tables, &has_port, |_| of(turn(tables, pool_index, count)?))?;
            stay.stick(tables, member);
            Ok(member)
        }
    }
}

/// The first of the members that `member` names step by step which has a free local port. It names one for the first step.
#[inline(always)]
fn first_with_port<T: Tables>(
    tables: &T,
    has_port: &impl Fn(BackendIndex) -> bool,
    member: impl Fn(u32) -> Option<BackendIndex>,
) -> Result<BackendIndex, Event> {
    for step in 0..MEMBERS_TRIED {
        let Some(member) = member(step) else { break };
        if has_port(member) {
            if step > 0 {
                tables.count(Event::MemberPassedOver);
            }
            return Ok(member);
        }
    }
    Err(Event::DropNoPort)
}

/// The next position of the pool's cursor, below `count`: one atomic addition, so that it is exact over all CPUs
/// together.
#[inline(always)]
fn turn<T: Tables>(tables: &T, pool: PoolIndex, count: u32) -> Option<u32> {
    let picks = tables.cursor(pool)?.value().add(1);
    Some(picks.checked_rem(count.into())? as u32)
}

/// The member of this pool with the fewest connections for its weight among those that fit. Where the look begins takes
/// turns, so that members that are level do.
///
/// It reads the pool's block itself: the verifier would follow a second look for every number of members that the first
/// one may have ended at.
#[inline(always)]
fn least_loaded<T: Tables>(
    tables: &T,
    pool_index: PoolIndex,
    pool: Shared<'_, Pool>,
    fits: impl Fn(BackendIndex) -> bool,
) -> Option<BackendIndex> {
    let (base, count, _) = Pool::parts_of(pool.block().get());
    let first = turn(tables, pool_index, count)?;
    // More than any load for its weight, and nobody's.
    let (mut best, mut best_load, mut best_weight) = (NOBODY, 1, 0);
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
        if load * best_weight < best_load * weight && fits(slot.backend.into()) {
            (best, best_load, best_weight) = (slot.backend.index.into(), load, weight);
        }
    }
    (best != NOBODY).then_some(BackendIndex::new(best))
}

/// A client that stays with its member, if the pool's clients do.
struct Stay {
    key: StickyKey,
    /// For so long after its last new connection; 0: it does not.
    seconds: u32,
}

impl Stay {
    /// The client's own member, if it still takes connections.
    #[inline(always)]
    fn member<T: Tables>(&self, tables: &T, config: &Config) -> Option<BackendIndex> {
        if self.seconds == 0 {
            return None;
        }
        let kept = tables.sticky(&self.key)?;
        let stays = tables.now().wrapping_sub(kept.last_opened)
            < self.seconds.saturating_mul(config.jiffies_hz)
            && tables.backend(kept.backend).is_some_and(|backend| takes_more(backend, self.key.pool));
        stays.then_some(kept.backend)
    }

    /// Has the client stay with this member from now on.
    #[inline(always)]
    fn stick<T: Tables>(&self, tables: &T, backend: BackendIndex) {
        if self.seconds > 0 {
            tables.stick(&self.key, &Sticky { backend, last_opened: tables.now() });
        }
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
