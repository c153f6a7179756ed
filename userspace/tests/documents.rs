//! README and `docs/` against the program: every key and bound, every configuration, every name.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use evenkeel::{
    config::{self, ConfigErrors, Configuration},
    dataplane::{capacity::capacity, features::FLOORS},
    l7::guard::refusal::Refusal,
};
use evenkeel_loader::kernels;
use model::value::{
    CheckTime, ConnectionRate, CookieMinutes, EjectionShare, Failures, HeadBytes, HeaderCount, HeadsBytes,
    MaxConnections, Megabits, Number, Port, RejectStatus, Remembered, Retries, Sessions, StickyMinutes,
    Streams, Weight,
};
use tempfile::TempDir;
use testbed::documents::{self, Row};

/// Path of a table, key of it, and the rest of the key's row.
type Reference = BTreeMap<(String, String), Vec<String>>;

/// The reference, and what stands there twice.
fn reference() -> (Reference, Vec<(String, String)>) {
    let (mut reference, mut twice) = (Reference::new(), Vec::new());
    for Row { heading, cells } in documents::read("docs/configuration.md").unwrap().rows() {
        let paths = match heading.as_str() {
            "Tables" => vec![""],
            heading => quoted(heading).collect(),
        };
        for path in paths {
            let key =
                (path.trim_matches(['[', ']']).to_owned(), quoted(&cells[0]).next().unwrap().to_owned());
            if reference.insert(key.clone(), cells[1..].to_vec()).is_some() {
                twice.push(key);
            }
        }
    }
    (reference, twice)
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_key_has_its_row_and_no_other_has() {
    let keys = config::tables().flat_map(|(path, keys)| keys.iter().map(move |key| (path, *key)));
    let keys: BTreeSet<_> = keys.map(|(path, key)| (path.to_owned(), key.to_owned())).collect();
    let (reference, twice) = reference();
    let documented: BTreeSet<_> = reference.keys().cloned().collect();
    let missing: Vec<_> = keys.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&keys).collect();
    assert!(
        missing.is_empty() && invented.is_empty() && twice.is_empty(),
        "{missing:?} {invented:?} {twice:?}"
    );
}

/// What is not in `config::tables` cannot be documented.
#[test]
fn every_kind_of_table_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let shapes: usize = texts.map(|text| text.matches(": Shape =").count()).sum();
    assert_eq!(shapes, config::tables().count());
}

fn range<N: Number>() -> (u32, u32) {
    N::RANGE.into_inner()
}

#[test]
fn bounds_are_those_of_the_program() {
    let (reference, _) = reference();
    let failures = (0, range::<Failures>().1);
    for (table, key, (low, high)) in [
        ("host", "max_sessions", range::<Sessions>()),
        ("load_balancer", "bandwidth_mbit", range::<Megabits>()),
        ("load_balancer.listener", "port", range::<Port>()),
        ("load_balancer.listener", "max_connections", range::<MaxConnections>()),
        ("load_balancer.listener", "max_connections_per_second", range::<ConnectionRate>()),
        ("load_balancer.listener.limits", "head_bytes", range::<HeadBytes>()),
        ("load_balancer.listener.limits", "heads_bytes", range::<HeadsBytes>()),
        ("load_balancer.listener.limits", "headers", range::<HeaderCount>()),
        ("load_balancer.listener.limits", "streams", range::<Streams>()),
        ("load_balancer.listener.policy", "reject", range::<RejectStatus>()),
        ("pool.sticky", "minutes", range::<StickyMinutes>()),
        ("pool.sticky", "minutes", range::<CookieMinutes>()),
        ("pool.sticky", "remember", range::<Remembered>()),
        ("pool.ejection", "failures", failures),
        ("pool.ejection", "share", range::<EjectionShare>()),
        ("pool.health", "port", range::<Port>()),
        ("pool.health", "retries", range::<Retries>()),
        ("pool.health", "interval", (1, CheckTime::MOST)),
        ("pool.health", "timeout", (1, CheckTime::MOST)),
        ("pool.member", "port", range::<Port>()),
        ("pool.member", "weight", range::<Weight>()),
        ("pool.member", "monitor_port", range::<Port>()),
    ] {
        let value = &reference[&(table.to_owned(), key.to_owned())][0];
        let bounds = format!("{low}–{high}");
        let there = value.match_indices(&bounds).any(|(at, _)| {
            let around = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
            around(value[..at].chars().next_back()) && around(value[at + bounds.len()..].chars().next())
        });
        assert!(there, "{table}.{key}: {value:?} does not say {bounds}");
    }
}

