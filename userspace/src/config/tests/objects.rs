//! What only objects have: ids, descriptions, tags, server groups that several pools share, and all that a member may say
//! of itself.

use model::{
    health::Get,
    object::{Meta, PoolKind, ServerGroup},
    tls::{MemberTls, MemberTrust},
    value::{Description, DnsName, HostAddress, Tag},
};

use super::*;

const GROUP: &str = "[[server_group]]\nname = 'hall'\nhealth = { protocol = 'tcp' }\n\
                     [[server_group.member]]\naddress = '192.0.2.41'\nport = 80\n";

/// [`BASE`] without the pool's own members, which come from a server group instead.
fn grouped(group: &str, pool: &str) -> String {
    let (base, _) = BASE.split_once("[[pool.member]]").unwrap();
    format!("{base}server_group = 'hall'\n{pool}\n{group}")
}

#[test]
fn a_server_group_is_shared() {
    let text = grouped(GROUP, "[[pool]]\nname = 'other'\nalgorithm = 'source-hash'\nserver_group = 'hall'");
    let objects = parse("f", &text).unwrap().objects;
    let groups: Vec<_> = objects.pools.values().map(|pool| pool.server_group).collect();
    assert_eq!((groups.len(), objects.server_groups.len()), (2, 1));
    assert!(groups.iter().all(|group| objects.server_groups.contains_key(group)));
    let model = flatten(&objects, None);
    let (web, other) = (pool(&model, "web"), pool(&model, "other"));
    // Equal questions to equal addresses are one target.
    assert_eq!((&web.members, &web.check), (&other.members, &other.check));
    assert!(web.check.is_some());
}

#[test]
fn a_group_may_be_checked_over_tls_of_its_own() {
    let of = |tls: &str| {
        grouped(
            &GROUP.replace("'tcp' }", &format!("'https'{tls} }}")),
            "protocol = 'https'\ntls.verify = false",
        )
        .replace("name = \"web\"\nport = 80\n", "name = \"web\"\nprotocol = 'http'\nport = 80\n")
    };
    let model = served(&of(", tls = { server_name = 'b.example' }"));
    let Probe::Http(Get { tls, .. }) = &pool(&model, "web").check.as_ref().unwrap().probe else { panic!() };
    let server_name = Some(DnsName::new("b.example").unwrap());
    assert_eq!(*tls, MemberTls::new(server_name, MemberTrust::System).ok());
    assert_eq!(
        said(&of("")),
        [
            "24: server_group.health.tls.server_name: missing; give the name that the members' certificates are for, or \
             verify = false to trust any certificate"
        ]
    );
}

#[test]
fn refused_groups() {
    let tcp_with_tls = GROUP.replace("'tcp' }", "'tcp', tls = {} }");
    for (text, expected) in [
        (
            grouped("", ""),
            &[
                "18: pool.server_group: no server group is named \"hall\"; write [[server_group]] with this name, or name another",
            ][..],
        ),
        (
            grouped(
                GROUP,
                "health = { protocol = 'tcp' }\n[[pool.member]]\naddress = '192.0.2.1'\nport = 80",
            ),
            &[
                "19: pool.health: is the server group's; leave this out, or \"server_group\"",
                "20: pool.member: is the server group's; leave this out, or \"server_group\"",
            ],
        ),
        (
            grouped(&format!("{GROUP}[[server_group]]\nname = 'hall'\n"), ""),
            &["27: server_group.name: \"hall\" is taken on line 21; give each its own name"],
        ),
        (
            grouped(&GROUP.replace("192.0.2.41", "100.64.0.1"), ""),
            &[
                "24: server_group.member.address: 100.64.0.1 is a local address, 100.64.0.0/28 on line 3; use the backend's own",
            ],
        ),
        (
            grouped(&format!("{GROUP}monitor_address = '203.0.113.10'\n"), ""),
            &[
                "26: server_group.member.monitor_address: 203.0.113.10 is a VIP on line 10; use the backend's own address",
            ],
        ),
        (
            grouped(&tcp_with_tls, ""),
            &["22: server_group.health.tls: a tcp check has none; use it with protocol = \"https\""],
        ),
        (
            // Two pools find the same fault with it.
            grouped(
                &GROUP.replace("'tcp'", "'https', tls = { verify = false }"),
                "[[pool]]\nname = 'other'\nserver_group = 'hall'",
            ),
            &[
                "24: server_group.health.protocol: only members of a pool with protocol = \"https\" are asked over TLS; use \"http\"",
            ],
        ),
    ] {
        assert_eq!(said(&text), expected, "{text}");
    }
}

/// The same name for both is no clash.
#[test]
fn a_pool_and_a_group_may_have_one_name() {
    let group =
        GROUP.replace("hall", "web").replace("192.0.2.41", "192.0.2.11").replace("port = 80", "port = 8080");
    let objects = parse("f", &format!("{BASE}{group}")).unwrap().objects;
    assert_eq!(objects.server_groups.len(), 2);
}

