//! Which members are well: what the health checker has found out, for each member of each pool. Pure. Both layers go by
//! it; what the maps say of it is their copy, for the XDP program and for the next process.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use model::{health::Check, object::PoolId, plan::Change, served::Pool};

use crate::health::{
    checker::Target,
    failure::Failure,
    judge::{Standing, Verdict},
};

/// What is known of a member of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberHealth {
    /// How it is.
    pub state: State,
    /// How the last probe failed that did, since then good ones may have gone by.
    pub last_failure: Option<Failure>,
}

/// How a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody checks it, or the question is another one now and it was well before: it counts as well.
    Unchecked,
    /// Its first probe is not over. It takes new connections only while nobody of its pool is known to be well.
    Unknown,
    /// Its probes say so.
    Known(Verdict),
}

impl MemberHealth {
    /// Of a member that nobody checks.
    pub const UNCHECKED: Self = Self { state: State::Unchecked, last_failure: None };
    /// Of a member whose first probe is not over.
    pub const UNKNOWN: Self = Self { state: State::Unknown, last_failure: None };

    /// What it is taken for; `None` while nothing is known.
    pub const fn taken_for(self) -> Option<Verdict> {
        match self.state {
            State::Unchecked => Some(Verdict::Up),
            State::Unknown => None,
            State::Known(verdict) => Some(verdict),
        }
    }

    /// What its checker starts from: without a verdict, the first answer decides.
    pub const fn standing(self) -> Standing {
        let verdict = match self.state {
            State::Unchecked | State::Unknown => None,
            State::Known(verdict) => Some(verdict),
        };
        Standing { verdict, last_failure: self.last_failure }
    }

    /// What its pool's new check, or the lack of one, leaves of what is known. Another question makes it unknown, but one
    /// that was well goes on as such until the first answer.
    fn after(self, old: Option<&Check>, new: Option<&Check>) -> Self {
        let question = |check: &Check| (check.probe.clone(), check.port);
        let is_another = old.map(question).is_some_and(|old| Some(old) != new.map(question));
        match new {
            None => Self::UNCHECKED,
            Some(_) if is_another && self.taken_for() == Some(Verdict::Up) => Self::UNCHECKED,
            Some(_) if is_another => Self::UNKNOWN,
            Some(_) => self,
        }
    }
}

type Members = BTreeMap<SocketAddr, MemberHealth>;

/// What is known of every member that is served.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    pools: BTreeMap<PoolId, Known>,
    /// Which members are asked about by asking a target.
    targets: HashMap<Target, Vec<(PoolId, SocketAddr)>>,
}

/// What is known of the members of one pool.
#[derive(Clone, Debug, Default)]
struct Known {
    /// As it is served; none if only a map of an earlier process says that it is there.
    pool: Option<Arc<Pool>>,
    members: Members,
}

impl Standings {
    /// What an earlier process has left.
    pub fn remembered(members: impl IntoIterator<Item = (PoolId, SocketAddr, MemberHealth)>) -> Self {
        let mut standings = Self::default();
        for (pool, member, health) in members {
            standings.pools.entry(pool).or_default().members.insert(member, health);
        }
        standings
    }

    /// What is known of a member; of one that is not there, nothing.
    pub fn of(&self, pool: PoolId, member: SocketAddr) -> MemberHealth {
        let known = self.pools.get(&pool).and_then(|known| known.members.get(&member));
        known.copied().unwrap_or(MemberHealth::UNKNOWN)
    }

    /// What is known of every member of a pool; nothing if it is not served.
    pub fn members(&self, pool: PoolId) -> impl Iterator<Item = (SocketAddr, MemberHealth)> {
        let known = self.pools.get(&pool);
        known.into_iter().flat_map(|known| &known.members).map(|(&member, &health)| (member, health))
    }

