//! Do limits hold for HTTP as they do for TCP: bandwidth, connections, new connections per second? And is counted what
//! comes and goes?

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    ops::RangeInclusive,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;
use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Family, Settings},
    l7::{echo::Echo, http, nginx},
};

/// Long enough for a handshake through namespaces, short enough to be refused often.
const PATIENCE: Duration = Duration::from_millis(500);
const MEGABIT: f64 = 1e6;
const MIB: usize = 1 << 20;
/// Of 40 Mbit/s.
const ALLOWED: RangeInclusive<f64> = 36.0..=44.0;
/// Long beside the quarter of a second that a bucket holds.
const WINDOW: Duration = Duration::from_secs(4);

fn connect(balancer: &Balancer) -> std::io::Result<TcpStream> {
    let vip = balancer.settings.vip();
    let stream = balancer.network.client().enter(|| TcpStream::connect_timeout(&vip, PATIENCE)).unwrap()?;
    stream.set_read_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Whether a request on this connection is answered; if not, the connection is closed.
fn is_served(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 12];
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match asked.and_then(|()| stream.read_exact(&mut answer)) {
        Ok(()) => true,
        Err(error) => {
            let closed = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
            assert!(closed.contains(&error.kind()), "{error}");
            false
        }
    }
}

fn listener(balancer: &Balancer) -> Value {
    balancer.ask("status")["listeners"][0].clone()
}

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

fn large(directory: &Path) -> String {
    let path = directory.join("large");
    fs::write(&path, vec![7; 40 * MIB]).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A load balancer with one HTTP listener and 40 Mbit/s.
fn limited(clients: Family) -> Balancer {
    Balancer::start(Settings { clients, load_balancer: "bandwidth_mbit = 40".into(), ..http(1) })
}

/// What the listener has let pass, both ways.
fn bytes(balancer: &Balancer) -> f64 {
    let row = listener(balancer);
    number(&row, "bytes_in") + number(&row, "bytes_out")
}

/// Waits for a window in which the load balancer gets its bandwidth, while no other one gets more: TCP does not always use
/// all of it on a machine that has other things to do.
fn wait_for_the_bandwidth(balancer: &Balancer) {
    let (mut begin, mut before) = (Instant::now(), bytes(balancer));
    let reached = || {
        if begin.elapsed() < WINDOW {
            return false;
        }
        let next = Instant::now();
        let now = bytes(balancer);
        let rate = (now - before) * 8.0 / begin.elapsed().as_secs_f64() / MEGABIT;
        assert!(rate <= *ALLOWED.end(), "{rate} of 40 Mbit/s");
        (begin, before) = (next, now);
        ALLOWED.contains(&rate)
    };
    wait_for("the bandwidth", DEADLINE, reached).unwrap();
}

#[test]
fn a_download_gets_the_bandwidth_and_no_more() {
    for clients in [Family::V4, Family::V6] {
        let directory = tempfile::tempdir().unwrap();
        large(directory.path());
        let balancer = limited(clients);
        let _servers = nginx(&balancer, directory.path());
        let url = format!("http://{}/large", balancer.settings.vip());
        // As often as it takes.
        let words = [["curl", "-gsSf"].as_slice(), &["-o", "/dev/null", &url].repeat(5)].concat();
        let download = balancer.network.client().spawn(&words).unwrap();
        wait_for_the_bandwidth(&balancer);
        drop(download);
        wait_for("its end", DEADLINE, || number(&listener(&balancer), "sessions_open") == 0.0).unwrap();
        let dropped = balancer.counter("drop_bandwidth");
        assert!(dropped > 0);
        assert_eq!(listener(&balancer)["refused"]["bandwidth_packets"], dropped);
    }
}

/// What XDP drops a client learns from its acknowledgements only, and without a delay on the way it mostly rests until
/// its timer goes off: many together fill the gaps.
#[test]
fn uploads_get_the_bandwidth_and_no_more() {
    const UPLOADS: usize = 32;
    let directory = tempfile::tempdir().unwrap();
    let file = large(directory.path());
    let balancer = limited(Family::V4);
    let _echo = Echo::start(&balancer.network.backends[0]);
    let uploads: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let words = ["curl", "-sS", "--upload-file", &file, "http://203.0.113.10/"];
            balancer.network.client().spawn(&words).unwrap()
        })
        .collect();
    wait_for("all of them", DEADLINE, || bytes(&balancer) > 5e6).unwrap();
    wait_for_the_bandwidth(&balancer);
    drop(uploads);
}

