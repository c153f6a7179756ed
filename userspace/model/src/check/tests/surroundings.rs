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
        (|w| w.load_balancer(1).vips.clear(), at::<LoadBalancer>(1, "vip"), "missing"),
        // A new one, so that no VIP is another.
        (
            |w| {
                let empty = LoadBalancer { vips: Vec::new(), ..w.load_balancer(1).clone() };
                put(&mut w.objects.load_balancers, 2, empty);
            },
            at::<LoadBalancer>(2, "vip"),
            "missing",
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
            At::local_addresses(0),
            "100.64.0.3 has no room",
        ),
    ]);
}

/// The last in the order of ids is what is too much.
#[test]
fn capacity() {
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
    world.unread = HashSet::from([
        id::<crate::id::kind::Pool>(0).uuid(), // ids of the kinds that go, which have the same numbers
        id::<crate::id::kind::ServerGroup>(2).uuid(),
        id::<crate::id::kind::Listener>(3).uuid(),
        id::<crate::id::kind::Listener>(5).uuid(),
        id::<crate::id::kind::Certificate>(9).uuid(),
    ]);
    // Two names that say nothing are not the same one.
    world.tls(4).certificates.extend([id(9), id(9)]);
    world.objects.pools.remove(&id(0));
    world.objects.server_groups.remove(&id(2));
    world.objects.listeners.remove(&id(3));
    world.objects.listeners.remove(&id(5));
    world.objects.access_logs.remove(&id(0));
    assert_eq!(world.problems(None), []);
    assert_eq!(world.problems(Some(&before)), []);
}

/// Of a load balancer the VIPs; of a host those local addresses from which a member is reached.
#[test]
fn what_could_not_be_read_whole() {
    let mut world = world();
    let before = world.objects.clone();
    world.locals = locals(true, false);
    world.load_balancer(1).vips.clear();
    world.member(1).address = address("2001:db8:200::1");
    assert_eq!(world.problems(None).len(), 3);
    world.unread = HashSet::from([id::<crate::id::kind::LoadBalancer>(1).uuid(), Uuid::nil()]);
    assert_eq!(world.problems(None), []);
    assert_eq!(world.problems(Some(&before)), []);
}

/// Objects with these numbers come in this order, behind all others.
fn in_order(numbers: &[usize]) -> HashMap<Uuid, usize> {
    numbers
        .iter()
        .enumerate()
        .map(|(place, &number)| (id::<crate::id::kind::Listener>(number).uuid(), place))
        .collect()
}

/// Ids say nothing of which of several came first: the others are told, each beside that one.
#[test]
fn of_several_that_cannot_be_the_later_ones_are_at_fault() {
    for numbers in [[1000, 1001, 1002], [1002, 1000, 1001], [1001, 1002, 1000]] {
        let mut world = world();
        for number in numbers {
            let listener = Listener { port: port(82), ..world.listener(0).clone() };
            put(&mut world.objects.listeners, number, listener);
            let vips = vec![address("203.0.113.9")];
            let load_balancer = LoadBalancer { vips, ..world.load_balancer(1).clone() };
            put(&mut world.objects.load_balancers, number, load_balancer);
            world.group(0).members.insert(id(number), Arc::new(member(address("192.0.2.9"), port(80))));
        }
        world.order = in_order(&numbers);
        let found: Vec<_> =
            world.problems(None).into_iter().map(|problem| (problem.at, problem.other)).collect();
        let [first, second, third] = numbers;
        let later = |at: fn(usize) -> At, beside: fn(usize) -> At| {
            [second, third].map(|number| (at(number), Some(beside(first))))
        };
        let expected = [
            later(|n| at::<Member>(n, "address"), |n| at::<Member>(n, "")),
            later(|n| at::<Listener>(n, "port"), |n| at::<Listener>(n, "port")),
            later(|n| at::<LoadBalancer>(n, "vip").nth(0), |n| at::<LoadBalancer>(n, "vip").nth(0)),
        ];
        assert_eq!(found, expected.concat());
    }
}

/// What has no place in the order came before what has one.
#[test]
fn what_came_last_has_no_room() {
    fn come(world: &mut World) {
        world.order = in_order(&[1, 0]);
    }
    finds(&[
        (
            |w| {
                come(w);
                w.capacity.pools = 2;
            },
            at::<Pool>(0, ""),
            "makes 3 pools",
        ),
        (
            |w| {
                come(w);
                w.capacity.listeners = 10;
            },
            at::<Listener>(0, ""),
            "makes 11 listeners",
        ),
        (
            |w| {
                come(w);
                w.capacity.place = |_| 0;
                w.capacity.addresses_per_place = 5;
            },
            at::<LoadBalancer>(0, "vip").nth(0),
            "203.0.113.1 has no room in the address table",
        ),
    ]);
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
