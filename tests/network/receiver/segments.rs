//! Which segment counts, for which sockets, and from whom? With handshakes made by hand and no balancer.

use std::net::{IpAddr, SocketAddr};

use evenkeel_toa::cgroup::Cgroup;
use testbed::{Host, Network, Process, Size};

use super::{
    Receiver,
    crafted::{self, Options, toa},
};
use crate::balancer::{BACKEND_PORT, DEADLINE};

const BALANCER: &str = "192.0.2.1";
const BALANCER6: &str = "2001:db8:2::1";
const BACKEND6: &str = "2001:db8:2::11";

/// Prints for every connection what accept() and getpeername() say.
const SERVER: &str = r"
import socket, sys
family, options = sys.argv[1], sys.argv[2:]
server = socket.socket(socket.AF_INET6 if family == '6' else socket.AF_INET)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == '6':
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
if 'reuseport' in options:
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if 'defer' in options:
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
if 'fastopen' in options:
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
server.bind(('', 8080))
server.listen(128)
for option in options:
    if option.startswith('then='):
        open(option[5:] + '/cgroup.procs', 'w').write('0')
print('listening', flush=True)
kept = []
def show(address):
    return '[%s]:%d' % address[:2] if ':' in address[0] else '%s:%d' % address[:2]
while True:
    connection, address = server.accept()
    kept.append(connection)
    print('accept', show(address), 'getpeername', show(connection.getpeername()), '.', flush=True)
";

/// A backend with a server, and beside it whoever sends segments.
struct Bench {
    server: Process,
    receiver: Receiver,
    network: Network,
    next_port: u16,
}

impl Bench {
    /// The server is older than the receiver that a test attaches.
    fn new(server: &[&str]) -> Self {
        Self::with(server, |receiver, host, words| receiver.serve(host, words))
    }

    fn with(server: &[&str], serve: impl FnOnce(&Receiver, &Host, &[&str]) -> Process) -> Self {
        let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
        let backend = &network.backends[0];
        for rule in [
            "add table inet quiet",
            "add chain inet quiet output { type filter hook output priority 0; }",
            "add rule inet quiet output tcp flags & rst == rst drop",
        ] {
            network.balancer.run(&["nft", rule]).unwrap();
        }
        let receiver = Receiver::new(backend);
        let words = [&["python3", "-u", "-c", SERVER], server].concat();
        let mut server = serve(&receiver, backend, &words);
        server.wait_for_output("listening", DEADLINE).unwrap();
        Self { server, receiver, network, next_port: 5000 }
    }

    fn sysctl(&self, setting: &str) {
        self.network.backends[0].run(&["sysctl", "-q", "-w", setting]).unwrap();
    }

    /// A number of the backend's `/proc/net/netstat`: a line of names, a line of numbers.
    fn statistic(&self, name: &str) -> u64 {
        let text = self.network.backends[0].run(&["cat", "/proc/thread-self/net/netstat"]).unwrap();
        let mut lines = text.lines();
        let (names, numbers) = (lines.next().unwrap().split(' '), lines.next().unwrap().split(' '));
        names.zip(numbers).find(|(other, _)| *other == name).unwrap().1.parse().unwrap()
    }

    /// Connects with these options; where from, and what the server saw.
    fn connect(&mut self, v6: bool, options: &Options) -> (SocketAddr, SocketAddr) {
        self.next_port += 1;
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let backend = self.network.backends[0].address();
        let (from, to) = if v6 { (ip(BALANCER6), ip(BACKEND6)) } else { (ip(BALANCER), IpAddr::V4(backend)) };
        let from = SocketAddr::new(from, self.next_port);
        let seen = self.server.log().matches(" .\n").count();
        crafted::connect(&self.network.balancer, from, SocketAddr::new(to, BACKEND_PORT), options);
        testbed::wait_for("the server to accept", DEADLINE, || {
            self.server.log().matches(" .\n").count() > seen
        })
        .unwrap_or_else(|error| panic!("{error}:\n{}", self.server.log()));
        let log = self.server.log();
        let fields: Vec<&str> = log.lines().last().unwrap().split(' ').collect();
        assert_eq!(fields[1], fields[3], "accept() and getpeername() disagree");
        (from, fields[1].parse().unwrap())
    }
}

fn v4() -> SocketAddr {
    "198.51.100.2:40000".parse().unwrap()
}

fn v6() -> SocketAddr {
    "[2001:db8:77::2]:40001".parse().unwrap()
}

fn other() -> SocketAddr {
    "203.0.113.66:6666".parse().unwrap()
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let IpAddr::V4(v4) = address.ip() else { panic!("{address}") };
    SocketAddr::new(v4.to_ipv6_mapped().into(), address.port())
}

fn third(options: Vec<u8>) -> Options {
    Options { third: Some(options), ..Options::default() }
}

