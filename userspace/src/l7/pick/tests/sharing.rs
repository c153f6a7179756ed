//! By turns, by load, by source; without those that were tried or are unwell.

use proptest::{collection, prelude::*};

use super::*;

proptest! {
    /// Not only at the start and not only per round: in every window as long as the weights' sum.
    #[test]
    fn turns_are_exact_in_any_window(weights in collection::vec(1..=9u16, 1..8), start in 0..100usize) {
        let world = World::new(&pool(&weights));
        for _ in 0..start {
            world.pick(&[]);
        }
        let sum: u16 = weights.iter().sum();
        let shares = world.shares(sum.into());
        for (host, &weight) in (1..).zip(&weights) {
            let had = shares.get(&host).copied().unwrap_or(0);
            prop_assert!(had.abs_diff(weight.into()) <= 1, "{had} for {weight}");
        }
    }

    /// The OTC guide's overhead: current requests over weight, the lowest gets the next.
    #[test]
    fn the_least_loaded_is_picked(
        weights in collection::vec(0..=5u16, 1..6),
        keep in collection::vec(any::<bool>(), 1..60),
    ) {
        let mut pool = pool(&weights);
        pool.algorithm = Algorithm::WeightedLeastConnections;
        let world = World::new(&pool);
        let mut held: Vec<Picked> = Vec::new();
        for keep in keep {
            let requests = |host: u8| held.iter().filter(|picked| self::host(picked) == host).count();
            let overhead = |host: u8| requests(host) as f64 / f64::from(weights[usize::from(host) - 1]);
            let hosts = (1..=weights.len() as u8).filter(|&host| weights[usize::from(host) - 1] > 0);
            let least = hosts.map(overhead).min_by(f64::total_cmp);
            let picked = world.pick_with(&HeaderMap::new(), &[]);
            prop_assert_eq!(picked.as_ref().map(|picked| overhead(host(picked))), least);
            for host in 1..=weights.len() as u8 {
                let expected = requests(host) + usize::from(picked.as_ref().is_some_and(|p| self::host(p) == host));
                prop_assert_eq!(world.requests(address(host)).unwrap() as usize, expected);
            }
            held.extend(picked.filter(|_| keep));
        }
        drop(held);
        for host in 1..=weights.len() as u8 {
            prop_assert_eq!(world.requests(address(host)), Some(0));
        }
    }

    #[test]
    fn the_tried_are_left_out_until_all_are(
        algorithm in prop::sample::select(algorithms().to_vec()),
        weights in collection::vec(0..=256u16, 1..8),
    ) {
        let mut pool = pool(&weights);
        pool.algorithm = algorithm;
        let world = World::new(&pool);
        let mut tried = Vec::new();
        while let Some(host) = world.pick(&tried) {
            prop_assert!(!tried.contains(&host));
            tried.push(host);
        }
        tried.sort_unstable();
        let expected: Vec<u8> = (1..).zip(&weights).filter(|(_, weight)| **weight > 0).map(|(host, _)| host).collect();
        prop_assert_eq!(tried, expected);
    }
}

#[test]
fn idle_members_take_turns_by_weight_under_least_connections() {
    let mut pool = pool(&[3, 1]);
    pool.algorithm = Algorithm::WeightedLeastConnections;
    assert_eq!(World::new(&pool).shares(400), [(1, 300), (2, 100)].into());
}

#[test]
fn a_client_meets_the_same_member_by_source_and_few_move_when_one_goes() {
    let mut pool = pool(&[1; 10]);
    pool.algorithm = Algorithm::SourceHash;
    let mut world = World::new(&pool);
    let before = by_source(&world);
    assert_eq!(before, by_source(&world));
    for member in 1..=10 {
        let share = before.iter().filter(|&&met| met == member).count();
        assert!((400..600).contains(&share), "{share} of 5000 clients are member {member}'s");
    }
    pool.members.remove(&address(4));
    world.change(&pool);
    let after = by_source(&world);
    let moved = before.iter().zip(&after).filter(|&(before, after)| before != after && *before != 4).count();
    assert!(moved < 250, "{moved} clients of others moved");
}

