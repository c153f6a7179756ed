//! Does a daemon that cannot start say so in one line with the way out, and leave everything as it was?

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
};

use testbed::{Host, Network, Size, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings, VIP, VIP6},
    servers,
};

/// A connection through the balancer, both ends of it.
fn connect(balancer: &Balancer, listener: &TcpListener) {
    let connect = || TcpStream::connect_timeout(&VIP, DEADLINE);
    let client = balancer.network.client().enter(connect).unwrap().unwrap();
    let (server, _) = listener.accept().unwrap();
    drop((client, server));
}

#[test]
fn what_it_cannot_have_is_named_and_what_runs_goes_on() {
    let mut balancer = Balancer::start(Settings::default());
    let listener = servers::listen(&balancer.network.backends[0]);
    let pins = balancer.pins().to_owned();
    let second = PathBuf::from(format!("{}-second", pins.display()));

    let refusal = balancer.refusal(&Settings::default(), &pins);
    assert!(
        refusal.starts_with("another evenkeel (process ") && refusal.contains("stop it first"),
        "{refusal}"
    );

    let refusal = balancer.refusal(&Settings::default(), &second);
    assert!(
        refusal.starts_with("front") && refusal.contains("another XDP program: detach it (`bpftool link"),
        "{refusal}"
    );

    let nowhere = Settings { interfaces: &["front", "nowhere"], ..Settings::default() };
    let refusal = balancer.refusal(&nowhere, &second);
    let named = "host.interfaces: there is no interface \"nowhere\"; there are lo, front, back";
    assert!(refusal.starts_with(named), "{refusal}");

    balancer.end();
    let unload = format!("`evenkeel unload --pin-dir {}` drops it", pins.display());
    for (host, difference) in [
        (
            "local_addresses = [\"100.64.0.0/29\"]\nmax_sessions = 65536",
            "its local_addresses are 16 from 100.64.0.0",
        ),
        (
            "local_addresses = [\"100.64.0.0/28\"]\nlocal_ports = \"2000-3000\"\nmax_sessions = 65536",
            "its local_ports are \"1024-65535\"",
        ),
        ("local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 131072", "another max_sessions"),
    ] {
        let refusal = balancer.refusal(&Settings { host, ..Settings::default() }, &pins);
        assert!(refusal.contains(difference) && refusal.contains(&unload), "{refusal}");
    }
    connect(&balancer, &listener);
    assert!(!second.exists(), "a refused start leaves nothing");
    let host = &balancer.network.balancer;
    let ours = || host.run(&["ip", "route", "show", "table", "local", "proto", "139"]).unwrap();
    let before = ours();
    assert!(balancer.unload_from(&second).contains("nothing was loaded"));
    assert_eq!(ours(), before, "what runs from another directory");
    let other =
        ["ip", "route", "add", "local", "203.0.113.99", "dev", "lo", "table", "local", "proto", "139"];
    host.run(&other).unwrap();
    assert!(balancer.unload().contains("unloaded"));
    assert!(ours().starts_with("local 203.0.113.99 ") && ours().lines().count() == 1, "{}", ours());
    assert!(balancer.unload().contains("nothing was loaded"));

    fs::create_dir_all(pins.join("v1")).unwrap();
    let refusal = balancer.refusal(&Settings::default(), &pins);
    assert!(refusal.contains("another version of Evenkeel") && refusal.contains(&unload), "{refusal}");
    assert!(balancer.unload().contains("unloaded") && !pins.exists());
    assert_eq!(ours(), "", "nobody can tell whose they are");

    let refusal = balancer.refusal(&Settings::default(), Path::new("/run/evenkeel-test"));
    assert!(refusal.contains("is not on a BPF file system: mount one with `mount -t bpf"), "{refusal}");
}

#[test]
fn an_address_that_is_somebody_elses_is_not_taken() {
    let mut balancer = Balancer::start(Settings::default());
    balancer.end();
    balancer.unload();
    let host = &balancer.network.balancer;
    let vip = VIP.ip().to_string();
    for (take, give_back) in [
        ("ip address add VIP dev lo", "ip address del VIP dev lo"),
        ("ip route add local VIP dev lo table local", "ip route del local VIP dev lo table local"),
    ] {
        let run = |words: &str| host.run(&words.replace("VIP", &vip).split(' ').collect::<Vec<_>>()).unwrap();
        run(take);
        let refusal = balancer.refusal(&Settings::default(), balancer.pins());
        assert!(refusal.starts_with(&format!("VIP {vip} is local to this host already")), "{refusal}");
        assert!(!balancer.pins().exists());
        run(give_back);
    }
    // On the link behind `back`, the last of these is everybody.
    let settings = Settings { host: "local_addresses = [\"192.0.2.240/28\"]", ..Settings::default() };
    let refusal = balancer.refusal(&settings, balancer.pins());
    assert!(
        refusal.starts_with("host.local_addresses: 192.0.2.255 is a broadcast address of this host"),
        "{refusal}"
    );
    assert_eq!(host.run(&["ip", "route", "show", "table", "local", "proto", "139"]).unwrap(), "");
    balancer.run();
}

