//! Of what is wrong, the cause is told where it stands, and what follows from it is not.

use super::*;

/// Objects are kept by id, which says nothing of their order in the file.
#[test]
fn of_several_that_cannot_be_the_later_ones_are_told() {
    let listener =
        |name: &str| format!("[[load_balancer.listener]]\nname = '{name}'\nport = 80\npool = 'web'\n");
    for names in [["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]] {
        let listeners: String = names.iter().map(|name| listener(name)).collect();
        let said = said(&edited("[[pool]]", &format!("{listeners}[[pool]]")));
        assert_eq!(
            said,
            [17, 21, 25].map(|line| format!(
                "{line}: load_balancer.listener.port: 80 is another listener's on line 13; give each its own port"
            ))
        );
    }
    let load_balancers: String =
        ["x", "y"].map(|name| format!("[[load_balancer]]\nname = '{name}'\nvip = '203.0.113.10'\n")).concat();
    assert_eq!(
        said(&edited("[[pool]]", &format!("{load_balancers}[[pool]]"))),
        [17, 20].map(|line| format!(
            "{line}: load_balancer.vip: 203.0.113.10 is already a VIP on line 10; give each VIP to one load balancer, once"
        ))
    );
    let member = "[[pool.member]]\naddress = '192.0.2.11'\nport = 8080\n";
    assert_eq!(
        said(&format!("{BASE}{member}{member}")),
        [23, 26].map(|line| format!(
            "{line}: pool.member.address: 192.0.2.11:8080 is already a member on line 18; give each member once"
        ))
    );
}

#[test]
fn a_local_address_is_named_with_the_line_of_its_own_range() {
    let ranges = "[\n'100.64.0.16/28',\n'100.64.0.0/28',\n'100.64.0.32']";
    let text = edited(r#"["100.64.0.0/28"]"#, ranges).replace("203.0.113.10", "100.64.0.17");
    assert_eq!(
        said(&text),
        [
            "13: load_balancer.vip: 100.64.0.17 is a local address, 100.64.0.16/28 on line 4; a VIP must not be one"
        ]
    );
}

/// The line of a list's element stays right behind one that cannot be read.
#[test]
fn elements_keep_their_lines() {
    let vips = "[\n'203.0.113.10/8',\n'203.0.113.10',\n'203.0.113.10']";
    assert_eq!(
        said(&edited(r#"["203.0.113.10"]"#, vips))[1..],
        [
            "13: load_balancer.vip: 203.0.113.10 is already a VIP on line 12; give each VIP to one load balancer, once"
        ]
    );
}

#[test]
fn what_follows_is_not_told() {
    for (from, to, expected) in [
        // A pool that cannot be read.
        (
            "algorithm = \"weighted-round-robin\"\n",
            "protocol = 'ftp'\n",
            "17: pool.protocol: \"ftp\" is not supported",
        ),
        // The family of local addresses that cannot be read.
        (
            "\"100.64.0.0/28\"",
            "\"2001:db8::/124\", \"100.64.0.1/28\"",
            "3: host.local_addresses: \"100.64.0.1/28\" is not aligned",
        ),
        // A member's port, so that nobody knows whether it is the same.
        (
            "weight = 3\n",
            "weight = 3\n[[pool.member]]\naddress = '192.0.2.11'\nport = 0\n",
            "24: pool.member.port: 0 is not a port",
        ),
        // A listener's.
        (
            "pool = \"web\"\n",
            "pool = \"web\"\n[[load_balancer.listener]]\nname = 'a'\nport = 1\npool = 'web'\n\
             [[load_balancer.listener]]\nname = 'b'\nport = 0\npool = 'web'\n",
            "21: load_balancer.listener.port: 0 is not a port",
        ),
        // A name, so that nothing can refer to the object.
        ("[[pool]]", "[[pool]]\nname = ''\n[[pool]]", "16: pool.name: \"\" has 0 bytes"),
        ("name = \"shop\"\n", "", "8: load_balancer.name: missing"),
        // The listener needs a pool, and names one that is not there.
        ("pool = \"web\"\n", "pool = \"wep\"\n", "14: load_balancer.listener.pool: no pool is named"),
    ] {
        let said = said(&edited(from, to));
        assert_eq!(said.len(), 1, "{to}: {said:?}");
        assert!(said[0].starts_with(expected), "{to}: {said:?}");
    }
}

#[test]
fn members_tls_that_cannot_be_read_is_told_once() {
    let text = BASE.replace("port = 80\n", "port = 80\nprotocol = 'http'\n").replace(
        "algorithm = \"weighted-round-robin\"\n",
        "protocol = 'https'\nhealth = { protocol = 'https' }\n",
    );
    let said = said(&text);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("16: pool.tls.server_name: missing"), "{said:?}");
}
