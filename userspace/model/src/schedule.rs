//! Which of a pool's members take part, and the order in which their weights make them picked: smooth weighted round
//! robin.
//!
//! Not nginx's algorithm (always the member that is furthest behind): with weights 1, 1, 30, 1, 30 it leaves a member
//! more than one pick behind, and further the more members there are. This is Tijdeman's ("The chairman assignment
//! problem", 1980): among the members that are due, the one with the earliest deadline. After any number of picks
//! every member has its exact share to within 1 − 1/(2n − 2) for n members, and no algorithm does better for all
//! weights. It also needs one heap operation per pick where nginx's looks at all members.
//!
//! `dataplane/` turns the sequence into a block of slots.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::{algorithm::Algorithm, maglev, value::Weight};

/// What is known of a member. Where nobody checks, all are up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Health {
    /// It is well.
    Up,
    /// It is not.
    Down,
    /// Nothing yet.
    Unknown,
}

/// A member that may take new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<K> {
    /// Which one.
    pub key: K,
    /// Its share; with 0 it takes none.
    pub weight: Weight,
    /// Whether it takes connections only while no other member does.
    pub backup: bool,
    /// What is known of it.
    pub health: Health,
}

/// Which of a pool's members take new connections now, in the order given: those that are up and no backups; if there
/// are none, the backups that are up. Only where none is up, those of which nothing is known yet, backups again last.
/// Never one that is down or has no weight.
pub fn taking_part<K>(candidates: impl IntoIterator<Item = Candidate<K>>) -> Vec<K> {
    let mut best = None;
    let mut taking_part = Vec::new();
    for Candidate { key, weight, backup, health } in candidates {
        if health == Health::Down || weight.get() == 0 {
            continue;
        }
        // The least is the best.
        let rank = (health == Health::Unknown, backup);
        if best.is_none_or(|best| rank < best) {
            best = Some(rank);
            taking_part.clear();
        }
        if best == Some(rank) {
            taking_part.push(key);
        }
    }
    taking_part
}

/// The length of a pool's block of slots while all its members are up, by their weights; with fewer of them it is not
/// longer.
pub fn slots<R>(algorithm: &Algorithm<R>, weights: &[u16]) -> u64 {
    match algorithm {
        Algorithm::WeightedRoundRobin(_) => period(weights),
        Algorithm::SourceHash => maglev::size(weights.len()).into(),
        Algorithm::WeightedLeastConnections => weights.len() as u64,
    }
}

/// The length of [`smooth_wrr`]'s sequence: the sum of the weights over their greatest common divisor; 0 if all are.
fn period(weights: &[u16]) -> u64 {
    let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
    sum / divisor(weights).max(1)
}

/// The sequence of member indexes to pick, then to repeat: one period long, each member in it as often as its weight
/// over the weights' greatest common divisor says, so never with weight 0.
///
/// Takes memory and time in proportion to its length, which [`crate::capacity::Capacity::pool_slots`] limits.
pub fn smooth_wrr(weights: &[u16]) -> Vec<u32> {
    let (divisor, period) = (divisor(weights), period(weights));
    let mut members: Vec<Member> = (0u32..)
        .zip(weights)
        .filter(|&(_, &weight)| weight > 0)
        .map(|(index, &weight)| Member { index, weight: u64::from(weight) / divisor, picks: 0 })
        .collect();
    let [_, _, ..] = members.as_slice() else {
        return members.iter().map(|member| member.index).collect();
    };
    let pace = Pace { period, parts: 2 * members.len() as u64 - 2 };

    let mut waiting: BinaryHeap<_> =
        members.iter().enumerate().map(|(m, member)| Reverse((pace.due(member), m))).collect();
    let mut due = BinaryHeap::new();
    let mut sequence = Vec::new();
    for now in 1..=period {
        while let Some(&Reverse((from, m))) = waiting.peek()
            && from <= now
        {
            waiting.pop();
            due.extend(members.get(m).map(|member| Reverse((pace.deadline(member), m))));
        }
        // Never empty: the shares of one pick add up to one, so some member is at least 1/n behind, and due.
        let Some((m, member)) = due.pop().and_then(|Reverse((_, m))| Some((m, members.get_mut(m)?))) else {
            break;
        };
        sequence.push(member.index);
        member.picks += 1;
        if member.picks < member.weight {
            waiting.push(Reverse((pace.due(member), m)));
        }
    }
    sequence
}

