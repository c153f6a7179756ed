//! Who is in a pool's slots, and how often.

use proptest::{collection, prelude::*};
use xdp_ebpf::abi::Slot;

use super::*;

fn address(host: u8) -> SocketAddr {
    ([192, 0, 2, host], 80).into()
}

/// A member's weight, whether it is a backup, and what is known of it.
type Known = (u16, bool, Option<Verdict>);

fn pool(members: &[Known], algorithm: Algorithm<Option<StickyMinutes>>) -> served::Pool {
    let member = |(host, &(weight, backup, _)): (u8, &Known)| {
        let checked_at = address(host);
        (checked_at, served::Member { weight: Weight::literal(weight), backup, checked_at })
    };
    let members = (0..).zip(members).map(member).collect();
    served::Pool { members, algorithm, ..served::Pool::default() }
}

/// How often each member is in the slots, by its place in `members`, which is its index.
fn slots(members: &[Known], algorithm: Algorithm<Option<StickyMinutes>>) -> Vec<usize> {
    let host = |member: SocketAddr| (0..).position(|host| address(host) == member).unwrap();
    let index_of = |member| Some(BackendIndex::new(host(member) as u32));
    let slots = slots_of(&pool(members, algorithm), index_of, |member| members[host(member)].2).unwrap();
    let mut counts = vec![0; members.len()];
    for slot in slots {
        let Slot { backend, weight } = slot;
        let index = usize::from(backend.index);
        assert_eq!(weight, members[index].0);
        counts[index] += 1;
    }
    counts
}

const UP: Option<Verdict> = Some(Verdict::Up);
const DOWN: Option<Verdict> = Some(Verdict::Down);

#[test]
fn a_backup_has_slots_only_while_no_other_member_has() {
    let round_robin = || Algorithm::WeightedRoundRobin(None);
    for (members, expected) in [
        ([(1, false, UP), (1, false, UP), (2, true, UP)], [1, 1, 0]),
        ([(1, false, DOWN), (1, false, UP), (2, true, UP)], [0, 1, 0]),
        ([(1, false, DOWN), (1, false, DOWN), (2, true, UP)], [0, 0, 1]),
        // Without weight it takes nothing, however well it is.
        ([(0, false, UP), (1, false, DOWN), (2, true, UP)], [0, 0, 1]),
        // A backup that is well comes before one of which nothing is known.
        ([(1, false, None), (1, false, DOWN), (2, true, UP)], [0, 0, 1]),
        ([(1, false, None), (1, false, DOWN), (2, true, None)], [1, 0, 0]),
        ([(1, false, DOWN), (1, true, None), (2, true, None)], [0, 1, 2]),
        ([(1, false, DOWN), (1, false, DOWN), (2, true, DOWN)], [0, 0, 0]),
    ] {
        assert_eq!(slots(&members, round_robin()), expected, "{members:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the algorithm, exactly those are there that take part, as often as their weights say.
    #[test]
    fn slots_are_of_those_that_take_part(
        members in collection::vec(
            (0..4u16, any::<bool>(), prop::sample::select(vec![UP, DOWN, None])),
            0..7,
        ),
    ) {
        let of = |verdict, backup| -> Vec<usize> {
            let weighs = |&(_, member): &(usize, &Known)| {
                member.0 > 0 && (member.1, member.2) == (backup, verdict)
            };
            members.iter().enumerate().filter(weighs).map(|(number, _)| number).collect()
        };
        let order = [(UP, false), (UP, true), (None, false), (None, true)];
        let best = order.iter().map(|&(verdict, backup)| of(verdict, backup)).find(|those| !those.is_empty());
        let best = best.unwrap_or_default();
        let weight = |number: usize| usize::from(members[number].0);
        let sum: usize = best.iter().map(|&number| weight(number)).sum();
        for algorithm in [
            Algorithm::WeightedRoundRobin(None),
            Algorithm::WeightedLeastConnections,
            Algorithm::SourceHash,
        ] {
            let name = algorithm.name();
            let is_least = algorithm == Algorithm::WeightedLeastConnections;
            let exact = algorithm != Algorithm::SourceHash;
            let counts = slots(&members, algorithm);
            let all: usize = counts.iter().sum();
            for (number, &count) in counts.iter().enumerate() {
                let takes_part = best.contains(&number);
                prop_assert_eq!(count > 0, takes_part, "{} of {:?}, {}", number, members, name);
                if takes_part && is_least {
                    prop_assert_eq!(count, 1, "{} of {:?}", number, members);
                } else if takes_part {
                    // Exact but for the hash table, whose size is a prime.
                    let off = (count * sum).abs_diff(weight(number) * all);
                    prop_assert!(off <= if exact { 0 } else { 2 * sum }, "{number} of {members:?}, {name}");
                }
            }
        }
    }
}
