//! What a right file means. What is said about wrong ones is in `refused`, and in `causes` what is not said, about too large
//! ones in `capacity`; checks are in `health`, what speaks HTTP in `http`, its policies in `policy`, how members are picked in
//! `picking`, certificates and TLS in `tls`, limits in `limits`, words and forms of others in `forms`, ids, tags and server groups in `objects`. `documented`
//! tries what documents say of each key, `any` everything else.

mod any;
mod capacity;
mod causes;
mod documented;
mod edge;
mod forms;
mod health;
mod http;
mod limits;
mod objects;
mod picking;
mod policy;
mod refused;
mod tls;

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use model::{
    access::Access,
    flatten::flatten,
    health::{CheckPath, Pace, Probe},
    id::Id,
    object::PoolId,
    served::{HttpListener, HttpPool, Limits, Listener, ListenerKey, Pool, Protocol, Served, WhenDown},
    sticky::Ejection,
    value::{CheckTime, Name, Port, Retries, Seconds},
};

use super::{ConfigErrors, Configuration, Timeouts};
use crate::dataplane::capacity::capacity;

fn parse(file_name: &str, text: &str) -> Result<Configuration, ConfigErrors> {
    super::parse(file_name, text, &capacity())
}

fn load(path: &Path) -> Result<Configuration, ConfigErrors> {
    super::load(path, &capacity())
}

/// What a host serves with this file.
fn served(text: &str) -> Served {
    flatten(&parse("f", text).unwrap().objects, None)
}

/// The id of a pool with this name.
fn pool_id(name: &str) -> PoolId {
    Id::of_names(&[name])
}

fn pool<'a>(served: &'a Served, name: &str) -> &'a Pool {
    &served.pools[&pool_id(name)]
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A right file, each line of which a test may change.
const BASE: &str = r#"[host]
interfaces = ["eth0"]
local_addresses = ["100.64.0.0/28"]
local_ports = "1024-65535"
max_sessions = 4096
[timeouts]
close = "10s"
[[load_balancer]]
name = "shop"
vip = ["203.0.113.10"]
[[load_balancer.listener]]
name = "web"
port = 80
pool = "web"
[[pool]]
name = "web"
algorithm = "weighted-round-robin"
[[pool.member]]
address = "192.0.2.11"
port = 8080
weight = 3
"#;

const EXAMPLE: &str = include_str!("../../../evenkeel.example.toml");

/// The lines of the error for `text`, without the file's name.
fn said(text: &str) -> Vec<String> {
    match parse("f.toml", text) {
        Ok(_) => Vec::new(),
        Err(errors) => {
            errors.to_string().lines().map(|l| l.strip_prefix("f.toml:").unwrap().to_owned()).collect()
        }
    }
}

/// [`BASE`] with one piece of its text replaced.
fn edited(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from:?} is not a place in the base file");
    BASE.replace(from, to)
}