#[test]
fn an_ipv6_address_that_is_somebody_elses_is_no_vip() {
    let both = || Settings::between(Family::V6, Family::V4);
    let mut balancer = Balancer::start(both());
    balancer.end();
    balancer.unload();
    let host = &balancer.network.balancer;
    let vip = VIP6.ip().to_string();
    host.run(&["ip", "address", "add", &vip, "dev", "lo"]).unwrap();
    let refusal = balancer.refusal(&both(), balancer.pins());
    assert!(refusal.starts_with(&format!("VIP {vip} is local to this host already")), "{refusal}");
    host.run(&["ip", "address", "del", &vip, "dev", "lo"]).unwrap();
    let ours = host.run(&["ip", "address", "show", "to", "2001:db8:64::/64"]).unwrap();
    assert_eq!(ours, "", "a refused start and an unload leave no address");
    balancer.run();
}

/// A check would find it well, and every connection would be lost.
#[test]
fn an_address_of_this_host_is_no_member() {
    let mut balancer = Balancer::start(Settings::default());
    let own =
        Settings { pool: "[[pool.member]]\naddress = \"192.0.2.1\"\nport = 8080", ..Settings::default() };
    balancer.settings = own;
    balancer.write();
    balancer.hang_up(" not applied: ");
    let line =
        "pool \"web\": member 192.0.2.1:8080 is an address of this host (`ip address show to 192.0.2.1`)";
    assert!(balancer.log().contains(line), "{}", balancer.log());
    balancer.end();
    balancer.unload();
    let refusal = balancer.refusal(&balancer.settings, balancer.pins());
    assert!(refusal.starts_with(line), "{refusal}");
    let host = &balancer.network.balancer;
    assert!(host.run(&["ip", "address", "show", "to", "192.0.2.1"]).unwrap().contains("192.0.2.1/24"));

    balancer.settings = Settings::default();
    balancer.write();
    balancer.run();
    balancer.network.balancer.run(&["ip", "address", "add", "192.0.2.11/32", "dev", "lo"]).unwrap();
    wait_for("a warning", DEADLINE, || {
        balancer.log().contains("member 192.0.2.11:8080 is an address of this host")
    })
    .unwrap();
}

/// The session tables are made at the start.
#[test]
fn ipv6_comes_with_new_tables_only() {
    let mut balancer = Balancer::start(Settings::default());
    balancer.settings.clients = Family::V6;
    balancer.write();
    balancer.hang_up(" not applied: ");
    let expected = format!("VIP {}: what runs began without IPv6 addresses", VIP6.ip());
    assert!(balancer.log().contains(&expected), "{}", balancer.log());
    balancer.end();
    let ipv6 = || Settings { clients: Family::V6, ..Settings::default() };
    let refusal = balancer.refusal(&ipv6(), balancer.pins());
    assert!(
        refusal.contains("it began without IPv6 addresses and has no session table for them"),
        "{refusal}"
    );
    balancer.unload();
    balancer.run();
    balancer.end();
    // Tables that nobody needs any more are no reason to refuse.
    balancer.settings.clients = Family::V4;
    balancer.write();
    balancer.run();
}

#[test]
fn who_is_not_root_reads_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("evenkeel");
    fs::copy(testbed::binary("evenkeel").unwrap(), &program).unwrap();
    let config = directory.path().join("evenkeel.toml");
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    fs::write(&config, Settings::default().file(&network)).unwrap();
    for path in [directory.path(), &program, &config] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = Command::new(&program);
    let output = command.arg("run").arg("--config").arg(&config).uid(65534).gid(65534).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        text.starts_with("evenkeel: this needs root, or the capabilities that are missing: CAP_BPF"),
        "{text}"
    );
}

/// A bridge has no native XDP, and what native XDP redirects to it is lost without a word.
#[test]
fn one_interface_without_native_xdp_makes_all_generic() {
    let settings = Settings { interfaces: &["front", "bridge"], ..Settings::default() };
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let make_bridge = |host: &Host| {
        for words in [
            "ip link add bridge type bridge forward_delay 0",
            "ip link set back master bridge",
            "ip address add 192.0.2.1/24 dev bridge",
            "ip link set bridge up",
        ] {
            host.run(&words.split(' ').collect::<Vec<_>>()).unwrap();
        }
    };
    network.balancer.run(&["ip", "address", "del", "192.0.2.1/24", "dev", "back"]).unwrap();
    make_bridge(&network.balancer);
    let mut balancer = Balancer::start_in(network, settings);
    assert!(balancer.log().contains("bridge refuses native XDP"), "{}", balancer.log());
    let listener = servers::listen(&balancer.network.backends[0]);
    let modes = |balancer: &Balancer| {
        let interfaces = balancer.ask("status")["interfaces"].clone();
        interfaces.as_array().unwrap().iter().map(|row| row["mode"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(modes(&balancer), ["generic", "generic"]);
    connect(&balancer, &listener);
    balancer.kill();
    balancer.run();
    assert_eq!(modes(&balancer), ["generic", "generic"]);
    connect(&balancer, &listener);

    balancer.network.balancer.run(&["ip", "link", "del", "bridge"]).unwrap();
    wait_for("one interface", DEADLINE, || modes(&balancer) == ["generic"]).unwrap();
    make_bridge(&balancer.network.balancer);
    wait_for("both", DEADLINE, || modes(&balancer) == ["generic", "generic"]).unwrap();
    connect(&balancer, &listener);
}