/// What a ```` ```toml fragment ```` is a part of: it follows these tables, of which the last is a listener.
const AROUND: &str = r#"
[host]
interfaces = ["eth0", "eth1"]
local_addresses = ["100.64.0.0/28"]
[[pool]]
name = "site"
protocol = "http"
[[pool]]
name = "images"
protocol = "http"
[[load_balancer]]
name = "around"
vip = "203.0.113.10"
[[load_balancer.listener]]
name = "around"
protocol = "http"
port = 80
pool = "site"
"#;

/// A folder with the certificates that documents name.
struct Site(TempDir);

impl Site {
    fn new() -> Self {
        let site = Self(TempDir::new().unwrap());
        for name in ["shop", "customers"] {
            let subject = format!("/CN={name}.example");
            let [key, certificate] = [format!("{name}.key"), format!("{name}.crt")];
            let words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj";
            let mut openssl = Command::new("openssl");
            openssl.args(words.split(' ')).args([&subject, "-keyout", &key, "-out", &certificate]);
            assert!(openssl.current_dir(site.0.path()).output().unwrap().status.success());
        }
        site
    }

    fn load(&self, text: &str) -> Result<Configuration, ConfigErrors> {
        let path = self.0.path().join("evenkeel.toml");
        fs::write(&path, text).unwrap();
        config::load(&path, &capacity())
    }
}

/// Where the keys of a table may stand: at the end of this, below [`HOST`].
const PLACES: &[(&str, &str)] = &[
    ("host", ""),
    ("timeouts", "[timeouts]"),
    (
        "load_balancer.access_log",
        "[[load_balancer]]\nname = 'a'\nvip = '203.0.113.1'\n[load_balancer.access_log]\npath = '/a'",
    ),
    ("load_balancer.listener", "LISTENER"),
    ("load_balancer.listener", "LISTENER\nprotocol = 'http'"),
    ("load_balancer.listener", "LISTENER\nprotocol = 'https'\ncertificates = 'shop'"),
    ("load_balancer.listener.limits", "LISTENER\nprotocol = 'http'\n[load_balancer.listener.limits]"),
    ("load_balancer.listener.forwarded", "LISTENER\nprotocol = 'http'\n[load_balancer.listener.forwarded]"),
    (
        "load_balancer.listener.redirect",
        "LISTENER\nprotocol = 'https'\ncertificates = 'shop'\n[[load_balancer.listener]]\nname = 'b'\nport = 81\n\
         protocol = 'http'\n[load_balancer.listener.redirect]\nlistener = 'a'",
    ),
    (
        "load_balancer.listener.policy.redirect",
        "LISTENER\nprotocol = 'http'\n[[load_balancer.listener.policy]]\nname = 'a'\npath.prefix = '/'\n\
         [load_balancer.listener.policy.redirect]\nurl = 'https://a.example/'",
    ),
    (
        "load_balancer.listener.policy.header",
        "LISTENER\nprotocol = 'http'\n[[load_balancer.listener.policy]]\nname = 'a'\npath.prefix = '/'\nreject = 403\n\
         [[load_balancer.listener.policy.header]]\nname = 'a'",
    ),
    ("pool", "[[pool]]\nname = 'b'"),
    ("pool", "[[pool]]\nname = 'b'\nprotocol = 'http'"),
    ("pool", "[[pool]]\nname = 'b'\nalgorithm = 'source-hash'"),
    ("pool.sticky", "[[pool]]\nname = 'b'\n[pool.sticky]\nby = 'source-ip'"),
    ("pool.sticky", "[[pool]]\nname = 'b'\nprotocol = 'http'\n[pool.sticky]\nby = 'balancer-cookie'"),
    (
        "pool.sticky",
        "[[pool]]\nname = 'b'\nprotocol = 'http'\n[pool.sticky]\nby = 'application-cookie'\ncookie = 'a'",
    ),
    ("pool.ejection", "[[pool]]\nname = 'b'\nprotocol = 'http'\n[pool.ejection]"),
    ("pool.tls", "[[pool]]\nname = 'b'\nprotocol = 'https'\n[pool.tls]\nserver_name = 'a.example'"),
    ("pool.health", "[[pool]]\nname = 'b'\n[pool.health]\nprotocol = 'http'"),
    ("pool.member", "[[pool]]\nname = 'b'\n[[pool.member]]\naddress = '192.0.2.1'\nport = 1"),
];
const HOST: &str = "[[certificate]]\nname = 'shop'\ncertificate = 'shop.crt'\nkey = 'shop.key'\n\
    [host]\ninterfaces = ['eth0']\nlocal_addresses = ['100.64.0.0/28']\n";