    /// Follows changes of what is served. Returns the targets about which nothing was asked before, with what to start
    /// from, and those that nobody asks about any more.
    pub fn apply(&mut self, changes: &[Change]) -> (Vec<(Target, Standing)>, Vec<Target>) {
        let mut touched = HashSet::new();
        for change in changes {
            match change {
                Change::PutPool(id, pool) => {
                    let old = self.pools.remove(id).unwrap_or_default();
                    self.forget(*id, old.pool.as_deref(), &mut touched);
                    let new = Known { members: after(&old, pool), pool: Some(pool.clone()) };
                    for target in targets(pool) {
                        touched.insert(target.0.clone());
                        self.targets.entry(target.0).or_default().push((*id, target.1));
                    }
                    self.pools.insert(*id, new);
                }
                Change::RemovePool(id) => {
                    if let Some(old) = self.pools.remove(id) {
                        self.forget(*id, old.pool.as_deref(), &mut touched);
                    }
                }
                _ => {}
            }
        }
        let (asked, over): (Vec<_>, Vec<_>) =
            touched.into_iter().partition(|target| self.targets.contains_key(target));
        let start = |target: Target| {
            let standing = self.start(&target);
            self.tell(&target, standing);
            (target, standing)
        };
        (asked.into_iter().map(start).collect(), over)
    }

    /// What is known of one member holds for those of other pools, too, that are asked the same and of which nothing is
    /// known: the checker tells only what is new.
    fn tell(&mut self, target: &Target, standing: Standing) {
        let Some(verdict) = standing.verdict else { return };
        let health = MemberHealth { state: State::Known(verdict), last_failure: standing.last_failure };
        for &(pool, member) in self.targets.get(target).into_iter().flatten() {
            let known = self.pools.get_mut(&pool).and_then(|known| known.members.get_mut(&member));
            if let Some(known) = known.filter(|known| known.standing().verdict.is_none()) {
                *known = health;
            }
        }
    }

    /// What the checker of a target starts from: what is known of any of its members.
    fn start(&self, target: &Target) -> Standing {
        let members = self.targets.get(target).into_iter().flatten();
        let standings = members.map(|&(pool, member)| self.of(pool, member).standing());
        standings.max_by_key(|standing| standing.verdict.is_some()).unwrap_or_default()
    }

    fn forget(&mut self, id: PoolId, pool: Option<&Pool>, touched: &mut HashSet<Target>) {
        for (target, member) in pool.into_iter().flat_map(targets) {
            if let Some(members) = self.targets.get_mut(&target) {
                members.retain(|&other| other != (id, member));
                if members.is_empty() {
                    self.targets.remove(&target);
                }
            }
            touched.insert(target);
        }
    }

    /// Takes what the checker has found out about a target. Returns the members of which something else is known now.
    pub fn note(&mut self, target: &Target, standing: Standing) -> Vec<(PoolId, SocketAddr)> {
        let Some(verdict) = standing.verdict else { return Vec::new() };
        let health = MemberHealth { state: State::Known(verdict), last_failure: standing.last_failure };
        let mut changed = Vec::new();
        for &(pool, member) in self.targets.get(target).into_iter().flatten() {
            let known = self.pools.get_mut(&pool).and_then(|known| known.members.get_mut(&member));
            if let Some(known) = known.filter(|known| **known != health) {
                *known = health;
                changed.push((pool, member));
            }
        }
        changed
    }

    /// Whether there is a verdict about every member that is checked.
    pub fn knows_all(&self) -> bool {
        self.targets
            .values()
            .flatten()
            .all(|&(pool, member)| self.of(pool, member).standing().verdict.is_some())
    }
}

fn after(old: &Known, pool: &Pool) -> Members {
    let new = pool.check.as_deref();
    let before = old.pool.as_ref().and_then(|pool| pool.check.as_deref());
    let health = |member: &SocketAddr| match old.members.get(member) {
        Some(known) => known.after(before, new),
        None if new.is_some() => MemberHealth::UNKNOWN,
        None => MemberHealth::UNCHECKED,
    };
    pool.members.keys().map(|member| (*member, health(member))).collect()
}

