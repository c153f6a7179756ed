//! Do the hashes of the data path spread whatever varies: the hosts of a /24 or a /120, at each byte of their addresses,
//! and the ports of one host?

use std::{net::Ipv6Addr, vec, vec::Vec};

use proptest::prelude::*;

use crate::{
    abi::{
        ADDRESS_BUCKETS, Config, MAX_PLANES, NEXT_HOPS, SERVICE_HINTS, Service, address_bucket, plane_of,
        source_slot,
    },
    address::Address,
    family::{Family, V4, V6},
    lookup::{Buckets, tests::segment},
    next_hop,
};

/// Buckets of the forward table in this test.
const BUCKETS: u32 = 1 << 12;

/// A hash of one address and port, and how many values it has.
type Hash<A> = (&'static str, u32, fn(A, u16) -> u32);

/// No value has many more than its share: so much as chance alone gives one in a million times, counted over all values.
fn assert_even<A: Copy>((name, values, hash): Hash<A>, what: &str, keys: impl Iterator<Item = (A, u16)>) {
    let mut counts = vec![0u32; values as usize];
    let mut total = 0;
    for (address, port) in keys {
        counts[hash(address, port) as usize] += 1;
        total += 1;
    }
    let share = f64::from(total) / f64::from(values);
    let most = share + 6.0 * share.sqrt() + 6.0;
    let found = f64::from(counts.into_iter().max().unwrap_or(0));
    assert!(found <= most, "{name}: {found} of {total} have one of {values} values: {what}");
}

fn buckets<F: Family>(client: F::Address, port: u16) -> Buckets {
    let config = Config { forward_mask: BUCKETS - 1, forward6_mask: BUCKETS - 1, ..Config::default() };
    Buckets::of(&config, &segment::<F>(client, port, F::Address::default()))
}

fn ends<A: Address>(address: A) -> [u64; 2] {
    zerocopy::transmute!(address.mapped())
}

/// Every hash of an address and a port.
fn of_both<F: Family>() -> Vec<Hash<F::Address>> {
    let hint = |address: F::Address, port| Service::new(address.mapped(), port, 6).hint_index();
    vec![
        ("plane_of", MAX_PLANES, |address, port| plane_of(address, port, MAX_PLANES - 1)),
        ("plane_of four", 4, |address, port| plane_of(address, port, 3)),
        ("the first bucket", BUCKETS, |address, port| buckets::<F>(address, port).both()[0]),
        ("the second bucket", BUCKETS, |address, port| buckets::<F>(address, port).both()[1]),
        ("the local address", 14, |address, port| buckets::<F>(address, port).spread() % 14),
        ("hint_index", SERVICE_HINTS, hint),
    ]
}

/// Every hash of an address alone.
fn of_address<F: Family>() -> Vec<Hash<F::Address>> {
    vec![
        ("address_bucket", ADDRESS_BUCKETS, |address, _| address_bucket(address)),
        ("source_slot", 1021, |address, _| source_slot(address.mapped(), 1021)),
        ("a next hop's place, by destination", NEXT_HOPS, |to, _| next_hop::index_of([[0; 2], ends(to)])),
        ("a next hop's place, by source", NEXT_HOPS, |from, _| next_hop::index_of([ends(from), [7, 9]])),
    ]
}

/// Tries every hash with addresses that differ in one byte, ports that differ, and both.
fn try_all<F: Family>(address: F::Address, edit: impl Fn(F::Address, usize, u8) -> F::Address, port: u16) {
    for at in 0..size_of::<F::Address>() {
        let hosts = (0..=u8::MAX).map(|n| (edit(address, at, n), port));
        let what = std::format!("byte {at} of {address:?} port {port}");
        for hash in of_both::<F>().into_iter().chain(of_address::<F>()) {
            assert_even(hash, &what, hosts.clone());
            // The first addresses of networks: every sixteenth host.
            assert_even(hash, &what, hosts.clone().step_by(16));
        }
        let row = (0..=u8::MAX).map(|n| (edit(address, at, n), port.wrapping_add(n.into())));
        for hash in of_both::<F>() {
            assert_even(hash, &std::format!("{what} and on"), row.clone());
        }
    }
    for (step, ports) in [(1, 16), (1, 256), (1, 4096), (2, 4096), (10, 64), (256, 256)] {
        let ports = (0..ports).map(|n: u16| (address, port.wrapping_add(n.wrapping_mul(step))));
        for hash in of_both::<F>() {
            assert_even(hash, &std::format!("ports of {address:?} from {port} by {step}"), ports.clone());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_varies_is_spread(four: [u8; 4], six: [u8; 16], port: u16) {
        try_all::<V4>(four, |mut address, at, n| { address[at] = n; address }, port);
        try_all::<V6>(six, |mut address, at, n| { address[at] = n; address }, port);
    }
}

#[test]
fn the_members_of_a_network_use_all_planes() {
    let four = (0..=255).map(|n| plane_of([192, 0, 2, n], 8080, MAX_PLANES - 1));
    let six = |n: u16| Ipv6Addr::new(0x2001, 0xDB8, 2, 0, 0, 0, 0, n).octets();
    let six = (0..=255).map(|n| plane_of(six(n), 8080, MAX_PLANES - 1));
    for planes in [four.collect::<Vec<_>>(), six.collect()] {
        for plane in 0..MAX_PLANES {
            let members = planes.iter().filter(|of| **of == plane).count();
            assert!((4..=32).contains(&members), "{members} of 256 members in plane {plane}");
        }
    }
}