const LISTENER: &str =
    "[[load_balancer]]\nname = 'a'\nvip = '203.0.113.1'\n[[load_balancer.listener]]\nname = 'a'\nport = 80";

/// The value that a cell of defaults begins with, as TOML has it; what is said in words is none.
fn value(cell: &str) -> Option<&str> {
    if cell.starts_with('`') {
        return quoted(cell).next();
    }
    let word = cell.split([' ', ',']).next()?;
    (word.parse::<u32>().is_ok() || word.parse::<bool>().is_ok()).then_some(word)
}

/// A default that is written out changes nothing.
#[test]
fn defaults_are_those_of_the_program() {
    let site = Site::new();
    let mut tried = 0;
    for ((table, key), cells) in reference().0 {
        let Some(default) = value(&cells[1]) else { continue };
        let mut places = PLACES.iter().filter(|(path, _)| *path == table).peekable();
        if places.peek().is_none() {
            continue;
        }
        let is_same = |place: &str| {
            // A pool that speaks HTTP is for HTTP listeners only, so these listeners have none.
            let pool = if place == "LISTENER" { "\npool = 'p'\n[[pool]]\nname = 'p'" } else { "" };
            let around = place.replace("LISTENER", LISTENER);
            let with = site.load(&format!("{HOST}{around}\n{key} = {default}{pool}\n"));
            let without = site.load(&format!("{HOST}{around}{pool}\n"));
            assert!(without.is_ok(), "{without:?}");
            with == without
        };
        assert!(places.any(|(_, place)| is_same(place)), "{table}.{key} = {default}");
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
}

#[test]
fn every_configuration_is_right() {
    let site = Site::new();
    let mut tried = 0;
    for document in documents::all().unwrap() {
        let mut recipe = String::new();
        for block in document.blocks() {
            let text = match block.kind.as_str() {
                "toml" => block.text.clone(),
                "toml fragment" => format!("{AROUND}{}", block.text),
                "toml recipe" => {
                    recipe = documents::change(&recipe, &block.text).unwrap();
                    recipe.clone()
                }
                "toml refused" => continue,
                kind => {
                    assert!(!kind.starts_with("toml"), "{}:{}: {kind}", document.path.display(), block.line);
                    continue;
                }
            };
            if block.kind == "toml" {
                recipe.clone_from(&text);
            }
            let loaded = site.load(&text).map(drop);
            assert_eq!(loaded, Ok(()), "{}:{}", document.path.display(), block.line);
            tried += 1;
        }
    }
    assert!(tried > 5, "{tried}");
}

#[test]
fn what_is_refused_is_told_as_documented() {
    let mut tried = 0;
    for document in documents::all().unwrap() {
        let blocks = document.blocks();
        for (at, block) in blocks.iter().enumerate().filter(|(_, block)| block.is("toml refused")) {
            let said = config::parse("bad.toml", &block.text, &capacity()).unwrap_err().to_string();
            assert_eq!(
                format!("{said}\n"),
                blocks[at + 1].text,
                "{}:{}",
                document.path.display(),
                block.line
            );
            tried += 1;
        }
    }
    assert_eq!(tried, 1);
}

#[test]
fn the_example_is_right() {
    let example = documents::root().join("userspace/evenkeel.example.toml");
    config::load(&example, &capacity()).unwrap();
}

#[test]
fn every_reason_of_a_refused_request_is_told() {
    let rows = documents::read("docs/operations.md").unwrap().rows().into_iter();
    let told: Vec<_> = rows.filter(|row| row.heading == "Refused requests").map(|row| row.cells).collect();
    let status = |refusal: Refusal| match refusal {
        Refusal::Crowded => "REFUSED_STREAM".to_owned(),
        Refusal::Protocol => "RST_STREAM, 431".to_owned(),
        refusal => refusal.status().to_string(),
    };
    let there = Refusal::ALL.map(|refusal| [format!("`{}`", refusal.name()), status(refusal)]);
    assert_eq!(told.iter().map(|cells| &cells[..2]).collect::<Vec<_>>(), there);
}

/// What is set otherwise than by default has a test, which is there.
#[test]
fn every_default_that_is_another_has_its_test() {
    let mut sources = String::new();
    let mut folders =
        vec![documents::root().join("userspace/src/l7"), documents::root().join("tests/network/l7")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => sources += &fs::read_to_string(entry.path()).unwrap(),
            }
        }
    }
    let rows = documents::read("docs/http.md").unwrap().rows().into_iter();
    let rows: Vec<_> = rows.filter(|row| row.heading == "What is set otherwise than by default").collect();
    assert!(rows.len() > 25, "{}", rows.len());
    for row in rows.iter().filter(|row| !row.cells[0].starts_with("**")) {
        let name = quoted(&row.cells[4]).next().unwrap_or_else(|| panic!("{row:?} has no test"));
        assert!(sources.contains(&format!("fn {name}()")), "{name} is not there");
    }
}

