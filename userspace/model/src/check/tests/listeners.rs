//! Listeners and their policies.

use super::*;

#[test]
fn ports_and_pools() {
    finds(&[
        (
            |w| w.listener(1).service = Service::Tcp { when_down: WhenDown::Drop },
            at::<Listener>(1, "port"),
            "80 is another listener's",
        ),
        (|w| w.listener(0).default_pool = None, at::<Listener>(0, "pool"), "missing"),
        (
            |w| w.listener(0).default_pool = Some(id(1)),
            at::<Listener>(0, "pool"),
            "pool \"pool1\" has protocol = \"https\", which goes with",
        ),
        (
            |w| w.listener(2).default_pool = Some(id(0)),
            at::<Listener>(2, "pool"),
            "pool \"pool0\" is not for HTTP",
        ),
        (
            |w| w.policies(2)[0] = policy(20, 0, Action::Pool(id(0))),
            at::<Policy>(20, "pool"),
            "pool \"pool0\" is not for HTTP",
        ),
        (
            |w| {
                w.locals = locals(true, false);
                w.objects.listeners.remove(&id(1));
                w.member(1).address = address("2001:db8:200::1");
            },
            at::<Listener>(0, "pool"),
            "[2001:db8:200::1]:8080 in pool \"pool0\" needs a local address of IPv6",
        ),
    ]);
}

/// Of members that appear in a group only, so that no listener and no pool is another.
#[test]
fn a_member_that_cannot_be_reached_any_more() {
    let mut world = world();
    world.locals = locals(true, false);
    let before = world.objects.clone();
    world.member(1).address = address("2001:db8:200::1");
    let problems = world.problems(Some(&before));
    assert_eq!(problems.len(), 2);
    assert_eq!(problems, world.problems(None));
    // Of Layer 4 only, and of no family if no local address is known.
    world.locals = locals(false, false);
    assert_eq!(world.problems(None), []);
    world.locals = locals(true, false);
    world.objects = before;
    world.member(10).address = address("2001:db8:200::1");
    assert_eq!(world.problems(None), []);
}

#[test]
fn policies() {
    fn no_condition(world: &mut World) {
        let policy = Policy { condition: Arc::new(Condition::default()), ..(*world.policies(2)[0]).clone() };
        world.policies(2)[0] = Arc::new(policy);
    }
    finds(&[
        (
            |w| {
                let action = Action::Pool(id(2));
                *w.policies(2) = (0..=MAX_POLICIES).map(|n| policy(n, n, action.clone())).collect();
            },
            at::<Policy>(MAX_POLICIES, ""),
            "makes 10001 policies of one listener",
        ),
        (
            |w| w.policies(2)[1] = policy(21, 0, Action::Pool(id(2))),
            at::<Policy>(21, ""),
            "has the same domain, path and rules as the policy",
        ),
        (no_condition, at::<Policy>(20, ""), "has neither domain nor path"),
    ]);
}

#[test]
fn redirections() {
    finds(&[
        (
            |w| w.policies(3)[0] = policy(30, 0, Action::Redirect(to_listener(3))),
            at::<Policy>(30, "redirect.listener"),
            "is this listener itself",
        ),
        (
            |w| w.policies(2)[1] = policy(21, 1, Action::Redirect(to_listener(0))),
            at::<Policy>(21, "redirect.listener"),
            "\"listener0\" is no HTTPS listener",
        ),
        (
            |w| w.policies(2)[1] = policy(21, 1, Action::Redirect(to_listener(4))),
            at::<Policy>(21, "redirect.listener"),
            "no listener of this load balancer is 00000000-0000-0000-0000-000000000005",
        ),
        (
            |w| _ = w.objects.listeners.remove(&id(5)),
            at::<Policy>(30, "redirect.listener"),
            "no listener of this load balancer is ",
        ),
        (
            |w| {
                let Service::Http { redirect, .. } = &mut w.listener(2).service else { panic!() };
                *redirect = Some(to_listener(1));
            },
            at::<Listener>(2, "redirect.listener"),
            "\"listener1\" is no HTTPS listener",
        ),
    ]);
}
