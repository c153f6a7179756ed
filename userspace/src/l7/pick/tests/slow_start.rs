//! The straight line, and the OTC guide's rules: only new members, not those of an empty pool, from the first good check or at
//! once, on through bad checks, never twice. (That it goes with HTTP and round robin only is the configuration's to say.)

use super::*;

const RAMP: u64 = 100;

fn slow(mut pool: Pool) -> Pool {
    http(&mut pool).slow_start = Some(Seconds::literal(RAMP as u32));
    pool
}

/// Of 10,000 requests, how many member `host` gets, which has weight 1 of two.
fn share(world: &World, host: u8) -> usize {
    world.shares(10_000).get(&host).copied().unwrap_or(0)
}

/// A world with member 1, to which member 2 comes.
fn with_a_new_member(pool: Pool) -> (World, Pool) {
    let mut pool = slow(pool);
    let mut world = World::new(&pool);
    if pool.check.is_some() {
        world.judge(1, true);
    }
    pool.members.insert(address(2), weighing(1));
    world.change(&pool);
    (world, pool)
}

#[test]
fn a_new_members_share_grows_in_a_straight_line() {
    let (mut world, _) = with_a_new_member(pool(&[1]));
    assert_eq!(share(&world, 2), 0);
    for seconds in [10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 100, 200] {
        let start = world.now;
        world.wait(seconds);
        let weight = (seconds as f64 / RAMP as f64).min(1.0);
        let expected = 10_000.0 * weight / (1.0 + weight);
        let had = share(&world, 2) as f64;
        assert!((had - expected).abs() < 3.0, "{had} for {expected} after {seconds} s");
        world.now = start;
    }
}

/// It leaves its turns to all others, not to whoever comes next.
#[test]
fn the_others_share_what_it_leaves() {
    let mut pool = slow(pool(&[1, 2, 3]));
    let mut world = World::new(&pool);
    pool.members.insert(address(4), weighing(6));
    world.change(&pool);
    world.wait(RAMP / 2);
    // 1 + 2 + 3 + half of 6
    let shares = world.shares(9_000);
    for (host, expected) in [(1, 1000), (2, 2000), (3, 3000), (4, 3000)] {
        assert!(shares[&host].abs_diff(expected) < 10, "{shares:?}");
    }
}

#[test]
fn the_first_members_of_an_empty_pool_have_none() {
    let world = World::new(&slow(pool(&[1, 1])));
    assert_eq!(share(&world, 2), 5000, "those that come with the pool");

    let empty = slow(pool(&[]));
    let mut world = World::new(&empty);
    world.change(&slow(pool(&[1])));
    assert_eq!(share(&world, 1), 10_000);
    world.change(&slow(pool(&[1, 1])));
    assert_eq!(share(&world, 2), 0, "the second has");
}

#[test]
fn with_checks_it_begins_with_the_first_good_one_and_goes_on_through_bad_ones() {
    let (mut world, _) = with_a_new_member(checked(pool(&[1])));
    world.wait(RAMP);
    world.judge(2, false);
    world.wait(RAMP);
    world.judge(2, true);
    assert_eq!(share(&world, 2), 0);
    world.wait(RAMP / 4);
    world.judge(2, false);
    assert_eq!(share(&world, 2), 0);
    world.wait(RAMP / 4);
    world.judge(2, true);
    assert!(share(&world, 2).abs_diff(3333) < 3, "the clock did not stop");
}

#[test]
fn it_is_never_entered_again() {
    let (mut world, mut pool) = with_a_new_member(checked(pool(&[1])));
    world.judge(2, true);
    world.wait(RAMP);
    assert_eq!(share(&world, 2), 5000);
    world.judge(2, false);
    world.wait(10 * RAMP);
    world.judge(2, true);
    assert_eq!(share(&world, 2), 5000);
    // Another member, another weight, another slow start.
    pool.members.insert(address(3), weighing(1));
    world.change(&pool);
    assert_eq!(share(&world, 2), 5000);
    http(&mut pool).slow_start = None;
    world.change(&pool);
    http(&mut pool).slow_start = Some(Seconds::literal(800 * RAMP as u32));
    pool.members.insert(address(2), weighing(2));
    pool.members.insert(address(1), weighing(2));
    world.change(&pool);
    assert!(share(&world, 2) >= 4999);
}

#[test]
fn a_member_that_is_there_when_slow_start_is_switched_on_has_none() {
    let mut world = World::new(&pool(&[1]));
    world.change(&pool(&[1, 1]));
    world.change(&slow(pool(&[1, 1])));
    assert_eq!(share(&world, 2), 5000);
}

#[test]
fn a_change_in_the_middle_does_not_begin_it_again() {
    let (mut world, pool) = with_a_new_member(pool(&[1]));
    world.wait(RAMP / 2);
    world.change(&pool);
    assert!(share(&world, 2).abs_diff(3333) < 3);
}

/// Those that are left must take all, and share it.
#[test]
fn only_members_in_slow_start() {
    let (mut world, mut pool) = with_a_new_member(pool(&[1]));
    pool.members.insert(address(3), weighing(1));
    pool.members.insert(address(4), weighing(2));
    pool.members.insert(address(1), weighing(0));
    world.change(&pool);
    for wait in [0, 0, 1, RAMP / 3] {
        world.wait(wait);
        let shares = world.shares(4000);
        for (host, expected) in [(2, 1000), (3, 1000), (4, 2000)] {
            assert!(shares.get(&host).is_some_and(|share| share.abs_diff(expected) < 100), "{shares:?}");
        }
    }
}