#[test]
fn so_many_connections_and_no_more_until_one_ends() {
    const MOST: usize = 3;
    let mut balancer = Balancer::start(Settings { listener: format!("max_connections = {MOST}"), ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let mut inside: Vec<_> = (0..MOST).map(|_| connect(&balancer).unwrap()).collect();
    assert!(inside.iter_mut().all(is_served));
    assert_eq!(connect(&balancer).unwrap_err().kind(), ErrorKind::TimedOut);
    let row = listener(&balancer);
    assert_eq!((number(&row, "sessions_open"), number(&row, "sessions_established")), (3.0, 3.0));
    assert_eq!(number(&row["refused"], "connections"), balancer.counter("drop_connection_limit") as f64);
    assert!(number(&row["refused"], "connections") > 0.0);
    assert!(inside.iter_mut().all(is_served), "who is in stays in");

    drop(inside.pop());
    let mut enter = || connect(&balancer).is_ok_and(|mut stream| is_served(&mut stream));
    wait_for("room for another", DEADLINE, &mut enter).unwrap();

    // The next process begins with none, whatever the one before has left in the maps.
    balancer.kill();
    balancer.run();
    assert_eq!(number(&listener(&balancer), "sessions_open"), 0.0);
    let mut inside: Vec<_> = (0..MOST).map(|_| connect(&balancer).unwrap()).collect();
    assert!(inside.iter_mut().all(is_served));
}

/// Those that come at the same moment all find room when they ask for it; too many of them are closed.
#[test]
fn of_many_at_once_only_so_many_are_served() {
    const MOST: usize = 5;
    const CLIENTS: usize = 60;
    let balancer = Balancer::start(Settings { listener: format!("max_connections = {MOST}"), ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let mut streams: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| connect(&balancer))).collect();
        clients.into_iter().filter_map(|client| client.join().unwrap().ok()).collect()
    });
    let all = streams.len();
    let served = streams.iter_mut().map(is_served).filter(|&served| served).count();
    assert_eq!(served, MOST, "of {all} that were connected");
    let row = listener(&balancer);
    assert_eq!(number(&row, "sessions_open"), MOST as f64);
    let closed = (all - served) as f64;
    let dropped = balancer.counter("drop_connection_limit") as f64;
    assert_eq!(number(&row["refused"], "connections"), closed + dropped, "{row}");
    drop(streams);
    wait_for("no connection", DEADLINE, || number(&listener(&balancer), "sessions_open") == 0.0).unwrap();
}

#[test]
fn new_connections_come_no_faster_than_they_may() {
    const PER_SECOND: f64 = 4.0;
    const CLIENTS: usize = 40;
    let limit = format!("max_connections_per_second = {PER_SECOND:.0}");
    let balancer = Balancer::start(Settings { listener: limit, ..http(1) });
    let begin = Instant::now();
    let got_in: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| connect(&balancer).is_ok())).collect();
        clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum()
    });
    // As many as a second brings at once, what came meanwhile, and one on credit.
    let most = PER_SECOND + PER_SECOND * begin.elapsed().as_secs_f64() + 1.0;
    assert!(got_in as f64 >= PER_SECOND && got_in as f64 <= most, "{got_in}, at most {most}");
    let row = listener(&balancer);
    assert!(number(&row["refused"], "rate") >= (CLIENTS - got_in) as f64, "{row}");
    wait_for("another second's", DEADLINE, || connect(&balancer).is_ok()).unwrap();
}

