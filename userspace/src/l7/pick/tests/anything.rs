//! Everything that can happen to a pool, in any order, beside a model of a few lines that knows who may be picked.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection, prelude::*};

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Change(BTreeMap<u8, u16>, usize),
    Judge(u8, bool),
    Fail(u8),
    Answer(u8),
    Wait(u64),
    Pick(BTreeSet<u8>),
    End(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    let host = || 1..6u8;
    prop_oneof![
        2 => (collection::btree_map(host(), 0..4u16, 0..6), 0..3usize).prop_map(|(m, a)| Event::Change(m, a)),
        4 => (host(), any::<bool>()).prop_map(|(host, up)| Event::Judge(host, up)),
        3 => host().prop_map(Event::Fail),
        1 => host().prop_map(Event::Answer),
        2 => (0..30u64).prop_map(Event::Wait),
        8 => collection::btree_set(host(), 0..4).prop_map(Event::Pick),
        2 => any::<prop::sample::Index>().prop_map(Event::End),
    ]
}

const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::WeightedRoundRobin { sticky: None },
    Algorithm::WeightedLeastConnections,
    Algorithm::SourceHash,
];

/// Without rest: weights and verdicts of the members.
#[derive(Default)]
struct Model {
    members: BTreeMap<u8, (u16, Option<bool>)>,
}

impl Model {
    /// Those with weight of whom this is known.
    fn of(&self, verdict: Option<bool>) -> Vec<u8> {
        let of = self.members.iter().filter(|(_, (weight, known))| *weight > 0 && *known == verdict);
        of.map(|(host, _)| *host).collect()
    }
}

fn made(members: &BTreeMap<u8, u16>, algorithm: usize) -> Pool {
    let mut pool = checked(pool(&[]));
    pool.members = members.iter().map(|(&host, &weight)| (address(host), weight)).collect();
    pool.algorithm = ALGORITHMS[algorithm];
    http(&mut pool).slow_start = Some(Duration::from_secs(20));
    http(&mut pool).ejection = Some(Ejection { failures: 2, time: Duration::from_secs(10), share: 50 });
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
                    let next = members.iter().map(|(host, &weight)| (*host, (weight, verdict(host)))).collect();
                    model.members = next;
                    world.change(&made(&members, algorithm));
                }
                Event::Judge(host, up) => {
                    world.judge(host, up);
                    if let Some((_, verdict)) = model.members.get_mut(&host) {
                        *verdict = Some(up);
                    }
                }
                Event::Fail(host) => world.balancer.report(address(host), Outcome::Failed, world.now),
                Event::Answer(host) => world.balancer.report(address(host), Outcome::Answered, world.now),
                Event::Wait(seconds) => world.wait(seconds),
                Event::Pick(tried) => {
                    let up = model.of(Some(true));
                    let well = if up.is_empty() { model.of(None) } else { up };
                    let taking_part = model.members.values().filter(|(weight, _)| *weight > 0).count();
                    let tried: Vec<u8> = tried.into_iter().collect();
                    let picked = world.pick_with(&HeaderMap::new(), &tried);
                    match &picked {
                        Some(picked) => {
                            prop_assert!(well.contains(&host(picked)) && !tried.contains(&host(picked)));
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
