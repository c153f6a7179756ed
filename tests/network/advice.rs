//! Does what a refusal recommends help?

use std::path::PathBuf;

use testbed::{Host, Network, Size};

use crate::balancer::{Balancer, Family, Settings};

/// The first command that a message recommends.
fn advice(message: &str) -> &str {
    message.split('`').nth(1).unwrap_or_else(|| panic!("no command in: {message}"))
}

/// Runs the command that a message recommends, and returns what it says.
fn follow(host: &Host, message: &str) -> String {
    let words: Vec<_> = advice(message).split(' ').collect();
    host.run(&words).unwrap()
}

#[test]
fn another_xdp_program_goes_as_the_refusal_says() {
    let mut balancer = Balancer::start(Settings { interfaces: &["front"], ..Settings::default() });
    balancer.kill();
    let host = &balancer.network.balancer;
    let dotted = balancer.pins().with_extension("second");
    let refusal = balancer.refusal(&balancer.settings, &dotted);
    assert!(refusal.contains("a BPF file system has no names with dots"), "{refusal}");
    let second = PathBuf::from(format!("{}-second", balancer.pins().display()));
    // It is there by a link, which `ip` cannot take off.
    let refusal = balancer.refusal(&balancer.settings, &second);
    assert!(advice(&refusal).starts_with("bpftool link detach id "), "{refusal}");
    follow(host, &refusal);
    for mode in ["xdpdrv", "xdpgeneric"] {
        let version = std::fs::read_dir(balancer.pins()).unwrap().next().unwrap().unwrap().path();
        let program = version.join("ek_clock");
        let attach = ["bpftool", "net", "attach", mode, "pinned", program.to_str().unwrap(), "dev", "front"];
        host.run(&attach).unwrap();
        let refusal = balancer.refusal(&balancer.settings, &second);
        assert_eq!(advice(&refusal), format!("ip link set dev front {mode} off"), "{refusal}");
        follow(host, &refusal);
    }
    let link = host.run(&["ip", "link", "show", "dev", "front"]).unwrap();
    assert!(!link.contains("xdp"), "{link}");
}

#[test]
fn ipv6_comes_on_as_the_refusal_says() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let mut balancer = Balancer::start_in(network, Settings::between(Family::V6, Family::V6));
    balancer.end();
    balancer.unload();
    let host = &balancer.network.balancer;
    host.run(&["sysctl", "net/ipv6/conf/front/disable_ipv6=1"]).unwrap();
    let refusal = balancer.refusal(&balancer.settings, balancer.pins());
    assert_eq!(advice(&refusal), "sysctl net/ipv6/conf/front/disable_ipv6=0", "{refusal}");
    follow(host, &refusal);
    balancer.run();
}

#[test]
fn whose_an_address_is_is_shown_as_the_refusal_says() {
    let mut balancer = Balancer::start(Settings::default());
    balancer.end();
    balancer.unload();
    let host = &balancer.network.balancer;
    for (take, settings, address) in [
        ("203.0.113.10", Settings::default(), "203.0.113.10"),
        ("2001:db8:a::10", Settings::between(Family::V6, Family::V4), "2001:db8:a::10"),
        (
            "198.51.100.99",
            Settings { pool: "[[pool.member]]\naddress = \"192.0.2.1\"\nport = 8080", ..Settings::default() },
            "192.0.2.1",
        ),
        (
            "198.51.100.98",
            Settings { host: "local_addresses = [\"192.0.2.240/28\"]", ..Settings::default() },
            "192.0.2.255",
        ),
    ] {
        host.run(&["ip", "address", "add", take, "dev", "lo"]).unwrap();
        let refusal = balancer.refusal(&settings, balancer.pins());
        assert!(follow(host, &refusal).contains(address), "{refusal}");
        host.run(&["ip", "address", "del", take, "dev", "lo"]).unwrap();
    }
    balancer.run();
}

/// In a mount namespace whose first process has no BPF file system either.
#[test]
fn a_bpf_file_system_comes_as_the_refusal_says() {
    let mut balancer = Balancer::start(Settings::default());
    balancer.end();
    balancer.unload();
    let alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"];
    let without = "umount --lazy /sys/fs/bpf";
    let program = testbed::binary("evenkeel").unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&config, balancer.settings.file(&balancer.network)).unwrap();
    let (program, config) = (program.display(), config.path().display());
    let pins = balancer.pins().display();
    let refused = format!("{without}; {program} run --config {config} --pin-dir {pins} 2>&1 | tail -n 1");
    let refusal = balancer.network.balancer.run(&[&alone[..], &[&refused]].concat()).unwrap();
    assert_eq!(advice(&refusal), "mount -t bpf bpf /sys/fs/bpf", "{refusal}");
    let followed = format!("{without}; {}; exec \"$@\"", advice(&refusal));
    balancer.run_as(&[&alone[..], &[&followed, "sh"]].concat(), &[]);
}