#[test]
fn a_member_says_all_of_itself() {
    let more = "name = 'left'\nenabled = false\nbackup = true\nzone = 'cellar'\nmonitor_address = '192.0.2.99'\n\
                monitor_port = 9\ndescription = 'old'\ntags = { rack = '7' }\n";
    let objects = parse("f", &format!("{BASE}{more}")).unwrap().objects;
    let group = objects.server_groups.values().next().unwrap();
    let member = group.members.values().next().unwrap();
    assert_eq!(member.meta.name.as_str(), "left");
    assert_eq!((member.enabled, member.backup, member.zone.as_str()), (false, true, "cellar"));
    let address = HostAddress::parse("192.0.2.99", "member").unwrap();
    assert_eq!((member.monitor_address, member.monitor_port), (Some(address), Some(Port::literal(9))));
    let model = flatten(&objects, None);
    let flat = pool(&model, "web").members.values().next().unwrap();
    assert_eq!((flat.weight.get(), flat.backup), (0, true));
    assert_eq!(flat.checked_at, "192.0.2.99:9".parse().unwrap());

    let plain = parse("f", BASE).unwrap().objects;
    let plain = plain.server_groups.values().next().unwrap().members.values().next().unwrap().clone();
    assert_eq!((plain.enabled, plain.backup, plain.monitor_address), (true, false, None));
}

#[test]
fn everything_may_have_a_description_and_tags() {
    let policy = "[[load_balancer.listener.policy]]\nname = 'p'\ndomain = 'a'\nreject = 403\n";
    let text = BASE
        .replace("port = 80\n", "port = 80\nprotocol = 'http'\n")
        .replace("algorithm =", "protocol = 'http'\nalgorithm =");
    let said_of =
        |header: &str| format!("{header}\ndescription = 'of {header}'\ntags = {{ a = '', b = 'c' }}");
    let mut text = text.replace("[[pool]]", &format!("{policy}[[pool]]")) + GROUP;
    let kinds =
        ["load_balancer", "load_balancer.listener", "load_balancer.listener.policy", "pool", "pool.member"];
    for kind in kinds.iter().chain(&["server_group", "server_group.member"]) {
        let header = format!("[[{kind}]]");
        assert_eq!(text.matches(&header).count(), 1, "{header}");
        text = text.replace(&header, &said_of(&header));
    }
    let objects = parse("f", &text).unwrap().objects;
    let right = |meta: &Meta, header: &str| {
        assert_eq!(meta.description, Description::new(&format!("of [[{header}]]")).unwrap());
        assert_eq!(meta.tags, [Tag::new("a", "").unwrap(), Tag::new("b", "c").unwrap()].into());
    };
    right(&objects.load_balancers.values().next().unwrap().meta, "load_balancer");
    let listener = objects.listeners.values().next().unwrap();
    right(&listener.meta, "load_balancer.listener");
    right(&listener.http().unwrap().policies[0].meta, "load_balancer.listener.policy");
    let pool = &objects.pools[&pool_id("web")];
    right(&pool.meta, "pool");
    assert!(matches!(pool.kind, PoolKind::Layer7 { .. }));
    let member = |group: &ServerGroup| group.members.values().next().unwrap().meta.clone();
    right(&member(&objects.server_groups[&pool.server_group]), "pool.member");
    let group = objects.server_groups.values().find(|group| group.meta.name.as_str() == "hall").unwrap();
    right(&group.meta, "server_group");
    right(&member(group), "server_group.member");

    let tags = |tags: &str| said(&edited("name = \"shop\"\n", &format!("name = \"shop\"\ntags = {tags}\n")));
    let wrong = "use a key of 1 to 36 characters and a value of at most 43, without * < > \\ = , | /";
    assert_eq!(tags("{ a = 'b,c' }"), [format!("10: load_balancer.tags: \"a=b,c\" is not a tag; {wrong}")]);
    assert_eq!(
        tags("['a=b']"),
        [
            "10: load_balancer.tags: a list does not belong here; use a table of strings, such as { stage = \"test\" }"
        ]
    );
    assert_eq!(
        tags("{ a = 1 }"),
        ["10: load_balancer.tags: a whole number does not belong here; use a string in quotes"]
    );
}

/// Read anywhere and at any time, a name is the same object's.
#[test]
fn ids_follow_from_names() {
    let ids = |text: &str| {
        let objects = parse("f", text).unwrap().objects;
        let listener = *objects.listeners.first_key_value().unwrap().0;
        let group = objects.server_groups.first_key_value().unwrap();
        (listener, *group.0, *group.1.members.first_key_value().unwrap().0)
    };
    assert_eq!(
        ids(BASE),
        (Id::of_names(&["shop", "web"]), Id::of_names(&["web"]), Id::of_names(&["web", "192.0.2.11:8080"]))
    );
    assert_eq!(ids(&format!("\n{BASE}")), ids(BASE));
    assert_eq!(ids(&edited("weight = 3", "weight = 4")), ids(BASE));
}

/// What the example shows behind a "#" for a member and for a server group.
#[test]
fn the_examples_lines_are_right() {
    let shown = |from: &str| -> String {
        let lines = EXAMPLE.lines().skip_while(move |line| !line.starts_with(from));
        lines.map_while(|line| line.strip_prefix("# ")).map(|line| format!("{line}\n")).collect()
    };
    let member = shown("# name = \"web-1\"");
    assert_eq!(member.lines().count(), 6, "{member}");
    assert_eq!(said(&format!("{BASE}{member}")), [""; 0]);
    let group = shown("# [[server_group]]");
    assert_eq!(said(&format!("{BASE}{group}")), [""; 0]);
    assert!(group.contains("server_group = \"hall\""));
    let load_balancer = shown("# description = \"What");
    assert_eq!(load_balancer.matches('\n').count(), 2, "{load_balancer}");
    assert_eq!(said(&edited("name = \"shop\"\n", &format!("name = \"shop\"\n{load_balancer}"))), [""; 0]);
}
