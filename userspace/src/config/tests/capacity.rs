//! What the data path's maps have no room for is refused, and nothing less.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

/// A pool of `members` with this weight each, the first with weight `first`.
fn pool(number: usize, members: usize, first: u16, weight: u16) -> String {
    let member = |m: usize| {
        let weight = if m == 0 { first } else { weight };
        let (a, b) = (m / 250, m % 250);
        format!("[[pool.member]]\naddress = '10.{number}.{a}.{b}'\nport = 1\nweight = {weight}\n")
    };
    format!("[[pool]]\nname = 'pool {number}'\n") + &(0..members).map(member).collect::<String>()
}

#[test]
fn what_the_maps_have_no_room_for_is_refused() {
    let pools = |pools: &[String]| said(&format!("{BASE}{}", pools.concat()));

    assert_eq!(pools(&[pool(0, 257, 1, 255)]), [""; 0]);
    assert_eq!(
        pools(&[pool(0, 258, 254, 255)]),
        ["22: pool: its weights, divided by what divides them all, sum to \
        65789; use smaller or rounder weights, at most 65536"]
    );
    assert_eq!(pools(&[pool(0, 258, 255, 255)]), [""; 0], "255 divides them all");

    let enough: Vec<_> = (0..16).map(|n| pool(n, 257, 253, 255)).collect();
    assert_eq!(pools(&enough), [""; 0]);
    let too_many: Vec<_> = (0..17).map(|n| pool(n, 257, 253, 255)).collect();
    let said = pools(&too_many);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("slots in all pools"), "{said:?}");
    assert!(said[0].ends_with("room for 1048576, and for as many more while they change"), "{said:?}");
}

/// Slots that a change brings lie beside those whose place they take.
#[test]
fn pools_by_source_hash_leave_room_for_their_next_slots() {
    let hashed = |n| pool(n, 2, 1, 1).replace("[[pool]]", "[[pool]]\nalgorithm = 'source-hash'");
    let with = |count| said(&format!("{BASE}{}", (0..count).map(hashed).collect::<String>()));
    assert_eq!(with(64), [""; 0]);
    assert_eq!(with(65).len(), 1);
}

#[test]
fn interfaces_are_counted() {
    let with = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("'eth{n}'")).collect();
        said(&edited(r#"["eth0"]"#, &format!("[{}]", names.join(","))))
    };
    assert_eq!(with(16), [""; 0]);
    assert_eq!(with(17), ["2: host.interfaces: 17 interfaces; use at most 16"]);
}

#[test]
fn listeners_are_counted_once_for_each_vip() {
    let vips: Vec<_> = (0..128).map(|n| format!("'198.51.100.{n}'")).collect();
    let listeners = |count: u16| {
        let listener =
            |n| format!("[[load_balancer.listener]]\nname = 'l{n}'\nport = {}\npool = 'web'\n", n + 1);
        let listeners: String = (0..count).map(listener).collect();
        said(&format!("{BASE}[[load_balancer]]\nname = 'many'\nvip = [{}]\n{listeners}", vips.join(",")))
    };
    assert_eq!(listeners(63), [""; 0]);
    assert_eq!(
        listeners(65),
        [
            "277: load_balancer.listener: makes 8193 listeners, one for each VIP; there is room for 8192, and for as many \
        more while they change"
        ]
    );
}

#[test]
fn a_full_place_in_the_address_table_is_seen() {
    let same = |address: &u32| xdp_ebpf::abi::address_bucket(address.to_be_bytes()) == 7;
    let vips: Vec<_> =
        (0x0A00_0000u32..).filter(same).take(5).map(|a| format!("\"{}\"", Ipv4Addr::from(a))).collect();
    let v6 = |n: u32| Ipv6Addr::from_bits(0x2001_0DB8 << 96 | u128::from(n));
    let same = |n: &u32| xdp_ebpf::abi::address_bucket(v6(*n).octets()) == 7;
    let vips6: Vec<_> = (0..).filter(same).take(5).map(|n| format!("\"{}\"", v6(n))).collect();
    let with = |v4: usize, v6: usize| {
        said(&edited(r#""203.0.113.10""#, &[&vips[..v4], &vips6[..v6]].concat().join(", ")))
    };
    assert_eq!(with(4, 4), [""; 0], "each family has a table of its own");
    for said in [with(5, 4), with(4, 5)] {
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("has no room in the address table"), "{said:?}");
    }
}

#[test]
fn networks_are_counted_once_for_each_vip() {
    let vips: Vec<_> = (0..64).map(|n| format!("'198.51.100.{n}'")).collect();
    let with = |count: u32| {
        let networks: Vec<_> = (0..count).map(|n| format!("'10.{}.{}.0/24'", n >> 8, n & 0xff)).collect();
        let listener = format!(
            "[[load_balancer.listener]]\nname = 'l'\nport = 1\npool = 'web'\ndeny = [{}]\n",
            networks.join(",")
        );
        said(&format!("{BASE}[[load_balancer]]\nname = 'many'\nvip = [{}]\n{listener}", vips.join(",")))
    };
    assert_eq!(with(8191), [""; 0]);
    assert_eq!(
        with(8192),
        [
            "25: load_balancer.listener: makes 524352 networks in access lists, counted for each VIP; there is room for \
        524288, and for as many more while they change"
        ]
    );
}
