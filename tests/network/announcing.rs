//! Do neighbours hear of VIPs and local addresses that come to this host, or do they go on sending to where these were?

use std::net::IpAddr;

use testbed::{Host, wait_for};

use crate::balancer::{Balancer, DEADLINE, Family, Settings, VIP, VIP6};

/// The MAC of the host that had the addresses before.
const ELSEWHERE: &str = "02:00:00:00:00:99";

/// What somebody on the link knows of an address of the balancer's.
struct Neighbour<'a> {
    host: &'a Host,
    address: IpAddr,
    /// The balancer's interface on this link.
    interface: &'a str,
}

impl Neighbour<'_> {
    /// It was at another host a moment ago.
    fn mislead(&self) {
        let address = self.address.to_string();
        self.host.run(&["ip", "route", "replace", &address, "dev", "eth0"]).unwrap();
        let neighbour =
            ["ip", "neighbour", "replace", &address, "lladdr", ELSEWHERE, "dev", "eth0", "nud", "stale"];
        self.host.run(&neighbour).unwrap();
    }

    fn knows(&self, mac: &str) -> bool {
        let address = self.address.to_string();
        self.host.run(&["ip", "neighbour", "show", &address, "dev", "eth0"]).unwrap().contains(mac)
    }

    fn waits_for_the_truth(&self, balancer: &Host) {
        let link = balancer.run(&["ip", "-o", "link", "show", "dev", self.interface]).unwrap();
        let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
        wait_for(&format!("{} at {mac}", self.address), DEADLINE, || self.knows(mac)).unwrap();
    }
}

/// A VIP and a local address of each family.
fn neighbours(balancer: &Balancer) -> [Neighbour<'_>; 4] {
    let (client, backend) = (balancer.network.client(), &balancer.network.backends[0]);
    let of =
        |host, address: &str, interface| Neighbour { host, address: address.parse().unwrap(), interface };
    [
        of(client, &VIP.ip().to_string(), "front"),
        of(client, &VIP6.ip().to_string(), "front"),
        of(backend, "100.64.0.3", "back"),
        of(backend, "2001:db8:64::3", "back"),
    ]
}

#[test]
fn a_start_a_takeover_and_a_change_are_heard_of() {
    let both = format!("vip = [\"{}\", \"{}\"]", VIP.ip(), VIP6.ip());
    let mut balancer = Balancer::start(Settings {
        host: "local_addresses = [\"100.64.0.0/28\", \"2001:db8:64::/124\"]\nmax_sessions = 65536\nannounce = false",
        ..Settings::between(Family::V4, Family::V4)
    });
    let of_both = |file: String| file.replace(&format!("vip = \"{}\"", VIP.ip()), &both);
    let file = of_both(balancer.settings.file(&balancer.network));
    balancer.reload_text(&file);
    neighbours(&balancer).iter().for_each(Neighbour::mislead);
    for neighbour in neighbours(&balancer) {
        assert!(neighbour.knows(ELSEWHERE), "{}: nobody wanted it said", neighbour.address);
    }

    balancer.reload_text(&file.replace("announce = false", "announce = true"));
    for neighbour in neighbours(&balancer) {
        neighbour.waits_for_the_truth(&balancer.network.balancer);
        neighbour.mislead();
    }
    balancer.kill();
    neighbours(&balancer).iter().for_each(Neighbour::mislead);
    balancer.run();
    for neighbour in neighbours(&balancer) {
        neighbour.waits_for_the_truth(&balancer.network.balancer);
    }
    balancer.reload_text(
        &file.replace("announce = false", "announce = true").replace(&format!(", \"{}\"", VIP6.ip()), ""),
    );
    let vip6 = || neighbours(&balancer).into_iter().nth(1).unwrap();
    vip6().mislead();
    balancer.reload_text(&file.replace("announce = false", "announce = true"));
    vip6().waits_for_the_truth(&balancer.network.balancer);
}