#[test]
fn the_example_means_what_it_says() {
    let Configuration { host, api, timeouts, objects } = parse("example", EXAMPLE).unwrap();
    let model = flatten(&objects, None);

    assert_eq!(host.interfaces.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["eth0", "eth1"]);
    let local_addresses: Vec<_> = host.local_addresses.iter().collect();
    assert_eq!(local_addresses.len(), 16);
    assert_eq!(local_addresses.first(), Some(&"100.64.0.0".parse().unwrap()));
    assert_eq!(local_addresses.last(), Some(&"100.64.0.15".parse().unwrap()));
    assert_eq!((host.local_ports, host.max_sessions.get()), (1024..=65_535, 1_048_576));
    assert_eq!((timeouts, api), (Timeouts::default(), None));

    let vips = ["203.0.113.10", "203.0.113.11"].map(|vip| vip.parse().unwrap());
    assert_eq!(model.vips, vips.into());
    let listener = |own: &str, seconds| {
        Arc::new(Listener {
            id: Id::of_names(&["shop", own]),
            access: Access::default(),
            limits: Limits::default(),
            when_down: WhenDown::default(),
            name: name(own),
            load_balancer: Id::<model::id::kind::LoadBalancer>::of_names(&["shop"]),
            load_balancer_name: name("shop"),
            pool: Some(pool_id(own)),
            idle_timeout: Seconds::literal(seconds),
            drains: false,
            http: (own == "pages").then(Arc::<HttpListener>::default),
        })
    };
    let expected = vips.into_iter().flat_map(|vip| {
        let key = |port| ListenerKey { vip, port: Port::literal(port), protocol: Protocol::Tcp };
        [
            (key(80), listener("web", 300)),
            (key(5432), listener("database", 3600)),
            (key(8080), listener("pages", 60)),
        ]
    });
    assert_eq!(model.listeners, expected.collect());
    let members = |name: &str| -> Vec<(SocketAddr, u16)> {
        pool(&model, name).members.iter().map(|(&address, member)| (address, member.weight.get())).collect()
    };
    let member = |address: &str, weight| (address.parse().unwrap(), weight);
    assert_eq!(
        members("web"),
        [member("192.0.2.11:8080", 3), member("192.0.2.12:8080", 2), member("192.0.2.13:8080", 1)]
    );
    assert_eq!(members("database"), [member("192.0.2.21:5432", 1)]);
    let check = pool(&model, "web").check.as_ref().unwrap();
    let path = CheckPath::new("/healthz").unwrap();
    assert!(matches!(&check.probe, Probe::Http(get) if get.path == path && get.host.is_none()));
    let (interval, timeout) = (CheckTime::literal(5), CheckTime::literal(3));
    assert_eq!(check.pace, Pace::new(interval, timeout, Retries::literal(3)).unwrap());
    assert_eq!(check.port, None);
    assert_eq!(pool(&model, "database").check, None);
    assert_eq!(members("pages"), [member("192.0.2.31:8080", 1)]);
    assert_eq!(
        pool(&model, "pages").http,
        Some(HttpPool { ejection: Some(Ejection::default()), ..Default::default() })
    );
    assert_eq!(model.pools.len(), 3);
}

/// Everything optional left out is the same as the example's values, which its comments call defaults.
#[test]
fn defaults_are_the_examples_values() {
    let optional = [
        "local_ports",
        "max_sessions",
        "announce",
        "protocol = \"tcp\"",
        "algorithm",
        "syn_recv",
        "fin_wait",
        "time_wait",
    ];
    let optional = [
        &optional[..],
        &["close ", "close_wait", "last_ack", "udp_one_way", "[timeouts]", "idle_timeout = \"300s\""],
        &[
            "idle_timeout = \"60s\"",
            "head_timeout",
            "connect_timeout",
            "read_timeout",
            "write_timeout",
            "http2",
        ],
    ]
    .concat();
    let short: String = EXAMPLE
        .lines()
        .filter(|line| !optional.iter().any(|key| line.starts_with(key)))
        .map(|l| format!("{l}\n"))
        .collect();
    assert!(short.lines().count() + optional.len() == EXAMPLE.lines().count());
    assert_eq!(parse("short", &short), parse("example", EXAMPLE));
}

#[test]
fn other_ways_to_write_it() {
    let base = parse("base", BASE).unwrap();
    for (from, to) in [
        (r#"vip = ["203.0.113.10"]"#, r#"vip = "203.0.113.10""#),
        (
            r#"["100.64.0.0/28"]"#,
            r#"["100.64.0.8/29", "100.64.0.0/30", "100.64.0.5", "100.64.0.4", "100.64.0.6/31"]"#,
        ),
        (r#""10s""#, r#""10 sec""#),
        ("4096", "0x1000"),
    ] {
        assert_eq!(parse("other", &edited(from, to)), Ok(base.clone()), "{to}");
    }
    let minimal = "host = { interfaces = ['lo'], local_addresses = ['192.0.2.1'] }";
    assert_eq!(served(minimal), Served::default());
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_too() {
    let errors = load(Path::new("/nonexistent/evenkeel.toml")).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "/nonexistent/evenkeel.toml: cannot be read: No such file or directory (os error 2)"
    );

    let path = std::env::temp_dir().join(format!("evenkeel-config-{}.toml", std::process::id()));
    fs::write(&path, b"[host]\ninterfaces = [\"\xff\"]\n").unwrap();
    let binary = load(&path);
    fs::write(&path, BASE).unwrap();
    let good = load(&path);
    fs::remove_file(&path).unwrap();
    assert_eq!(
        binary.unwrap_err().to_string(),
        format!("{}:2: not UTF-8; save the file in that encoding", path.display())
    );
    assert_eq!(good, parse("base", BASE));
}
