//! Backups, which have requests only while no other member is up.

use super::*;

/// Members 1 and 2, and 3 as their backup.
fn with_a_backup() -> Pool {
    let mut pool = pool(&[1, 1]);
    pool.members.insert(address(3), backup(2));
    pool
}

#[test]
fn a_backup_has_requests_only_while_no_other_member_is_up() {
    for algorithm in algorithms() {
        let mut pool = checked(with_a_backup());
        pool.algorithm = algorithm;
        let mut world = World::new(&pool);
        let hosts = |world: &World| {
            let met = (0..100u16).filter_map(|n| {
                let headers = HeaderMap::new();
                let request = Request { client: client(n), headers: &headers, is_https: false };
                world.balancer.pick(&request, &[], world.now).map(|picked| host(&picked))
            });
            met.collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        };
        assert_eq!(hosts(&world), [1, 2], "nothing is known of anybody yet");
        world.judge(3, true);
        assert_eq!(hosts(&world), [3], "it is the only one that is known to be well");
        world.judge(2, true);
        assert_eq!(hosts(&world), [2]);
        world.judge(1, true);
        assert_eq!(hosts(&world), [1, 2]);
        world.judge(1, false);
        world.judge(2, false);
        assert_eq!(hosts(&world), [3]);
        world.judge(3, false);
        assert_eq!(hosts(&world), [0; 0]);
        world.judge(2, true);
        assert_eq!(hosts(&world), [2]);
        // Without weight it takes no requests, however well it is.
        world.judge(3, true);
        pool.members.insert(address(2), weighing(0));
        world.change(&pool);
        assert_eq!(hosts(&world), [3]);
        // One of the others from now on.
        pool.members.insert(address(3), weighing(1));
        pool.members.insert(address(2), weighing(1));
        world.change(&pool);
        assert_eq!(hosts(&world), [2, 3]);
    }
}

/// As often as their weights say.
#[test]
fn backups_share_what_comes_to_them() {
    let mut pool = checked(with_a_backup());
    pool.members.insert(address(4), backup(1));
    let world = World::new(&pool);
    (1..=4).for_each(|host| world.judge(host, true));
    assert_eq!(world.shares(30), [(1, 15), (2, 15)].into());
    (1..=2).for_each(|host| world.judge(host, false));
    assert_eq!(world.shares(30), [(3, 20), (4, 10)].into());
}

/// A request that the others have failed is not the backup's: they are up.
#[test]
fn a_backup_is_not_tried_after_the_others() {
    let world = World::new(&with_a_backup());
    assert_eq!(world.pick(&[1]), Some(2));
    assert_eq!(world.pick(&[1, 2]), None);
}