/// A pool of this size has a larger table than one with a member less.
#[test]
fn few_move_when_one_of_very_many_fails() {
    let mut pool = checked(pool(&[1; 161]));
    pool.algorithm = Algorithm::SourceHash;
    let world = World::new(&pool);
    (1..=161).for_each(|host| world.judge(host, true));
    let before = by_source(&world);
    world.judge(4, false);
    let moved = before.iter().zip(&by_source(&world)).filter(|(before, after)| before != after).count();
    assert!(moved < 500, "{moved} of 5000 clients moved");
}

/// The members that 5000 clients meet.
fn by_source(world: &World) -> Vec<u8> {
    let headers = HeaderMap::new();
    let pick = |n| {
        let request = Request { client: client(n), headers: &headers, is_https: false };
        host(&world.balancer.pick(&request, &[], world.now).unwrap())
    };
    (0..5000).map(pick).collect()
}

/// The same member whether a client comes by IPv4 or as an IPv4-mapped IPv6 address; IPv6 clients are spread.
#[test]
fn sources_of_either_family() {
    let mut pool = pool(&[1; 4]);
    pool.algorithm = Algorithm::SourceHash;
    let world = World::new(&pool);
    let headers = HeaderMap::new();
    let met = |client: &str| {
        let request = Request { client: client.parse().unwrap(), headers: &headers, is_https: false };
        host(&world.balancer.pick(&request, &[], world.now).unwrap())
    };
    for n in 0..50 {
        assert_eq!(met(&format!("198.51.100.{n}")), met(&format!("::ffff:198.51.100.{n}")));
    }
    for family in ["2001:db8::", "2001:db8:0:"] {
        let suffix = if family.ends_with("::") { "" } else { "::1" };
        let met: std::collections::BTreeSet<u8> =
            (1..200).map(|n| met(&format!("{family}{n:x}{suffix}"))).collect();
        assert_eq!(met.len(), 4, "{family}");
    }
}

#[test]
fn checks_decide_who_is_picked() {
    let mut pool = checked(pool(&[1, 1]));
    let mut world = World::new(&pool);
    assert_eq!(world.shares(4), [(1, 2), (2, 2)].into(), "nothing is known of anybody yet");
    world.judge(1, false);
    assert_eq!(world.shares(4), [(2, 4)].into());
    world.judge(2, false);
    assert_eq!(world.pick(&[]), None);
    world.judge(1, true);
    assert_eq!(world.shares(4), [(1, 4)].into());
    world.judge(2, true);
    assert_eq!(world.shares(4), [(1, 2), (2, 2)].into());
    world.judge(1, false);
    assert_eq!(world.shares(4), [(2, 4)].into());

    pool.members.insert(address(3), weighing(2));
    world.change(&pool);
    assert_eq!(world.shares(4), [(2, 4)].into(), "verdicts stay, the new one has none");
    world.judge(3, true);
    assert_eq!(world.shares(3), [(2, 1), (3, 2)].into());
    pool.check = None;
    world.change(&pool);
    assert_eq!(world.shares(4), [(1, 1), (2, 1), (3, 2)].into(), "without checks all are well");
}

#[test]
fn requests_are_counted_across_a_change() {
    let mut pool = pool(&[1]);
    let mut world = World::new(&pool);
    let held = world.pick_with(&HeaderMap::new(), &[]).unwrap();
    pool.members.insert(address(2), weighing(1));
    pool.algorithm = Algorithm::WeightedLeastConnections;
    world.change(&pool);
    assert_eq!(world.requests(address(1)), Some(1));
    assert_eq!(world.shares(3), [(2, 3)].into());
    drop(held);
    assert_eq!(world.requests(address(1)), Some(0));
}

/// Many threads at once share the turns as exactly as one.
#[test]
fn threads_share_the_turns() {
    let world = World::new(&pool(&[5, 3, 2]));
    let total = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| world.shares(2500))).collect();
        let mut total = BTreeMap::new();
        for thread in threads {
            for (host, count) in thread.join().unwrap() {
                *total.entry(host).or_insert(0) += count;
            }
        }
        total
    });
    assert_eq!(total, [(1, 5000), (2, 3000), (3, 2000)].into());
}
