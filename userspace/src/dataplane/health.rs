//! What the health checker finds out, into the maps: each member's standing into `ek_backend`, and out of its pool's
//! slots or back into them. All news of a moment cost one new block of slots per pool.
//!
//! A member's record is also where its next checker starts from. [`HEALTH_UNCHECKED`], and [`HEALTH_DOWN`] without a
//! reason, mean that the first answer decides.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use anyhow::{Context, Result};
use xdp_ebpf::{
    abi::{Backend, HEALTH_DOWN, HEALTH_UNCHECKED, HEALTH_UP, Pool},
    shared::Shared,
};

use super::{apply::Applier, tables::Tables};
use crate::health::{
    check,
    checker::{Checker, Target},
    failure::Failure,
    judge::{Standing, Verdict},
};

/// The checker and the members that it checks.
pub struct Health {
    checker: Checker,
    /// `ek_backend` indexes by what is asked about them.
    members: HashMap<Target, Vec<u32>>,
    /// `ek_pool` indexes of pools whose slots do not follow their members' health yet.
    stale: BTreeSet<u32>,
}

impl Health {
    /// Checks nothing yet.
    pub fn new(checker: Checker) -> Self {
        Self { checker, members: HashMap::new(), stale: BTreeSet::new() }
    }

    /// Checks the members of the registry's model from now on.
    ///
    /// # Errors
    /// A table is full or cannot be written.
    pub fn follow(&mut self, applier: &mut Applier) -> Result<()> {
        self.members = targets(applier);
        let start = |members: &Vec<u32>| {
            let standings =
                members.iter().filter_map(|&index| Some(standing(&applier.tables.backend.get(index)?)));
            standings.max_by_key(|standing| standing.verdict.is_some()).unwrap_or_default()
        };
        self.checker
            .follow(self.members.iter().map(|(target, members)| (target.clone(), start(members))).collect());
        let all: Vec<_> = self.members.keys().cloned().collect();
        self.note(applier, &all)
    }

    /// Whether the maps have a verdict about every member that is checked.
    pub fn knows_all(&self, applier: &Applier) -> bool {
        let mut members =
            self.members.values().flatten().filter_map(|&index| applier.tables.backend.get(index));
        members.all(|record| standing(&record).verdict.is_some())
    }

    /// What a pool's member is taken for; `None` too if it is not there.
    pub fn verdict(&self, applier: &Applier, pool: &str, member: SocketAddr) -> Option<Verdict> {
        let registry = &applier.registry;
        let index =
            registry.pools.get(&pool.to_owned()).and_then(|pool| registry.backends.get(&(pool, member)));
        index.and_then(|index| applier.tables.backend.get(index)).and_then(|record| taken_for(&record))
    }

    /// Members that are down while their pool has others for new sessions, by index in `ek_backend`.
    pub fn abandoned(tables: &Tables, members: impl Iterator<Item = u32>) -> impl Iterator<Item = u16> {
        members
            .filter(|&index| {
                let Some(record) = tables.backend.get(index) else { return false };
                let pool = tables.pool.get(record.pool().get().into());
                taken_for(&record) == Some(Verdict::Down)
                    && pool.is_some_and(|pool| Pool::parts_of(pool.block().get()).1 > 0)
            })
            .map(|index| index as u16)
    }

    /// Follows the standings of these targets.
    ///
    /// # Errors
    /// A table is full or cannot be written.
    pub fn note(&mut self, applier: &mut Applier, targets: &[Target]) -> Result<()> {
        for target in targets {
            let members = self.members.get(target).map_or(&[][..], Vec::as_slice);
            let standing = self.checker.standing(target).unwrap_or_default();
            let Some(verdict) = standing.verdict else { continue };
            for &index in members {
                let record = applier.tables.backend.get(index).context("ek_backend")?;
                if taken_for(&record) != Some(verdict) {
                    self.stale.insert(record.snapshot().pool.into());
                }
                put(&record, verdict, standing.last_failure);
            }
        }
        self.refill(applier)
    }

    /// Gives pools new slots that need them.
    ///
    /// # Errors
    /// There is no room for new slots; those pools wait for the next call.
    pub fn refill(&mut self, applier: &mut Applier) -> Result<()> {
        let mut refilled = Ok(());
        let pools = &applier.registry.pools;
        let stale =
            applier.registry.model.pools.keys().filter_map(|name| Some((pools.get(name)?, name.clone())));
        for (index, name) in stale.filter(|(index, _)| self.stale.contains(index)).collect::<Vec<_>>() {
            match applier.refill(index, &name) {
                Ok(()) => {
                    self.stale.remove(&index);
                }
                Err(error) => refilled = Err(error),
            }
        }
        refilled
    }
}

