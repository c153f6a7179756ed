//! Addresses, room, and objects that could not be read.

use super::*;

#[test]
fn addresses() {
    finds(&[
        (
            |w| w.load_balancer(1).vips = vec![address("203.0.113.2"), address("203.0.113.1")],
            at::<LoadBalancer>(1, "vip").nth(1),
            "203.0.113.1 is already a VIP",
        ),
        (
            |w| w.load_balancer(1).vips = vec![address("100.64.0.3")],
            at::<LoadBalancer>(1, "vip").nth(0),
            "100.64.0.3 is a local address, 100.64.0.0/30",
        ),
        (
            |w| w.member(1).address = address("2001:db8:ff::2"),
            at::<Member>(1, "address"),
            "2001:db8:ff::2 is a local address, 2001:db8:ff::/126",
        ),
        (
            |w| w.member(1).address = address("203.0.113.2"),
            at::<Member>(1, "address"),
            "203.0.113.2 is a VIP",
        ),
        (
            |w| w.member(1).monitor_address = Some(address("203.0.113.2")),
            at::<Member>(1, "monitor_address"),
            "203.0.113.2 is a VIP",
        ),
        // A VIP appears where a member is.
        (
            |w| w.load_balancer(1).vips = vec![address("192.0.2.10")],
            at::<Member>(10, "address"),
            "192.0.2.10 is a VIP",
        ),
        (
            |w| {
                w.capacity.place = |_| 0;
                w.capacity.addresses_per_place = 5;
            },
            at::<LoadBalancer>(1, "vip").nth(0),
            "203.0.113.2 has no room in the address table: it would share a place with [100.64.0.0, 100.64.0.1, ",
        ),
        // What has two roles does not need two places.
        (
            |w| {
                w.capacity.place = |_| 0;
                w.capacity.addresses_per_place = 5;
                w.load_balancer(1).vips = vec![address("100.64.0.3")];
            },
            at::<LoadBalancer>(1, "vip").nth(0),
            "100.64.0.3 is a local address",
        ),
        (
            |w| {
                w.capacity.place = |_| 0;
                w.capacity.addresses_per_place = 3;
                w.locals = locals(true, false);
                w.objects = Objects::default();
            },
            At::local_addresses(),
            "100.64.0.3 has no room",
        ),
    ]);
}

/// The last in the order of ids is what is too much.
#[test]
fn room() {
    finds(&[
        (|w| w.capacity.pools = 2, at::<Pool>(2, ""), "makes 3 pools"),
        (|w| w.capacity.members = 5, at::<Pool>(2, ""), "makes 6 members in all pools"),
        (|w| w.capacity.slots = 5, at::<Pool>(2, ""), "makes 6 slots in all pools ("),
        (|w| w.capacity.listeners = 9, at::<Listener>(5, ""), "makes 11 listeners, one for each VIP"),
        (|w| w.capacity.networks = 3, at::<Listener>(0, ""), "makes 4 networks in access lists"),
        // A list that grows.
        (
            |w| {
                w.capacity.networks = 5;
                put(
                    &mut w.objects.access_lists,
                    0,
                    access_list(&BTreeSet::from([1, 2]), &BTreeSet::new(), false),
                );
            },
            at::<Listener>(0, ""),
            "makes 6 networks in access lists",
        ),
        // One weight that grows.
        (
            |w| {
                w.capacity.slots = 6;
                w.member(0).weight = Weight::literal(2);
            },
            at::<Pool>(2, ""),
            "makes 7 slots in all pools (",
        ),
    ]);
}

#[test]
fn what_just_fits_is_good() {
    let mut world = world();
    let full =
        Capacity { listeners: 11, networks: 4, pools: 3, members: 6, slots: 6, pool_slots: 2, ..CAPACITY };
    world.capacity = full;
    assert_eq!(world.problems(None), []);
}

/// What refers to an object that could not be read is not blamed.
#[test]
fn an_object_that_could_not_be_read() {
    let mut world = world();
    let before = world.objects.clone();
    let unread = HashSet::from([
        id::<Pool>(0).uuid(), // ids of the kinds that go, which have the same numbers
        id::<ServerGroup>(2).uuid(),
        id::<Listener>(3).uuid(),
        id::<Listener>(5).uuid(),
    ]);
    world.objects.pools.remove(&id(0));
    world.objects.server_groups.remove(&id(2));
    world.objects.listeners.remove(&id(3));
    world.objects.listeners.remove(&id(5));
    world.objects.access_logs.remove(&id(0));
    for before in [None, Some(&before)] {
        let surroundings = Surroundings {
            local_addresses: &world.locals,
            capacity: &world.capacity,
            unread: &unread,
            before,
        };
        assert_eq!(check(&world.objects, &surroundings), []);
    }
}

/// Of several problems the first is what the others follow from.
#[test]
fn causes_come_first() {
    let mut world = world();
    world.objects.pools.remove(&id(2));
    world.load_balancer(1).vips = vec![address("192.0.2.1")];
    let places: Vec<_> = world.problems(None).iter().map(|problem| problem.at).collect();
    let expected = [at::<Listener>(2, "pool"), at::<Policy>(20, "pool"), at::<Member>(1, "address")];
    assert_eq!(places, expected);
}