/// `docs/architecture.md` says what the files of a folder are for, by their names below a heading with the folder's.
#[test]
fn the_map_of_the_code_names_what_is_there() {
    let rows = documents::read("docs/architecture.md").unwrap().rows();
    assert!(!rows.is_empty());
    for Row { heading, cells } in rows {
        let Some(folder) = quoted(&heading).next() else { continue };
        for name in quoted(&cells[0]) {
            let path = documents::root().join(folder).join(name);
            let is_there = path.exists() || path.with_extension("rs").exists();
            assert!(is_there, "{heading}: {name} is not there");
        }
    }
}

#[test]
fn kernels_are_those_that_were_tried() {
    for (path, kernels) in [
        ("README.md", &kernels::BALANCER),
        ("docs/operations.md", &kernels::BALANCER),
        ("docs/backend-toa.md", &kernels::RECEIVER),
    ] {
        let text = documents::read(path).unwrap().text.replace('\n', " ");
        assert!(text.contains(&kernels.claim()), "{path} does not say: {}", kernels.claim());
    }
    let rows = documents::read("docs/operations.md").unwrap().rows();
    let rows = rows.into_iter().filter(|row| row.heading == "Kernels");
    let told: Vec<_> = rows.map(|row| row.cells).collect();
    let floors = FLOORS.map(|floor| [floor.name, floor.since, floor.without].map(str::to_owned).to_vec());
    assert_eq!(told, floors);
}
