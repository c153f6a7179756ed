//! Members that fail rest for a while, and never too many.

use super::*;

const REST: u64 = 10;

fn resting(weights: &[u16], failures: u32, share: u8) -> Pool {
    let mut pool = pool(weights);
    http(&mut pool).ejection = Some(Ejection {
        failures: Failures::literal(failures),
        time: Seconds::literal(REST as u32),
        share: EjectionShare::literal(share),
    });
    pool
}

impl World {
    fn report(&self, host: u8, outcomes: &[Outcome]) {
        for &outcome in outcomes {
            self.balancer.report(address(host), outcome, self.now);
        }
    }

    fn hosts(&self) -> Vec<u8> {
        self.shares(60).into_keys().collect()
    }
}

use Outcome::{Answered, Failed};

#[test]
fn a_member_that_fails_in_a_row_rests_and_comes_back() {
    let mut world = World::new(&resting(&[1, 1, 1], 3, 50));
    world.report(1, &[Failed, Failed, Answered, Failed, Failed]);
    assert_eq!(world.hosts(), [1, 2, 3], "an answer in between");
    world.report(1, &[Failed]);
    assert_eq!(world.hosts(), [2, 3]);
    world.wait(REST - 1);
    assert_eq!(world.hosts(), [2, 3]);
    world.wait(1);
    assert_eq!(world.hosts(), [1, 2, 3]);
    assert_eq!(world.shares(30), [(1, 10), (2, 10), (3, 10)].into());
}

#[test]
fn each_time_it_rests_longer_until_it_answers() {
    let mut world = World::new(&resting(&[1, 1, 1], 1, 50));
    for times in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10] {
        world.report(1, &[Failed]);
        world.wait(REST * times - 1);
        assert_eq!(world.hosts(), [2, 3], "time {times}");
        world.wait(1);
        assert_eq!(world.hosts(), [1, 2, 3], "time {times}");
    }
    world.report(1, &[Answered, Failed]);
    world.wait(REST);
    assert_eq!(world.hosts(), [1, 2, 3]);
}

#[test]
fn only_a_share_of_the_pool_rests() {
    for (members, share, most) in
        [(1, 100, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (10, 10, 1), (10, 9, 0), (3, 100, 2), (3, 0, 0)]
    {
        let world = World::new(&resting(&vec![1; members], 1, share));
        for host in 1..=members as u8 {
            world.report(host, &[Failed, Failed]);
        }
        let rest = members - world.shares(100).len();
        assert_eq!(rest, most, "{members} members, {share} %");
    }
}

/// Of members without weight nobody speaks.
#[test]
fn the_share_is_of_those_that_take_part() {
    let world = World::new(&resting(&[1, 1, 0, 0, 0, 0], 1, 50));
    world.report(1, &[Failed]);
    world.report(2, &[Failed]);
    assert_eq!(world.hosts(), [2]);
}

#[test]
fn rest_goes_on_across_a_change_and_means_not_to_be_healthy() {
    let pool = checked(resting(&[1, 1], 2, 50));
    let mut world = World::new(&pool);
    world.judge(1, true);
    world.judge(2, true);
    world.report(1, &[Failed]);
    world.change(&pool);
    world.report(1, &[Failed]);
    assert_eq!(world.hosts(), [2], "failures are counted on");
    world.change(&pool);
    assert_eq!(world.hosts(), [2]);
    world.judge(1, false);
    world.wait(REST);
    assert_eq!(world.hosts(), [2], "coming back does not make it healthy");
}

#[test]
fn rather_one_that_fails_than_none() {
    let mut pool = checked(resting(&[1, 1], 1, 50));
    let mut world = World::new(&pool);
    world.judge(1, true);
    world.judge(2, true);
    world.report(1, &[Failed]);
    assert_eq!(world.hosts(), [2]);
    world.judge(2, false);
    assert_eq!(world.hosts(), [1], "the other is down");
    world.judge(2, true);
    assert_eq!(world.hosts(), [2]);
    pool.members.insert(address(2), weighing(0));
    world.change(&pool);
    assert_eq!(world.hosts(), [1], "the other has no weight");
    pool.members.remove(&address(2));
    world.change(&pool);
    assert_eq!(world.hosts(), [1], "the other is gone");
}

/// Without checks there is nothing else by which requests could come to it.
#[test]
fn while_all_others_rest_a_backup_steps_in() {
    let mut pool = resting(&[1, 1], 1, 100);
    pool.members.insert(address(3), backup(1));
    let mut world = World::new(&pool);
    world.report(1, &[Failed]);
    assert_eq!(world.hosts(), [2], "another one is up and does not rest");
    world.wait(REST / 2);
    world.report(2, &[Failed]);
    assert_eq!(world.hosts(), [3]);
    world.wait(REST / 2);
    assert_eq!(world.hosts(), [1]);
    world.report(1, &[Failed]);
    pool = checked(pool);
    pool.members.insert(address(4), backup(1));
    world.change(&pool);
    assert_eq!(world.hosts(), [3]);
    // Of those that rest more is known than of one that was not asked yet.
    world.judge(3, false);
    assert_eq!(world.hosts(), [1, 2]);
}

#[test]
fn without_the_setting_nobody_rests() {
    let world = World::new(&pool(&[1, 1]));
    world.report(1, &[Failed; 100]);
    assert_eq!(world.hosts(), [1, 2]);
}
