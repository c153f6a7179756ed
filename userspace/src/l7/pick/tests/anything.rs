//! Everything that can happen to a pool, in any order, beside a model of a few lines that knows who may be picked.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, prelude::*};

use super::*;

/// After so many in a row a member rests.
const FAILURES: u32 = 2;

#[derive(Clone, Debug)]
enum Event {
    /// Weights and whether they are backups; the algorithm.
    Change(BTreeMap<u8, (u16, bool)>, usize),
    Judge(u8, bool),
    Fail(u8),
    Answer(u8),
    Wait(u64),
    Pick(BTreeSet<u8>),
    End(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    let host = || 1..6u8;
    let members = collection::btree_map(host(), (0..4u16, any::<bool>()), 0..6);
    prop_oneof![
        2 => (members, 0..3usize).prop_map(|(members, algorithm)| Event::Change(members, algorithm)),
        4 => (host(), any::<bool>()).prop_map(|(host, up)| Event::Judge(host, up)),
        3 => host().prop_map(Event::Fail),
        1 => host().prop_map(Event::Answer),
        2 => (0..30u64).prop_map(Event::Wait),
        8 => collection::btree_set(host(), 0..4).prop_map(Event::Pick),
        2 => any::<prop::sample::Index>().prop_map(Event::End),
    ]
}

/// Without rest: weights of the members, whether they are backups, and verdicts.
#[derive(Default)]
struct Model {
    members: BTreeMap<u8, ((u16, bool), Option<bool>)>,
    /// How often each has failed, ever.
    failures: BTreeMap<u8, u32>,
}

impl Model {
    /// Those with weight of whom this is known, backups or not.
    fn of(&self, verdict: Option<bool>, is_backup: bool) -> Vec<u8> {
        let of = self.members.iter().filter(|(_, ((weight, backup), known))| {
            *weight > 0 && *backup == is_backup && *known == verdict
        });
        of.map(|(host, _)| *host).collect()
    }

    /// Whether this one can be at rest.
    fn may_rest(&self, host: &u8) -> bool {
        self.failures.get(host).is_some_and(|&failures| failures >= FAILURES)
    }

    /// Backups to which requests come if all others that are up rest.
    fn stand_ins(&self) -> Vec<u8> {
        let others = self.of(Some(true), false);
        let rest = !others.is_empty() && others.iter().all(|host| self.may_rest(host));
        if rest { self.of(Some(true), true) } else { Vec::new() }
    }

    /// Those who may be picked.
    fn best(&self) -> Vec<u8> {
        let order = [(Some(true), false), (Some(true), true), (None, false), (None, true)];
        let mut best = order.into_iter().map(|(verdict, is_backup)| self.of(verdict, is_backup));
        best.find(|hosts| !hosts.is_empty()).unwrap_or_default()
    }
}

fn made(members: &BTreeMap<u8, (u16, bool)>, algorithm: usize) -> Pool {
    let mut pool = checked(pool(&[]));
    let member = |(&host, &(weight, is_backup)): (&u8, &(u16, bool))| {
        (address(host), if is_backup { backup(weight) } else { weighing(weight) })
    };
    pool.members = members.iter().map(member).collect();
    let mut algorithms = algorithms().into_iter();
    pool.algorithm = algorithms.nth(algorithm).unwrap();
    http(&mut pool).slow_start = Some(Seconds::literal(20));
    http(&mut pool).ejection = Some(Ejection {
        failures: Failures::literal(FAILURES),
        time: Seconds::literal(10),
        share: EjectionShare::literal(50),
    });
    pool
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn only_those_are_picked_that_may_be_and_somebody_if_anybody(events in collection::vec(event(), 1..80)) {
        let mut world = World::new(&made(&BTreeMap::new(), 0));
        let mut model = Model::default();
        let mut held: Vec<Picked> = Vec::new();
        for event in events {
            match event {
                Event::Change(members, algorithm) => {
                    let verdict = |host| model.members.get(host).and_then(|&(_, verdict)| verdict);
                    let next = members.iter().map(|(host, &member)| (*host, (member, verdict(host)))).collect();
                    model.members = next;
                    world.change(&made(&members, algorithm));
                }
                Event::Judge(host, up) => {
                    world.judge(host, up);
                    if let Some((_, verdict)) = model.members.get_mut(&host) {
                        *verdict = Some(up);
                    }
                }
                Event::Fail(host) => {
                    *model.failures.entry(host).or_default() += 1;
                    world.balancer.report(address(host), Outcome::Failed, world.now);
                }
                Event::Answer(host) => world.balancer.report(address(host), Outcome::Answered, world.now),
                Event::Wait(seconds) => world.wait(seconds),
                Event::Pick(tried) => {
                    let well = model.best();
                    let taking_part = model.members.values().filter(|((weight, _), _)| *weight > 0).count();
                    let tried: Vec<u8> = tried.into_iter().collect();
                    let picked = world.pick_with(&HeaderMap::new(), &tried);
                    match &picked {
                        Some(picked) => {
                            let host = host(picked);
                            let may_be = well.contains(&host) || model.stand_ins().contains(&host);
                            prop_assert!(may_be && !tried.contains(&host));
                        }
                        None => {
                            // At most half of those that take part rest, so if more are well and untried, one is there.
                            let left = well.iter().filter(|host| !tried.contains(host)).count();
                            prop_assert!(left <= taking_part / 2, "{well:?} without {tried:?} of {taking_part}");
                            prop_assert!(!tried.is_empty() || well.is_empty(), "{well:?}");
                        }
                    }
                    held.extend(picked);
                }
                Event::End(at) if !held.is_empty() => drop(held.swap_remove(at.index(held.len()))),
                Event::End(_) => {}
            }
        }
    }
}