/// The client's own interface says what came and went.
#[test]
fn packets_and_bytes_are_counted_both_ways() {
    let balancer = Balancer::start(http(1));
    let directory = tempfile::tempdir().unwrap();
    large(directory.path());
    let _servers = nginx(&balancer, directory.path());
    let vip = balancer.settings.vip().ip();
    let counted = |name| number(&listener(&balancer), name);
    assert_eq!((counted("packets_in"), counted("packets_out")), (0.0, 0.0));
    let rules = format!(
        "add table t; add chain t i {{ type filter hook prerouting priority -300; }}; \
         add chain t o {{ type filter hook postrouting priority 300; }}; \
         add counter t i; add counter t o; add rule t i ip saddr {vip} tcp sport 80 counter name i; \
         add rule t o ip daddr {vip} tcp dport 80 counter name o"
    );
    balancer.client(&["nft", &rules]);
    // Fewer packets under way than a virtual link's ring has room for: one that is lost there has been counted.
    balancer.client(&["sysctl", "-qw", "net.ipv4.tcp_rmem=4096 65536 65536"]);
    // What the balancer's interface cuts into segments arrives whole otherwise.
    balancer.network.balancer.run(&["ethtool", "-K", "front", "tso", "off", "gso", "off"]).unwrap();
    balancer.client(&["curl", "-sSf", "--max-time", "20", "-o", "/dev/null", "http://203.0.113.10/large"]);
    wait_for("the end", DEADLINE, || counted("sessions_open") == 0.0).unwrap();
    let at_client = |name: &str| {
        let text = balancer.client(&["nft", "-j", "list", "counter", "t", name]);
        let json: Value = serde_json::from_str(&text).unwrap();
        let mut objects = json["nftables"].as_array().unwrap().iter();
        let counter = objects.find_map(|object| object.get("counter")).unwrap().clone();
        (number(&counter, "packets"), number(&counter, "bytes"))
    };
    let same = || {
        at_client("o") == (counted("packets_in"), counted("bytes_in"))
            && at_client("i").1 == counted("bytes_out")
    };
    let wait = wait_for("the same figures", DEADLINE, same);
    assert!(wait.is_ok(), "{:?} {:?} {}", at_client("o"), at_client("i"), listener(&balancer));
    assert_eq!(counted("sessions_total"), 1.0);
    assert!(counted("bytes_out") > 40.0 * MIB as f64);
}

#[test]
fn the_program_for_what_leaves_stays_with_a_takeover_and_goes_with_the_rest() {
    let mut balancer = Balancer::start(http(1));
    let attached = |balancer: &Balancer| {
        let has_it = |device: &&str| {
            let query = || SchedClassifier::query_tcx(device, TcAttachType::Egress);
            let (_, programs) = balancer.network.balancer.enter(query).unwrap().unwrap();
            let names = programs.iter().map(|program| program.name_as_str());
            match names.collect::<Vec<_>>()[..] {
                [] => false,
                [Some("ek_egress")] => true,
                ref others => panic!("{others:?}"),
            }
        };
        ["front", "back"].into_iter().filter(has_it).collect::<Vec<_>>()
    };
    assert_eq!(attached(&balancer), ["front", "back"]);
    balancer.kill();
    assert_eq!(attached(&balancer), ["front", "back"]);
    balancer.run();
    assert_eq!(attached(&balancer), ["front", "back"], "one each");
    balancer.end();
    balancer.settings.interfaces = &["front"];
    balancer.write();
    balancer.run();
    assert_eq!(attached(&balancer), ["front"]);
    balancer.end();
    balancer.unload();
    wait_for("no program", DEADLINE, || attached(&balancer).is_empty()).unwrap();
}