/// Whom to ask about the members of a pool.
fn targets(pool: &Pool) -> impl Iterator<Item = (Target, SocketAddr)> {
    pool.check.iter().flat_map(|check| {
        pool.members.iter().map(move |(&member, settings)| {
            (Target { address: settings.checked_at, check: check.clone() }, member)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{
        health::{Pace, Probe},
        served::Member,
        value::{CheckTime, Port, Weight},
    };

    use super::*;

    fn check(probe: Probe, seconds: u64) -> Check {
        let time = |seconds| CheckTime::new(Duration::from_secs(seconds)).unwrap();
        Check { probe, port: None, pace: Pace::new(time(seconds), time(1), Pace::RETRIES).unwrap() }
    }

    #[test]
    fn what_is_known_outlives_all_but_another_question() {
        let (tcp, slower, udp) = (check(Probe::Tcp, 5), check(Probe::Tcp, 9), check(Probe::Udp, 5));
        let elsewhere = Check { port: Some(Port::literal(9)), ..tcp.clone() };
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
                let before = MemberHealth { state: State::Known(verdict), last_failure: failure };
                let now = before.after(old, new);
                let Standing { verdict: said, last_failure } = now.standing();
                assert_eq!(
                    ((said, last_failure), now.taken_for()),
                    expected,
                    "{old:?} → {new:?}, {verdict:?}"
                );
            }
        }
    }

    fn pool(members: &[SocketAddr], check: Option<&Check>) -> Arc<Pool> {
        let member = |&address: &SocketAddr| {
            (address, Member { weight: Weight::literal(1), backup: false, checked_at: address })
        };
        let check = check.map(|check| Arc::new(check.clone()));
        Arc::new(Pool { members: members.iter().map(member).collect(), check, ..Pool::default() })
    }

    #[test]
    fn two_pools_that_ask_the_same_ask_once() {
        let (one, other) = (PoolId::of_names(&["one"]), PoolId::of_names(&["other"]));
        let (a, b): (SocketAddr, SocketAddr) =
            ("192.0.2.1:80".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
        let tcp = check(Probe::Tcp, 5);
        let mut standings = Standings::default();
        let put = |id, members: &[SocketAddr], check| Change::PutPool(id, pool(members, check));
        let (asked, over) = standings.apply(&[put(one, &[a], Some(&tcp)), put(other, &[a, b], Some(&tcp))]);
        assert_eq!((asked.len(), over.len()), (2, 0));
        assert!(!standings.knows_all());

        let target = |address| Target { address, check: Arc::new(tcp.clone()) };
        let up = Standing { verdict: Some(Verdict::Up), last_failure: None };
        assert_eq!(standings.note(&target(a), up), [(one, a), (other, a)]);
        assert_eq!(standings.note(&target(a), up), [], "nothing new");
        standings.note(&target(b), up);
        assert!(standings.knows_all());

        // A pool that comes later hears what is known, though the checker has nothing new to tell.
        let late = PoolId::of_names(&["late"]);
        standings.apply(&[put(late, &[a], Some(&tcp))]);
        assert_eq!(standings.of(late, a).taken_for(), Some(Verdict::Up));
        assert!(standings.knows_all());
        standings.apply(&[Change::RemovePool(late)]);

        let (_, over) = standings.apply(&[Change::RemovePool(one)]);
        assert!(over.is_empty(), "the other pool still asks");
        assert_eq!(standings.of(other, a).taken_for(), Some(Verdict::Up));
        let (asked, over) = standings.apply(&[put(other, &[b], None)]);
        assert_eq!((asked.len(), over.len()), (0, 2));
        assert_eq!(standings.of(other, b), MemberHealth::UNCHECKED);
        let (asked, _) = standings.apply(&[put(other, &[a, b], Some(&tcp))]);
        assert_eq!(asked.len(), 2);
        assert_eq!(standings.of(other, a), MemberHealth::UNKNOWN, "it comes anew");
    }

    #[test]
    fn what_an_earlier_process_knew_holds() {
        let id = PoolId::of_names(&["web"]);
        let a: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let down = MemberHealth { state: State::Known(Verdict::Down), last_failure: Some(Failure::Refused) };
        let mut standings = Standings::remembered([(id, a, down)]);
        let (asked, _) = standings.apply(&[Change::PutPool(id, pool(&[a], Some(&check(Probe::Tcp, 5))))]);
        assert_eq!(standings.of(id, a), down);
        assert_eq!(asked[0].1, down.standing());
    }
}
