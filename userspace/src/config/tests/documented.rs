//! Random files against what `docs/configuration.md` says of each key, written once more here: what is wrong is said of
//! exactly the keys that are wrong, all at once, whatever stands in the others.

use proptest::prelude::*;

use super::*;

/// What may stand under a key.
#[derive(Clone, Copy, Debug)]
enum May {
    /// A whole number from the one to the other.
    Number(i64, i64),
    /// Whole seconds from one to so many.
    Seconds(u64),
    /// So many bytes at least and at most, none of them a control character.
    Text(usize, usize),
    /// One of these.
    Word(&'static [&'static str]),
    /// True or false.
    Flag,
    /// The address of one host; if that is said, no VIP and no local address.
    Address { own: bool },
}

const DAY: u64 = 86_400;

/// A part of the file, and for each of its keys what may stand there.
type Part = (&'static str, &'static str, &'static [(&'static str, May)]);

const PARTS: &[Part] = &[
    (
        "[host]\ninterfaces = ['eth0']\nlocal_addresses = ['100.64.0.0/28']\n",
        "host",
        &[
            ("max_sessions", May::Number(1024, 16_777_216)),
            ("max_half_open", May::Number(1, 16_777_216)),
            ("min_path_mtu", May::Number(68, 9000)),
            ("without_session", May::Word(&["reset", "drop"])),
            ("resets_per_second", May::Number(1, 1_000_000)),
        ],
    ),
    (
        "[timeouts]\n",
        "timeouts",
        &[
            ("syn_recv", May::Seconds(DAY)),
            ("fin_wait", May::Seconds(DAY)),
            ("time_wait", May::Seconds(DAY)),
            ("close", May::Seconds(DAY)),
            ("close_wait", May::Seconds(DAY)),
            ("last_ack", May::Seconds(DAY)),
            ("udp_one_way", May::Seconds(DAY)),
        ],
    ),
    (
        "[[load_balancer]]\nvip = '203.0.113.10'\n",
        "load_balancer",
        &[
            ("name", May::Text(1, 64)),
            ("bandwidth_mbit", May::Number(1, 1_000_000)),
            ("access_log.format", May::Word(&["line", "json"])),
            ("description", May::Text(0, 255)),
        ],
    ),
    (
        "[[load_balancer.listener]]\nname = 'tcp'\npool = 'layer 4'\n",
        "load_balancer.listener",
        &[
            ("port", May::Number(1, 65_535)),
            ("idle_timeout", May::Seconds(DAY)),
            ("max_connections", May::Number(1, 16_777_216)),
            ("max_connections_per_second", May::Number(1, 1_000_000)),
            ("when_down", May::Word(&["drop", "reset"])),
            ("description", May::Text(0, 255)),
        ],
    ),
    (
        "[[load_balancer]]\nname = 'other'\nvip = '203.0.113.11'\n\
         [[load_balancer.listener]]\nname = 'http'\nprotocol = 'http'\nport = 80\npool = 'layer 7'\n",
        "load_balancer.listener",
        &[
            ("idle_timeout", May::Seconds(DAY)),
            ("head_timeout", May::Seconds(DAY)),
            ("connect_timeout", May::Seconds(DAY)),
            ("read_timeout", May::Seconds(DAY)),
            ("write_timeout", May::Seconds(DAY)),
            ("tunnel_timeout", May::Seconds(DAY)),
            ("limits.head_bytes", May::Number(1024, 262_144)),
            ("limits.heads_bytes", May::Number(65_536, 67_108_864)),
            ("limits.headers", May::Number(1, 256)),
            ("limits.streams", May::Number(1, 1000)),
            ("limits.body_timeout", May::Seconds(DAY)),
            ("limits.send_timeout", May::Seconds(DAY)),
            ("forwarded.for", May::Word(&["append", "replace", "keep"])),
            ("forwarded.proto", May::Flag),
            ("forwarded.port", May::Flag),
            ("forwarded.host", May::Flag),
        ],
    ),
    (
        "[[load_balancer.listener.policy]]\nname = 'rejects'\npath = { exact = '/a' }\n",
        "load_balancer.listener.policy",
        &[("reject", May::Number(400, 599)), ("description", May::Text(0, 255))],
    ),
    (
        "[[pool]]\nname = 'layer 4'\nsticky.by = 'source-ip'\nhealth.protocol = 'http'\n",
        "pool",
        &[
            ("sticky.minutes", May::Number(1, 60)),
            ("drain_timeout", May::Seconds(DAY)),
            ("on_down", May::Word(&["keep", "reset"])),
            ("health.interval", May::Seconds(50)),
            ("health.retries", May::Number(1, 10)),
            ("health.port", May::Number(1, 65_535)),
            ("description", May::Text(0, 255)),
        ],
    ),
    (
        "[[pool.member]]\nport = 1\n",
        "pool.member",
        &[
            ("address", May::Address { own: true }),
            ("weight", May::Number(0, 256)),
            ("name", May::Text(1, 64)),
            ("enabled", May::Flag),
            ("backup", May::Flag),
            ("zone", May::Text(1, 64)),
            ("monitor_address", May::Address { own: false }),
            ("monitor_port", May::Number(1, 65_535)),
            ("description", May::Text(0, 255)),
        ],
    ),
    (
        "[[pool]]\nname = 'layer 7'\nprotocol = 'http'\nsticky.by = 'application-cookie'\nsticky.cookie = 'a'\n\
         server_group = 'hall'\n",
        "pool",
        &[
            ("http2", May::Flag),
            ("proxy_protocol", May::Word(&["v1", "v2"])),
            ("sticky.minutes", May::Number(1, 1440)),
            ("sticky.remember", May::Number(1, 16_777_216)),
            ("sticky.drain", May::Flag),
            ("slow_start", May::Seconds(DAY)),
            ("on_down", May::Word(&["keep", "reset"])),
            ("ejection.failures", May::Number(0, 1000)),
            ("ejection.time", May::Seconds(DAY)),
            ("ejection.share", May::Number(0, 100)),
        ],
    ),
    (
        "[[pool]]\nname = 'hashed'\nalgorithm = 'source-hash'\n",
        "pool",
        &[("weights", May::Word(&["count", "ignore"]))],
    ),
    (
        "[[server_group]]\nname = 'hall'\nhealth.protocol = 'tcp'\n",
        "server_group",
        &[
            ("health.interval", May::Seconds(50)),
            ("health.retries", May::Number(1, 10)),
            ("description", May::Text(0, 255)),
        ],
    ),
    (
        "[[server_group.member]]\naddress = '192.0.2.1'\n",
        "server_group.member",
        &[("port", May::Number(1, 65_535)), ("weight", May::Number(0, 256)), ("enabled", May::Flag)],
    ),
];