#[test]
fn every_kind_of_socket_and_client() {
    let mut only4 = Bench::new(&["4"]);
    only4.receiver.attach(BALANCER);
    assert_eq!(only4.connect(false, &third(toa(v4()))).1, v4());
    let (balancer, seen) = only4.connect(false, &third(toa(v6())));
    assert_eq!(seen, balancer, "an IPv4 socket has no room for an IPv6 address");
    let ends = [balancer.to_string(), format!("192.0.2.11:{BACKEND_PORT}")];
    let found = only4.receiver.run(&["lookup", &ends[0], &ends[1]]);
    assert_eq!(found, format!("{} via {} to {}\n", v6(), ends[0], ends[1]));
    assert_eq!(only4.receiver.run(&["lookup", &ends[0]]), found);
    assert_eq!(only4.receiver.refused(&["lookup", &ends[1]]), "");

    let mut dual = Bench::new(&["6"]);
    dual.receiver.attach(&format!("{BALANCER},{BALANCER6}"));
    assert_eq!(dual.connect(false, &third(toa(v4()))).1, mapped(v4()));
    assert_eq!(dual.connect(false, &third(toa(v6()))).1, v6());
    assert_eq!(dual.connect(true, &third(toa(v6()))).1, v6());
    assert_eq!(dual.connect(true, &third(toa(v4()))).1, mapped(v4()));
    assert_eq!(dual.receiver.total("with_toa"), 4);
    assert_eq!(dual.receiver.clients(), [v4(), v4(), v6(), v6()]);
    assert_eq!(dual.receiver.status()["open"], 4);
}

#[test]
fn the_segment_that_makes_the_socket_counts() {
    let mut bench = Bench::new(&["4"]);
    bench.receiver.attach(BALANCER);
    let both = |third, data| Options { third, data, ..Options::default() };
    let late = both(Some(vec![]), Some(toa(v4())));
    let (balancer, seen) = bench.connect(false, &late);
    assert_eq!(seen, balancer, "the third segment had none, and it made the socket");
    let lost = both(None, Some(toa(v4())));
    assert_eq!(bench.connect(false, &lost).1, v4(), "the third segment is lost");
    let twice = both(Some(toa(v4())), Some(toa(other())));
    assert_eq!(bench.connect(false, &twice).1, v4());
    let in_the_syn = Options { syn: toa(other()), ..third(toa(v4())) };
    assert_eq!(bench.connect(false, &in_the_syn).1, v4(), "a SYN's makes no socket");

    bench.sysctl("net.ipv4.tcp_syncookies=2");
    assert_eq!(bench.connect(false, &third(toa(v4()))).1, v4(), "SYN cookies");
    assert_eq!(bench.connect(false, &lost).1, v4(), "SYN cookies, and the third segment is lost");
    assert_eq!(bench.statistic("SyncookiesRecv"), 2);
}

#[test]
fn deferred_accept() {
    let mut bench = Bench::new(&["4", "defer"]);
    bench.receiver.attach(BALANCER);
    let data = Options { third: Some(toa(other())), data: Some(toa(v4())), ..Options::default() };
    assert_eq!(bench.connect(false, &data).1, v4(), "the first data makes the socket");
}

#[test]
fn fast_open_and_shared_ports() {
    let mut bench = Bench::new(&["4", "reuseport", "fastopen"]);
    // Data in a SYN is taken without a cookie.
    bench.sysctl("net.ipv4.tcp_fastopen=0x602");
    bench.receiver.attach(BALANCER);
    let fast = Options { syn: toa(v4()), fast_open: true, ..Options::default() };
    assert_eq!(bench.connect(false, &fast).1, v4());
    assert_eq!(bench.connect(false, &third(toa(v4()))).1, v4());
}

#[test]
fn nobody_else_is_believed() {
    let mut bench = Bench::new(&["4"]);
    bench.receiver.attach("100.64.0.0/24,2001:db8:ffff::/48");
    for option in [toa(v4()), toa(v6())] {
        let (sender, seen) = bench.connect(false, &third(option));
        assert_eq!(seen, sender);
    }
    let (sender, seen) = bench.connect(false, &third(vec![]));
    assert_eq!(seen, sender);
    assert_eq!(bench.receiver.clients(), []);
    let totals = |bench: &Bench| bench.receiver.status()["total"].clone();
    assert_eq!((&totals(&bench)["untrusted"], &totals(&bench)["direct"]), (&2.into(), &1.into()));

    bench.receiver.attach(&format!("{BALANCER}/32"));
    for broken in [vec![254, 4, 0, 80], vec![254, 0, 0, 80], [&[1, 1][..], &toa(v4())[..6]].concat()] {
        let (sender, seen) = bench.connect(false, &third(broken));
        assert_eq!(seen, sender);
    }
    let (sender, seen) = bench.connect(false, &third(vec![1, 1, 1, 0]));
    assert_eq!(seen, sender);
    assert_eq!((&totals(&bench)["malformed"], &totals(&bench)["without_toa"]), (&3.into(), &1.into()));
    assert_eq!(totals(&bench)["with_toa"], 0);
}

#[test]
fn containers_and_nobody_outside_of_the_cgroup() {
    let mut inside = Bench::with(&["4"], |receiver, host, words| receiver.serve_in_container(host, words));
    inside.receiver.attach(BALANCER);
    assert_eq!(inside.connect(false, &third(toa(v4()))).1, v4());

    let root = Cgroup::root().unwrap();
    let then = format!("then={}", root.path().display());
    let mut moved = Bench::new(&["4", &then]);
    moved.receiver.attach(BALANCER);
    let (_, seen) = moved.connect(false, &third(toa(v4())));
    assert_eq!(seen, v4(), "a socket belongs to the cgroup in which it was made");

    let mut outside = Bench::with(&["4"], |_, host, words| host.spawn(words).unwrap());
    outside.receiver.attach(BALANCER);
    let (balancer, seen) = outside.connect(false, &third(toa(v4())));
    assert_eq!(seen, balancer);
    assert_eq!(outside.receiver.total("with_toa"), 0);
}
