//! References, access lists, server groups and pools.

use std::collections::BTreeSet;

use super::*;

#[test]
fn references() {
    finds(&[
        (
            |w| _ = w.objects.server_groups.remove(&id(2)),
            at::<Pool>(2, "server_group"),
            "there is no server group ",
        ),
        (
            |w| _ = w.objects.access_logs.remove(&id(0)),
            at::<LoadBalancer>(0, "access_log"),
            "there is no access log ",
        ),
        (
            |w| _ = w.objects.load_balancers.remove(&id(1)),
            at::<Listener>(4, "load_balancer"),
            "there is no load balancer ",
        ),
        (
            |w| _ = w.objects.access_lists.remove(&id(0)),
            at::<Listener>(0, "access_list"),
            "there is no access list ",
        ),
        (|w| _ = w.objects.pools.remove(&id(1)), at::<Listener>(3, "pool"), "there is no pool "),
        (
            |w| w.policies(2)[0] = policy(20, 0, Action::Pool(id(9))),
            at::<Policy>(20, "pool"),
            "there is no pool ",
        ),
        (
            |w| w.tls(4).certificates[1] = id(9),
            at::<Listener>(4, "certificates").nth(1),
            "there is no certificate ",
        ),
        (
            |w| w.tls(4).certificates[1] = id(1),
            at::<Listener>(4, "certificates").nth(1),
            "certificate \"certificate\" is a CA, which",
        ),
        (
            |w| w.tls(4).certificates.push(id(0)),
            at::<Listener>(4, "certificates").nth(2),
            "\"certificate\" is in the list already",
        ),
        (
            |w| w.tls(4).default_certificate = id(9),
            at::<Listener>(4, "default_certificate"),
            "00000000-0000-0000-0000-00000000000a is not in",
        ),
        (
            |w| _ = w.tls(4).certificates.remove(0),
            at::<Listener>(4, "default_certificate"),
            "\"certificate\" is not in",
        ),
        (|w| w.tls(4).client_ca = Some(id(9)), at::<Listener>(4, "client_ca"), "there is no certificate "),
        (
            |w| w.tls(4).client_ca = Some(id(0)),
            at::<Listener>(4, "client_ca"),
            "certificate \"certificate\" is a server's",
        ),
        (
            |w| w.group(1).monitor = Some(monitor(1, get(Some(member_tls(Some(9)))), None)),
            at::<HealthMonitor>(1, "tls.ca"),
            "there is no certificate ",
        ),
        (
            |w| w.group(1).monitor = Some(monitor(1, get(Some(member_tls(Some(0)))), None)),
            at::<HealthMonitor>(1, "tls.ca"),
            "certificate \"certificate\" is a server's",
        ),
    ]);
}

/// A certificate that is not for this any more is found in the pool, its check and the listeners, which are as before.
#[test]
fn a_certificate_of_another_kind() {
    let mut world = world();
    let before = world.objects.clone();
    put(&mut world.objects.certificates, 1, certificate(1, true));
    let problems = world.problems(Some(&before));
    let places: Vec<_> = problems.iter().map(|problem| problem.at).collect();
    let [pool, check] = [at::<Pool>(1, "tls.ca"), at::<HealthMonitor>(1, "tls.ca")];
    let listeners = [3, 4, 5].map(|listener| at::<Listener>(listener, "client_ca"));
    assert_eq!(places, [&[pool, check][..], &listeners].concat());
}

#[test]
fn access_lists_and_members() {
    finds(&[
        (
            |w| {
                let mut list = access_list(&BTreeSet::from([1]), &BTreeSet::new(), false);
                list.access.deny = list.access.allow.clone().unwrap();
                put(&mut w.objects.access_lists, 0, list);
            },
            at::<AccessList>(0, "deny"),
            "198.51.100.4/30 is allowed already",
        ),
        (
            |w| w.member(1).address = w.member(0).address,
            at::<Member>(1, "address"),
            "192.0.2.0:8080 is already a member",
        ),
    ]);
}

#[test]
fn pools() {
    fn turns_to_least(world: &mut World) {
        world.members(2, 6, 1);
        let PoolKind::Layer7 { algorithm, .. } = &mut world.pool(2).kind else { panic!() };
        *algorithm = Algorithm::WeightedLeastConnections;
    }
    fn turns_to_proxy(world: &mut World) {
        world.group(2).monitor = Some(monitor(2, get(None), None));
        let PoolKind::Layer7 { http, .. } = &mut world.pool(2).kind else { panic!() };
        http.proxy_protocol = Some(ProxyVersion::V1);
    }
    finds(&[
        (turns_to_least, at::<Pool>(2, "algorithm"), "compares at most 5 members, and this pool has 6"),
        (
            |w| w.members(2, 80, 256),
            at::<Pool>(2, ""),
            "its weights, divided by what divides them all, sum to 20225",
        ),
        (
            turns_to_proxy,
            at::<HealthMonitor>(2, "protocol"),
            "the members want a PROXY protocol header first",
        ),
        (
            |w| w.group(1).monitor = Some(monitor(1, get(None), None)),
            at::<HealthMonitor>(1, "protocol"),
            "the members speak TLS",
        ),
        (
            |w| w.group(2).monitor = Some(monitor(2, get(Some(member_tls(None))), None)),
            at::<HealthMonitor>(2, "protocol"),
            "only members of a pool with",
        ),
        // Once, however many pools share it.
        (
            |w| {
                w.group(2).monitor = Some(monitor(2, get(Some(member_tls(None))), None));
                let again = w.pool(2).clone();
                put(&mut w.objects.pools, 3, again);
            },
            at::<HealthMonitor>(2, "protocol"),
            "only members of a pool with",
        ),
    ]);
}

/// Where the port that is asked is not the one on which the members speak TLS.
#[test]
fn a_check_with_a_port_of_its_own() {
    let changes: [fn(&mut World); 2] = [
        |w| w.group(1).monitor = Some(monitor(1, get(None), Some(port(81)))),
        |w| {
            w.group(1).monitor = Some(monitor(1, get(None), None));
            w.member(10).monitor_port = Some(port(81));
            w.member(11).monitor_port = Some(port(82));
        },
    ];
    for change in changes {
        let mut world = world();
        change(&mut world);
        assert_eq!(world.problems(None), []);
    }
}