/// Those without which nothing can be said of their table.
const NEEDED: &[(&str, &str, &str)] = &[
    ("load_balancer", "name", "'shop'"),
    ("load_balancer", "access_log.path", "'/var/log/a'"),
    ("load_balancer.listener", "port", "81"),
    ("load_balancer.listener.policy", "reject", "404"),
    ("pool.member", "address", "'192.0.2.2'"),
    ("server_group.member", "port", "1"),
];

/// A value as the file has it, and whether it is right.
fn value(may: May) -> BoxedStrategy<(String, bool)> {
    let quoted = |text: String| toml_string(&text);
    let right_kind = match may {
        May::Number(low, high) => {
            prop_oneof![low - 2..=low + 2, high - 2..=high + 2, low..=high, any::<i64>(),]
                .prop_map(move |number| (number.to_string(), (low..=high).contains(&number)))
                .boxed()
        }
        May::Seconds(most) => (
            0..=100_000u64,
            prop_oneof![Just(("ms", 1)), Just(("s", 1000)), Just(("m", 60_000)), Just(("h", 3_600_000))],
        )
            .prop_map(move |(count, (unit, milliseconds))| {
                let total = count * milliseconds;
                let right = total % 1000 == 0 && (1000..=most * 1000).contains(&total);
                (format!("'{count}{unit}'"), right)
            })
            .boxed(),
        May::Text(least, most) => "[ -~éß]{0,3}|[a-zé]{20,300}|[a-z\\x01-\\x1f]{1,4}"
            .prop_map(move |text| {
                let right = (least..=most).contains(&text.len()) && !text.chars().any(char::is_control);
                (quoted(text), right)
            })
            .boxed(),
        May::Word(words) => {
            let one = prop::sample::select(words).prop_map(str::to_owned);
            prop_oneof![one, "[a-z1]{0,7}"]
                .prop_map(move |text: String| (quoted(text.clone()), words.contains(&&*text)))
                .boxed()
        }
        May::Flag => prop_oneof![Just(("true".into(), true)), Just(("false".into(), true))].boxed(),
        May::Address { own } => prop_oneof![
            (1..255u8).prop_map(|last| (format!("'192.0.2.{last}'"), true)),
            prop::sample::select(&["127.0.0.1", "::1", "fe80::1", "ff02::1", "192.0.2.1/32", "a", ""][..])
                .prop_map(|text| (format!("'{text}'"), false)),
            prop::sample::select(&["203.0.113.10", "100.64.0.7"][..])
                // A monitor's is compared only if the member's own is right.
                .prop_map(move |text| (format!("'{}'", if own { text } else { "" }), false)),
        ]
        .boxed(),
    };
    // Mostly of the right kind.
    let wrong_kind = prop::sample::select(&["1.5", "[]", "1979-05-27"][..]);
    prop_oneof![9 => right_kind, 1 => wrong_kind.prop_map(|text| (text.into(), false))].boxed()
}

/// A basic string of TOML.
fn toml_string(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// A file, and the keys that are wrong in it.
fn file() -> impl Strategy<Value = (String, Vec<String>)> {
    let keys = |keys: &'static [(&str, May)]| -> Vec<_> {
        keys.iter().map(|&(_, may)| prop::option::weighted(0.3, value(may))).collect()
    };
    let parts: Vec<_> = PARTS.iter().map(|part| keys(part.2)).collect();
    parts.prop_map(|parts| {
        let (mut text, mut wrong) = (String::new(), Vec::new());
        for ((head, path, keys), values) in PARTS.iter().zip(parts) {
            text.push_str(head);
            let mut given = Vec::new();
            for ((key, _), value) in keys.iter().zip(values) {
                let Some((value, is_right)) = value else { continue };
                text.push_str(&format!("{key} = {value}\n"));
                given.push(*key);
                if !is_right {
                    wrong.push(format!("{path}.{key}"));
                }
            }
            for (_, key, value) in NEEDED.iter().filter(|needed| needed.0 == *path) {
                let parent = key.split_once('.').map(|(parent, _)| format!("{parent}."));
                let belongs = keys.iter().any(|(other, _)| other == key)
                    || parent.is_some_and(|parent| given.iter().any(|other| other.starts_with(&parent)));
                if belongs && !given.contains(key) {
                    text.push_str(&format!("{key} = {value}\n"));
                }
            }
        }
        wrong.sort();
        (text, wrong)
    })
}

proptest! {
    #[test]
    fn exactly_what_is_wrong_is_told((text, wrong) in file()) {
        let told = match parse("f", &text) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.problems.iter().map(|problem| problem.key.clone()).collect(),
        };
        let mut told: Vec<String> = told;
        told.sort();
        prop_assert_eq!(told, wrong, "{}", text);
    }
}