struct Member {
    index: u32,
    weight: u64,
    picks: u64,
}

/// A member's exact share after `k` picks is `k · weight / period`. It may be off by 1 − 1/`parts`.
struct Pace {
    period: u64,
    parts: u64,
}

impl Pace {
    /// The number of the pick, from 1, from which on this member may have its next one: its share is then ahead of
    /// what it has by 1/`parts`.
    fn due(&self, member: &Member) -> u64 {
        ((member.picks * self.parts + 1) * self.period).div_ceil(self.parts * member.weight)
    }

    /// When the next pick must be this member's at the latest: from then on, without it, its share would be ahead by
    /// more than 1 − 1/`parts`. In units of `period` / `parts` / 2³² picks: so fine that no two deadlines are mixed up.
    fn deadline(&self, member: &Member) -> u128 {
        (u128::from((member.picks + 1) * self.parts - 1) << 32) / u128::from(member.weight)
    }
}

/// The greatest common divisor; 0 if all weights are 0.
fn divisor(weights: &[u16]) -> u64 {
    let mut divisor = 0;
    for &weight in weights {
        let mut other = u64::from(weight);
        while other != 0 {
            (divisor, other) = (other, divisor % other);
        }
    }
    divisor
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::{collection, prelude::*};
    use xdp_ebpf::abi::MAX_POOL_SLOTS;

    use super::*;

    /// How many picks a member is behind its share (`k · weight / sum`) and ahead of it at worst, in units of 1/sum,
    /// over all prefixes.
    fn off(weights: &[u16], sequence: &[u32]) -> (i64, i64) {
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let (mut behind, mut ahead) = (0, 0);
        for (member, &weight) in (0u32..).zip(weights) {
            let mut had = 0;
            for (k, &pick) in (1i64..).zip(sequence) {
                had += i64::from(pick == member);
                behind = behind.max(k * i64::from(weight) - had * sum);
                ahead = ahead.max(had * sum - k * i64::from(weight));
            }
        }
        (behind, ahead)
    }

    /// nginx's: every member gains its weight, the richest is picked and pays the sum.
    fn nginx(weights: &[u16]) -> Vec<u32> {
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let mut current = vec![0i64; weights.len()];
        let pick = |_| {
            current.iter_mut().zip(weights).for_each(|(current, &w)| *current += i64::from(w));
            let best = (0..current.len()).rev().max_by_key(|&i| current[i]).unwrap();
            current[best] -= sum;
            best as u32
        };
        (0..sum).map(pick).collect()
    }

    fn weights() -> impl Strategy<Value = Vec<u16>> {
        prop_oneof![
            collection::vec(0..=6u16, 0..8),
            collection::vec(0..=256u16, 0..12),
            collection::vec(prop_oneof![4 => 1..=2u16, 1 => 200..=256u16], 0..40),
        ]
    }

    fn candidates() -> impl Strategy<Value = Vec<Candidate<usize>>> {
        let health = prop_oneof![Just(Health::Up), Just(Health::Down), Just(Health::Unknown)];
        collection::vec((0..3u16, any::<bool>(), health), 0..6).prop_map(|candidates| {
            let candidate = |(key, (weight, backup, health))| Candidate {
                key,
                weight: Weight::literal(weight),
                backup,
                health,
            };
            candidates.into_iter().enumerate().map(candidate).collect()
        })
    }

    proptest! {
        /// Against the sentence of its documentation, clause by clause.
        #[test]
        fn those_take_part_of_which_the_most_is_known(candidates in candidates()) {
            let those = |health, backup| -> Vec<usize> {
                let those = candidates.iter().filter(|it| it.weight.get() > 0);
                let those = those.filter(|it| it.health == health && it.backup == backup);
                those.map(|it| it.key).collect()
            };
            let mut expected = those(Health::Up, false);
            for (health, backup) in [(Health::Up, true), (Health::Unknown, false), (Health::Unknown, true)] {
                if expected.is_empty() {
                    expected = those(health, backup);
                }
            }
            prop_assert_eq!(taking_part(candidates), expected);
        }

        #[test]
        fn one_period_holds_each_member_its_weight(weights in weights()) {
            let sequence = smooth_wrr(&weights);
            prop_assert_eq!(sequence.len() as u64, period(&weights));
            let divisor = (1..=256u16).rev().find(|d| weights.iter().all(|w| w % d == 0)).unwrap();
            for (member, weight) in (0u32..).zip(&weights) {
                let picks = sequence.iter().filter(|&&pick| pick == member).count();
                prop_assert_eq!(picks, usize::from(weight / divisor), "member {}", member);
            }
        }

        #[test]
        fn no_member_is_ever_a_pick_behind_or_ahead(weights in weights()) {
            let (behind, ahead) = off(&weights, &smooth_wrr(&weights));
            let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
            let n = weights.iter().filter(|&&w| w > 0).count() as i64;
            let parts = (2 * n - 2).max(1);
            prop_assert!(behind * parts <= sum * (parts - 1), "{} / {} behind", behind, sum);
            prop_assert!(ahead * parts <= sum * (parts - 1), "{} / {} ahead", ahead, sum);
        }

        /// The definition: the sequence is repeated without end, and a reader may start anywhere in it.
        #[test]
        fn any_window_of_one_period_holds_each_member_its_weight_give_or_take_one(
            weights in collection::vec(0..=9u16, 1..8),
            start in any::<prop::sample::Index>(),
        ) {
            let sequence = smooth_wrr(&weights);
            prop_assume!(!sequence.is_empty());
            let sum: u16 = weights.iter().sum();
            let window = || sequence.iter().cycle().skip(start.index(sequence.len())).take(usize::from(sum));
            for (member, &weight) in (0u32..).zip(&weights) {
                let picks = window().filter(|&&pick| pick == member).count();
                prop_assert!(picks.abs_diff(usize::from(weight)) <= 1);
            }
        }
    }

    #[test]
    fn known_sequences() {
        let cases: [(&[u16], &[u32]); 8] = [
            (&[3, 2, 1], &[0, 1, 0, 2, 1, 0]),
            (&[1, 1, 1], &[0, 1, 2]),
            (&[200, 0, 100], &[0, 2, 0]),
            (&[5, 1, 1], &[0, 0, 1, 0, 0, 2, 0]),
            (&[0, 256], &[1]),
            (&[7], &[0]),
            (&[0, 0], &[]),
            (&[], &[]),
        ];
        for (weights, sequence) in cases {
            assert_eq!(smooth_wrr(weights), sequence, "weights {weights:?}");
        }
    }

    /// Why this file is not nginx's few lines.
    #[test]
    fn picking_who_is_furthest_behind_is_not_enough() {
        let weights = [1, 1, 30, 1, 30];
        let (behind, _) = off(&weights, &nginx(&weights));
        assert!(behind > 63, "nginx's is {behind} / 63 behind");
        let (behind, _) = off(&weights, &smooth_wrr(&weights));
        assert!(behind < 63, "ours is {behind} / 63 behind");
    }

    #[test]
    fn the_longest_allowed_sequence_is_quick() {
        let mut weights = vec![65u16; 1000];
        weights[0] = 256;
        weights[1] += 256 + 89;
        assert_eq!(period(&weights), u64::from(MAX_POOL_SLOTS));
        let start = Instant::now();
        let sequence = smooth_wrr(&weights);
        println!("{} slots of {} members in {:?}", sequence.len(), weights.len(), start.elapsed());
        assert_eq!(sequence.len(), MAX_POOL_SLOTS as usize);
    }
}