/// Gives the record of a member the health that its pool's new check or lack of one leaves it: nothing is known of a
/// new member (down) or of one that another question was asked before; whoever is no longer checked is well.
pub fn begin(
    record: &Shared<'_, Backend>,
    is_new: bool,
    old: Option<&check::Health>,
    new: Option<&check::Health>,
) {
    let question = |health: &check::Health| (health.probe.clone(), health.port);
    let other_question = old.map(question).is_some_and(|old| Some(old) != new.map(question));
    let health = match new {
        None => HEALTH_UNCHECKED,
        Some(_) if is_new || (other_question && taken_for(record) != Some(Verdict::Up)) => HEALTH_DOWN,
        Some(_) if other_question => HEALTH_UNCHECKED,
        Some(_) => return,
    };
    record.health().set(health);
    record.reason().set(0);
    record.detail().set(0);
}

/// What a member is taken for: one that is not checked is well. `None` if nothing is known of it yet: it takes new
/// sessions only while nobody of its pool is known to be well.
pub fn taken_for(record: &Shared<'_, Backend>) -> Option<Verdict> {
    match record.health().get() {
        HEALTH_DOWN if record.reason().get() == 0 => None,
        HEALTH_DOWN => Some(Verdict::Down),
        _ => Some(Verdict::Up),
    }
}

fn put(record: &Shared<'_, Backend>, verdict: Verdict, failure: Option<Failure>) {
    let (reason, detail) = failure.map_or((0, 0), Failure::numbers);
    record.reason().set(reason);
    record.detail().set(detail);
    record.health().set(match verdict {
        Verdict::Up => HEALTH_UP,
        Verdict::Down => HEALTH_DOWN,
    });
}

/// What a member's record says.
fn standing(record: &Shared<'_, Backend>) -> Standing {
    let last_failure = Failure::from_numbers(record.reason().get(), record.detail().get());
    let verdict = match record.health().get() {
        HEALTH_UP => Some(Verdict::Up),
        HEALTH_UNCHECKED => None,
        _ => taken_for(record),
    };
    Standing { verdict, last_failure }
}

/// Whom to ask about which members.
fn targets(applier: &Applier) -> HashMap<Target, Vec<u32>> {
    let registry = &applier.registry;
    let mut targets = HashMap::<Target, Vec<u32>>::new();
    for (name, pool) in &registry.model.pools {
        let (Some(health), Some(of)) = (&pool.health, registry.pools.get(name)) else { continue };
        let health = Arc::new(health.clone());
        for &member in pool.members.keys() {
            let Some(index) = registry.backends.get(&(of, member)) else { continue };
            let mut address = member;
            address.set_port(health.port.unwrap_or(address.port()));
            targets.entry(Target { address, health: health.clone() }).or_default().push(index);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{dataplane::memory::Mapping, health::check::Probe};

    fn check(probe: Probe, seconds: u64) -> check::Health {
        let second = Duration::from_secs(1);
        check::Health { probe, port: None, interval: second * seconds as u32, timeout: second, retries: 3 }
    }

    #[test]
    fn a_record_remembers_a_standing() {
        let memory = Mapping::<Backend>::of_zeros(1);
        let record = memory.get(0).unwrap();
        for (verdict, failure) in [
            (Verdict::Up, None),
            (Verdict::Up, Some(Failure::Timeout)),
            (Verdict::Down, Some(Failure::WrongCode(503))),
        ] {
            put(&record, verdict, failure);
            assert_eq!(standing(&record), Standing { verdict: Some(verdict), last_failure: failure });
        }
    }

    #[test]
    fn what_is_known_outlives_all_but_another_question() {
        let (tcp, slower, udp) = (check(Probe::Tcp, 5), check(Probe::Tcp, 9), check(Probe::Udp, 5));
        let elsewhere = check::Health { port: Some(9), ..tcp.clone() };
        let failure = Some(Failure::Refused);
        let (up, down) = (Some(Verdict::Up), Some(Verdict::Down));
        let known = |verdict| (verdict, failure);
        let nothing = (None, None);
        // Old check, new check, and for a member that was up and one that was down what is known and what it is taken
        // for.
        for (old, new, was_up, was_down) in [
            (Some(&tcp), Some(&tcp), (known(up), up), (known(down), down)),
            (Some(&tcp), Some(&slower), (known(up), up), (known(down), down)),
            (None, Some(&tcp), (known(up), up), (known(down), down)),
            (Some(&tcp), Some(&udp), (nothing, up), (nothing, None)),
            (Some(&tcp), Some(&elsewhere), (nothing, up), (nothing, None)),
            (Some(&tcp), None, (nothing, up), (nothing, up)),
            (None, None, (nothing, up), (nothing, up)),
        ] {
            for (verdict, expected) in [(Verdict::Up, was_up), (Verdict::Down, was_down)] {
                let memory = Mapping::<Backend>::of_zeros(1);
                let record = memory.get(0).unwrap();
                put(&record, verdict, failure);
                begin(&record, false, old, new);
                let Standing { verdict: now, last_failure } = standing(&record);
                assert_eq!(
                    ((now, last_failure), taken_for(&record)),
                    expected,
                    "{old:?} → {new:?}, {verdict:?}"
                );
                begin(&record, true, old, new);
                assert_eq!(
                    (standing(&record).verdict, taken_for(&record)),
                    (None, if new.is_some() { None } else { up }),
                    "a new member"
                );
            }
        }
    }
}
