//! Each thing that can be wrong, one at a time, and what is said about it.

use super::*;

/// Edits of [`BASE`], what for what, and the one line that is then said; none where it is empty.
fn said_of(cases: &[(&str, &str, &str)]) {
    for (from, to, expected) in cases {
        let expected = if expected.is_empty() { &[] } else { std::slice::from_ref(expected) };
        assert_eq!(said(&edited(from, to)), expected, "{from:?} became {to:?}");
    }
}

#[test]
fn host() {
    said_of(&[
        (r#"["eth0"]"#, r"[]", "2: host.interfaces: the list is empty; put at least one into it"),
        (
            r#"["eth0"]"#,
            r#""eth0""#,
            "2: host.interfaces: a string does not belong here; use a list in brackets",
        ),
        (
            r#"["eth0"]"#,
            r#"["eth0", "eth0"]"#,
            r#"2: host.interfaces: "eth0" is in the list already; name each interface once"#,
        ),
        (
            r#"["eth0"]"#,
            r#"["a/b"]"#,
            r#"2: host.interfaces: "a/b" cannot be an interface; use a name as `ip link` shows it"#,
        ),
        (r#"["eth0"]"#, r#"["fifteen-bytes-5"]"#, ""),
        (
            r#"["eth0"]"#,
            r#"["sixteen-bytes-16"]"#,
            r#"2: host.interfaces: "sixteen-bytes-16" cannot be an interface; use a name as `ip link` shows it"#,
        ),
        ("interfaces = [\"eth0\"]\n", "", "1: host.interfaces: missing; it has no default"),
        (
            "0.0/28",
            "0.1/28",
            r#"3: host.local_addresses: "100.64.0.1/28" is not aligned to its length; use 100.64.0.0/28 or 100.64.0.1"#,
        ),
        (
            "0.0/28",
            "0.0/33",
            r#"3: host.local_addresses: "100.64.0.0/33" is not an IP address or prefix; use one such as "100.64.0.1", "100.64.0.0/28" or "2001:db8::/124""#,
        ),
        (
            "100.64.0.0/28",
            "100.64.0.1\", \"2001:db8::/64",
            "3: host.local_addresses: more than 2³² addresses in all; use at most 256, such as one /24, or one /120 of IPv6",
        ),
        (
            "100.64.0.0/28\"",
            "100.64.0.0/28\", \"2001:db8::/119\"",
            "3: host.local_addresses: 528 addresses in all; use at most 256, such as one /24, or one /120 of IPv6",
        ),
        ("100.64.0.0/28\"", "100.64.0.0/28\", \"2001:db8:64::/124\"", ""),
        (
            "100.64.0.0/28",
            "100.64.0.1\", \"::/0",
            r#"3: host.local_addresses: "::/0" is the unspecified address, which is no host's; a local address must be a unicast address"#,
        ),
        (
            "100.64.0.0/28",
            "2001:db8::1/124",
            r#"3: host.local_addresses: "2001:db8::1/124" is not aligned to its length; use 2001:db8::/124 or 2001:db8::1"#,
        ),
        (
            "100.64.0.0/28",
            "::ffff:100.64.0.0/124",
            r#"3: host.local_addresses: "::ffff:100.64.0.0/124" is IPv4 in the spelling of IPv6; use "100.64.0.0/28""#,
        ),
        (
            "100.64.0.0/28",
            "fe80::1",
            r#"3: host.local_addresses: "fe80::1" is a link-local address; a local address must be one that is known on every link"#,
        ),
        (
            r#"0.0/28""#,
            "0.0/28\",\n\"2001:db8::8/125\",\n\"2001:db8::f\"",
            "5: host.local_addresses: 2001:db8::f/128 overlaps 2001:db8::8/125 on line 4; give each local address once",
        ),
        (
            "100.64.0.0/28",
            "127.0.0.1",
            r#"3: host.local_addresses: "127.0.0.1" is a loopback address; a local address must be a unicast address"#,
        ),
        (
            "100.64.0.0/28",
            "255.255.255.0/24",
            r#"3: host.local_addresses: "255.255.255.0/24" is the broadcast address; a local address must be a unicast address"#,
        ),
        (
            "0.0/28",
            "0.0/23",
            "3: host.local_addresses: 512 addresses in all; use at most 256, such as one /24, or one /120 of IPv6",
        ),
        ("0.0/28", "0.0/24", ""),
        (
            r#"0.0/28""#,
            "0.0/28\",\n\"100.64.0.15\"",
            "4: host.local_addresses: 100.64.0.15/32 overlaps 100.64.0.0/28 on line 3; give each local address once",
        ),
        (
            r#"0.0/28""#,
            "0.0/28\",\n\"100.64.0.0/27\"",
            "4: host.local_addresses: 100.64.0.0/27 overlaps 100.64.0.0/28 on line 3; give each local address once",
        ),
        (
            "1024-65535",
            "2000-1999",
            r#"4: host.local_ports: "2000-1999" is not a range of ports; use first-last, both 1 to 65535, such as "1024-65535""#,
        ),
        (
            "1024-65535",
            "0-9",
            r#"4: host.local_ports: "0-9" is not a range of ports; use first-last, both 1 to 65535, such as "1024-65535""#,
        ),
        (
            "1024-65535",
            "1024-65536",
            r#"4: host.local_ports: "1024-65536" is not a range of ports; use first-last, both 1 to 65535, such as "1024-65535""#,
        ),
        ("1024-65535", "5000-5000", ""),
        ("4096", "1023", "5: host.max_sessions: 1023 is not a number of sessions; use 1024 to 16777216"),
        (
            "4096",
            "16_777_217",
            "5: host.max_sessions: 16777217 is not a number of sessions; use 1024 to 16777216",
        ),
        (
            "4096",
            "99999999999999999999999999",
            "5: host.max_sessions: 99999999999999999999999999 is not a number of sessions; use 1024 to 16777216",
        ),
        (
            "4096",
            "4e3",
            "5: host.max_sessions: a fraction does not belong here; use a whole number, 1024 to 16777216",
        ),
        ("max_sessions", "max_session", "5: host.max_session: unknown key; did you mean \"max_sessions\"?"),
        (
            "max_sessions",
            "\"sessions\\nin all\"",
            r#"5: host."sessions\nin all": unknown key; this version knows interfaces, local_addresses, local_ports, max_sessions, announce, max_half_open, min_path_mtu, virtual_macs, without_session, resets_per_second"#,
        ),
    ]);
}

#[test]
fn timeouts() {
    said_of(&[
        (
            "10s",
            "250ms",
            r#"7: timeouts.close: "250ms" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
        (
            "10s",
            "0s",
            r#"7: timeouts.close: "0s" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
        (
            "10s",
            "86401s",
            r#"7: timeouts.close: "86401s" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
        ("10s", "24h", ""),
        (
            r#""10s""#,
            "10",
            r#"7: timeouts.close: a whole number does not belong here; use a time in quotes, such as "300s", "5m" or "1h""#,
        ),
        (
            "[timeouts]",
            "[web]\nlisten = 'x'\n[timeouts]",
            "6: web: unknown key; this version knows host, api, timeouts, certificate, load_balancer, server_group, pool",
        ),
    ]);
}

#[test]
fn the_api() {
    let api = |lines: &str| format!("[api]\n{lines}\n[timeouts]");
    let pool =
        |name: &str, range: &str| format!("[[api.vip_pool]]\nname = '{name}'\naddresses = '{range}'\n");
    let listen = "listen = '127.0.0.1:9876'\n";
    for (lines, expected) in [
        (listen.to_owned(), ""),
        ("listen = '/run/evenkeel/api.sock'".into(), ""),
        (listen.to_owned() + &pool("a", "198.51.100.0/24") + &pool("b", "2001:db8::/64"), ""),
        (String::new(), "6: api.listen: missing; it has no default"),
        (
            "listen = '0.0.0.0:9876'".into(),
            "7: api.listen: \"0.0.0.0:9876\" is no loopback address, and every client that reaches the API may do everything; use a \
             port of a loopback address such as \"127.0.0.1:9876\", or a socket's path such as \"/run/evenkeel/api.sock\"",
        ),
        (
            listen.to_owned() + &pool("a", "198.51.100.0/24") + &pool("b", "198.51.100.7"),
            "13: api.vip_pool.addresses: 198.51.100.7/32 overlaps 198.51.100.0/24 on line 10; give each address to one pool",
        ),
        (
            listen.to_owned() + &pool("a", "198.51.100.0/28") + &pool("a", "198.51.100.16/28"),
            "12: api.vip_pool.name: \"a\" is taken on line 10; give each its own name",
        ),
        (
            listen.to_owned() + &pool("a", "100.64.0.0/24"),
            "10: api.vip_pool.addresses: 100.64.0.0/24 overlaps the local addresses 100.64.0.0/28; a VIP must not be one",
        ),
        (listen.to_owned() + "pools = []", "8: api.pools: unknown key; this version knows listen, vip_pool"),
    ] {
        said_of(&[("[timeouts]", &api(&lines), expected)]);
    }
}

#[test]
fn load_balancers() {
    said_of(&[
        ("[[load_balancer]]", "[load_balancer]", ""),
        (r#"["203.0.113.10"]"#, r"[]", "10: load_balancer.vip: the list is empty; put at least one into it"),
        (
            r#"["203.0.113.10"]"#,
            r#"["203.0.113.10", "203.0.113.10"]"#,
            "10: load_balancer.vip: 203.0.113.10 is already a VIP on line 10; give each VIP to one load balancer, once",
        ),
        (
            "203.0.113.10",
            "203.0.113.10/32",
            r#"10: load_balancer.vip: "203.0.113.10/32" is not an IP address; use one such as "192.0.2.11" or "2001:db8::11""#,
        ),
        (
            "203.0.113.10",
            "2001:db8::10%eth0",
            r#"10: load_balancer.vip: "2001:db8::10%eth0" is not an IP address; use one such as "192.0.2.11" or "2001:db8::11""#,
        ),
        (r#"["203.0.113.10"]"#, r#"["2001:db8::10", "203.0.113.10"]"#, ""),
        (
            r#"["203.0.113.10"]"#,
            r#"["2001:db8::10", "2001:DB8:0::10"]"#,
            "10: load_balancer.vip: 2001:db8::10 is already a VIP on line 10; give each VIP to one load balancer, once",
        ),
        (
            "203.0.113.10",
            "::ffff:203.0.113.10",
            r#"10: load_balancer.vip: "::ffff:203.0.113.10" is IPv4 in the spelling of IPv6; use "203.0.113.10""#,
        ),
        (
            "203.0.113.10",
            "::",
            r#"10: load_balancer.vip: "::" is the unspecified address, which is no host's; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "::1",
            r#"10: load_balancer.vip: "::1" is a loopback address; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "fe80::10",
            r#"10: load_balancer.vip: "fe80::10" is a link-local address; a VIP must be one that is known on every link"#,
        ),
        (
            "203.0.113.10",
            "ff02::10",
            r#"10: load_balancer.vip: "ff02::10" is a multicast address; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "0.0.0.0",
            r#"10: load_balancer.vip: "0.0.0.0" is in 0.0.0.0/8, which is no host's; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "224.0.0.1",
            r#"10: load_balancer.vip: "224.0.0.1" is a multicast address; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "255.255.255.255",
            r#"10: load_balancer.vip: "255.255.255.255" is the broadcast address; a VIP must be a unicast address"#,
        ),
        (
            "203.0.113.10",
            "100.64.0.15",
            "10: load_balancer.vip: 100.64.0.15 is a local address, 100.64.0.0/28 on line 3; a VIP must not be one",
        ),
        ("203.0.113.10", "100.64.0.16", ""),
        (
            "name = \"shop\"",
            "name = ''",
            r#"9: load_balancer.name: "" has 0 bytes and is not a name; use 1 to 64 bytes, no control characters"#,
        ),
        (
            "name = \"shop\"",
            "name = \"a\\u0000\"",
            r#"9: load_balancer.name: "a\0" has 2 bytes and is not a name; use 1 to 64 bytes, no control characters"#,
        ),
        (
            "name = \"shop\"",
            "name = \"shop\"\nbandwidth = 1",
            "10: load_balancer.bandwidth: unknown key; did you mean \"bandwidth_mbit\"?",
        ),
    ]);
}

#[test]
fn listeners() {
    said_of(&[
        ("port = 80\n", "port = 0\n", "13: load_balancer.listener.port: 0 is not a port; use 1 to 65535"),
        (
            "port = 80\n",
            "port = 65536\n",
            "13: load_balancer.listener.port: 65536 is not a port; use 1 to 65535",
        ),
        ("port = 80\n", "port = -80\n", "13: load_balancer.listener.port: -80 is not a port; use 1 to 65535"),
        (
            "port = 80\n",
            "port = '80'\n",
            "13: load_balancer.listener.port: a string does not belong here; use a whole number, 1 to 65535",
        ),
        ("port = 80\n", "", "11: load_balancer.listener.port: missing; it has no default"),
        (
            "port = 80\n",
            "port = 80\nprotocol = 'quic'\n",
            r#"14: load_balancer.listener.protocol: "quic" is not supported by this version; use "tcp", "udp", "http" or "https""#,
        ),
        (
            "port = 80\n",
            "port = 80\nbandwidth_mbit = 10\n",
            "14: load_balancer.listener.bandwidth_mbit: unknown key; this version knows name, protocol, port, pool, idle_timeout, allow, deny, max_connections, max_connections_per_second, when_down, http2, certificates, default_certificate, client_ca, tls_policy, head_timeout, connect_timeout, read_timeout, write_timeout, tunnel_timeout, limits, forwarded, proxy_protocol_from, policy, policy_order, redirect, description, tags",
        ),
        ("port = 80\n", "port = 80\nallow = []\n", ""),
        (
            "port = 80\n",
            "port = 80\nallow = ['10.0.0.0/8', '192.0.2.1']\ndeny = ['10.1.0.0/16', '0.0.0.0/0']\n",
            "",
        ),
        (
            "port = 80\n",
            "port = 80\nallow = ['10.0.0.1/8']\n",
            r#"14: load_balancer.listener.allow: "10.0.0.1/8" is not aligned to its length; use 10.0.0.0/8 or 10.0.0.1"#,
        ),
        (
            "port = 80\n",
            "port = 80\nallow = ['10.0.0.0/8', '2001:db8::/32', '::/0']\ndeny = ['2001:db8:1::7', '::ffff:10.1.0.0/112']\n",
            r#"15: load_balancer.listener.deny: "::ffff:10.1.0.0/112" is IPv4 in the spelling of IPv6; use "10.1.0.0/16""#,
        ),
        (
            "port = 80\n",
            "port = 80\nallow = ['10.0.0.0/8']\ndeny = ['10.0.0.0/8']\n",
            "15: load_balancer.listener.deny: 10.0.0.0/8 is in allow on line 14 already; give each network once",
        ),
        (
            "port = 80\n",
            "port = 80\nidle_timeout = '2days'\n",
            r#"14: load_balancer.listener.idle_timeout: "2days" is not a time in whole seconds from 1s to 1day; use one such as "300s", "5m" or "1h""#,
        ),
        (
            r#"pool = "web""#,
            r#"pool = "wep""#,
            r#"14: load_balancer.listener.pool: no pool is named "wep"; write [[pool]] with this name, or name another"#,
        ),
        (
            "192.0.2.11",
            "2001:db8::11",
            r#"14: load_balancer.listener.pool: [2001:db8::11]:8080 in pool "web" needs a local address of IPv6 to be reached from; add one to host.local_addresses"#,
        ),
        (
            "100.64.0.0/28",
            "2001:db8:64::/124",
            r#"14: load_balancer.listener.pool: 192.0.2.11:8080 in pool "web" needs a local address of IPv4 to be reached from; add one to host.local_addresses"#,
        ),
        (
            r#"pool = "web""#,
            "pool = 'web'\n[[load_balancer.listener]]\nname = 'web2'\nport = 80\npool = 'web'",
            "17: load_balancer.listener.port: 80 is another listener's on line 13; give each its own port",
        ),
        (
            r#"pool = "web""#,
            "pool = 'web'\n[[load_balancer.listener]]\nname = 'web'\nport = 81\npool = 'web'",
            r#"16: load_balancer.listener.name: "web" is taken on line 12; give each its own name"#,
        ),
        (
            "[[pool]]",
            "[[load_balancer]]\nname = 'shop'\nvip = '203.0.113.11'\n[[pool]]",
            r#"16: load_balancer.name: "shop" is taken on line 9; give each its own name"#,
        ),
        (
            "[[pool]]",
            "[[load_balancer]]\nname = 'b'\nvip = '203.0.113.10'\n[[pool]]",
            "17: load_balancer.vip: 203.0.113.10 is already a VIP on line 10; give each VIP to one load balancer, once",
        ),
    ]);
}

#[test]
fn pools() {
    said_of(&[
        (
            "[[pool]]",
            "[[pool]]\nname = 'web'\n[[pool]]",
            r#"18: pool.name: "web" is taken on line 16; give each its own name"#,
        ),
        (
            "weighted-round-robin",
            "fastest",
            r#"17: pool.algorithm: "fastest" is no algorithm; use "weighted-round-robin", "weighted-least-connections" or "source-hash""#,
        ),
        ("weighted-round-robin", "source-hash", ""),
        ("weighted-round-robin", "weighted-least-connections", ""),
        (
            "[[pool.member]]",
            "sticky = { minutes = 20 }\n[[pool.member]]",
            "18: pool.sticky.by: missing; it has no default",
        ),
        (
            "[[pool.member]]",
            "sticky = { by = 'cookie' }\n[[pool.member]]",
            r#"18: pool.sticky.by: "cookie" is nothing that a client can be known by; use "source-ip", "balancer-cookie" or "application-cookie""#,
        ),
        (
            "[[pool.member]]",
            "sticky = { by = 'source-ip', minutes = 61 }\n[[pool.member]]",
            "18: pool.sticky.minutes: 61 is not a number of minutes; use 1 to 60",
        ),
        ("[[pool.member]]", "sticky = { by = 'source-ip', minutes = 60 }\n[[pool.member]]", ""),
        (
            "[[pool.member]]",
            "health = {}\n[[pool.member]]",
            "18: pool.health.protocol: missing; it has no default",
        ),
        ("weight = 3", "weight = 300", "21: pool.member.weight: 300 is not a weight; use 0 to 256"),
        ("weight = 3", "weight = 256", ""),
        ("weight = 3", "weight = 0", ""),
        (
            "192.0.2.11",
            "192.0.2.11:80",
            r#"19: pool.member.address: "192.0.2.11:80" is not an IP address; use one such as "192.0.2.11" or "2001:db8::11""#,
        ),
        (
            "192.0.2.11",
            "127.0.0.1",
            r#"19: pool.member.address: "127.0.0.1" is a loopback address; a member must be a unicast address"#,
        ),
        (
            "192.0.2.11",
            "203.0.113.10",
            "19: pool.member.address: 203.0.113.10 is a VIP on line 10; use the backend's own address",
        ),
        (
            "192.0.2.11",
            "100.64.0.0",
            "19: pool.member.address: 100.64.0.0 is a local address, 100.64.0.0/28 on line 3; use the backend's own",
        ),
        (
            "weight = 3",
            "weight = 3\n[[pool.member]]\naddress = '192.0.2.11'\nport = 8080",
            "23: pool.member.address: 192.0.2.11:8080 is already a member on line 18; give each member once",
        ),
        ("weight = 3", "weight = 3\n[[pool.member]]\naddress = '192.0.2.11'\nport = 8081", ""),
        (
            "192.0.2.11",
            "::ffff:192.0.2.11",
            r#"19: pool.member.address: "::ffff:192.0.2.11" is IPv4 in the spelling of IPv6; use "192.0.2.11""#,
        ),
    ]);
}

#[test]
fn text() {
    said_of(&[
        ("port = 8080", "port = ", "20: string values must be quoted, expected literal string"),
        ("max_sessions = 4096", "local_ports = ''", "5: duplicate key, at `local_ports`"),
        (
            "max_sessions = 4096",
            "max_sessions = many\u{7}",
            "5: string values must be quoted, expected literal string, at `many\u{fffd}`",
        ),
    ]);
    let text = BASE.replace("port = 8080", "port = ").replace("4096", &"x".repeat(1000));
    let shown = "x".repeat(40);
    assert_eq!(
        said(&text),
        [
            format!("5: string values must be quoted, expected literal string, at `{shown}`").as_str(),
            "20: string values must be quoted, expected literal string"
        ]
    );
}

#[test]
fn nothing_at_all() {
    assert_eq!(said(""), ["1: host: missing; write [host] with interfaces and local_addresses"]);
}

#[test]
fn all_problems_are_said_at_once_by_line() {
    let text = BASE
        .replace("max_sessions", "sessions")
        .replace("10s", "tomorrow")
        .replace("port = 80\n", "port = 0\n")
        .replace("\"192.0.2.11\"", "\"100.64.0.3\"")
        .replace("port = 8080", "port = 0")
        .replace("weight = 3", "weight = -1");
    let errors = parse("f.toml", &text).unwrap_err();
    let found: Vec<_> = errors.problems.iter().map(|p| (p.line.unwrap(), p.key.as_str())).collect();
    assert_eq!(
        found,
        [
            (5, "host.sessions"),
            (7, "timeouts.close"),
            (13, "load_balancer.listener.port"),
            (19, "pool.member.address"),
            (20, "pool.member.port"),
            (21, "pool.member.weight"),
        ]
    );
}
