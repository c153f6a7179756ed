//! Do limits hold: a load balancer's bandwidth, a listener's connections and new connections per second?

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use testbed::{Segment, wait_for};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Settings, VIP},
    servers,
};

/// Long enough for a handshake through namespaces, short enough to be refused often.
const PATIENCE: Duration = Duration::from_millis(500);
const MEGABIT: f64 = 1e6;

/// Bits per second that arrived, of what iperf3 says under this name.
fn received(report: &Value, name: &str) -> f64 {
    report["end"][name]["bits_per_second"].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// Runs iperf3 through a load balancer with so many megabits per second.
fn iperf3(limit: &'static str, words: &[&str]) -> Value {
    // iperf3 talks TCP about what it measures, also of UDP.
    let also = "[[load_balancer.listener]]\nname = \"udp\"\nprotocol = \"udp\"\nport = 80\npool = \"web\"";
    let settings = Settings { load_balancer: limit.into(), listener: also.into(), ..Settings::default() };
    let balancer = Balancer::start(settings);
    let port = BACKEND_PORT.to_string();
    let mut server =
        balancer.network.backends[0].spawn(&["iperf3", "-s", "-p", &port, "--forceflush"]).unwrap();
    server.wait_for_output("Server listening", DEADLINE).unwrap();
    let vip = VIP.ip().to_string();
    let common = ["iperf3", "-c", &vip, "-p", "80", "-t", "8", "--json"];
    let report = serde_json::from_str(&balancer.client(&[&common[..], words].concat())).unwrap();
    assert!(balancer.counter("drop_bandwidth") > 0);
    assert!(balancer.ask("status")["load_balancers"][0]["refused"]["bandwidth_packets"].as_u64() > Some(0));
    report
}

/// Datagrams come as fast as they are sent, so what is left of them is the limit itself.
#[test]
fn datagrams_of_both_directions_share_the_bandwidth() {
    let words = ["--udp", "--bidir", "--bitrate", "40M", "--length", "1400"];
    let report = iperf3("bandwidth_mbit = 40", &words);
    let sum = received(&report, "sum_received") + received(&report, "sum_received_bidir_reverse");
    let with_headers = sum * 1428.0 / 1400.0 / MEGABIT;
    assert!((36.0..=44.0).contains(&with_headers), "{with_headers} of 40 Mbit/s in {}", report["end"]);
}

/// TCP finds out what there is and uses it; what it sends twice was forwarded too.
#[test]
fn a_download_gets_the_bandwidth_and_no_more() {
    let report = iperf3("bandwidth_mbit = 40", &["--reverse"]);
    let rate = received(&report, "sum_received") / MEGABIT;
    assert!((30.0..=44.0).contains(&rate), "{rate} of 40 Mbit/s in {}", report["end"]);
}

fn connect(balancer: &Balancer) -> std::io::Result<TcpStream> {
    balancer.network.client().enter(|| TcpStream::connect_timeout(&VIP, PATIENCE)).unwrap()
}

#[test]
fn so_many_connections_and_no_more_until_one_ends() {
    const MOST: u64 = 3;
    let listener = format!("max_connections = {MOST}");
    let balancer = Balancer::start(Settings { listener, ..Settings::default() });
    let server = servers::listen(&balancer.network.backends[0]);
    let mut pairs: Vec<_> =
        (0..MOST).map(|_| (connect(&balancer).unwrap(), server.accept().unwrap().0)).collect();
    assert_eq!(connect(&balancer).unwrap_err().kind(), ErrorKind::TimedOut);
    let refused = || {
        let status = balancer.ask("status");
        assert_eq!(status["listeners"][0]["sessions_open"], MOST);
        status["listeners"][0]["refused"]["connections"].as_u64().unwrap()
    };
    assert!(refused() > 0);
    assert_eq!(balancer.counter("drop_connection_limit"), refused());

    // Both ends are done with it, so it is over, though its session rests for some seconds.
    drop(pairs.pop());
    wait_for("room for another", DEADLINE, || connect(&balancer).is_ok()).unwrap();
}

/// Strangers ask, from an address where nobody answers, and go no further: clients that mean it get in.
#[test]
fn half_open_connections_shut_nobody_out() {
    const MOST: u16 = 20;
    let listener = format!("max_connections = {MOST}");
    let balancer = Balancer::start(Settings { listener, ..Settings::default() });
    let server = servers::listen(&balancer.network.backends[0]);
    for port in 0..3 * MOST {
        let mut syn = Segment::new(SocketAddr::from(([198, 51, 100, 9], 10_000 + port)), VIP);
        syn.tcp.syn = true;
        balancer.network.client().send(&syn).unwrap();
    }
    let half_open = || {
        let sessions = balancer.ask("sessions");
        sessions.as_array().unwrap().iter().filter(|session| session["state"] == "SYN_RECV").count()
    };
    wait_for("half-open sessions", DEADLINE, || half_open() == usize::from(3 * MOST)).unwrap();
    let _pairs: Vec<_> =
        (0..MOST).map(|_| (connect(&balancer).unwrap(), server.accept().unwrap().0)).collect();
    assert_eq!(connect(&balancer).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(balancer.counter("drop_connection_limit") > 0);
}

#[test]
fn new_connections_come_no_faster_than_they_may() {
    const PER_SECOND: f64 = 4.0;
    const CLIENTS: usize = 40;
    let listener = format!("max_connections_per_second = {PER_SECOND:.0}");
    let balancer = Balancer::start(Settings { listener, ..Settings::default() });
    let _server = servers::listen(&balancer.network.backends[0]);
    let begin = Instant::now();
    let got_in: usize = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| connect(&balancer).is_ok())).collect();
        clients.into_iter().map(|client| usize::from(client.join().unwrap())).sum()
    });
    // As many as a second brings at once, what came meanwhile, and one on credit.
    let most = PER_SECOND + PER_SECOND * begin.elapsed().as_secs_f64() + 1.0;
    assert!(got_in as f64 >= PER_SECOND && got_in as f64 <= most, "{got_in}, at most {most}");
    assert!(balancer.counter("drop_rate_limit") >= (CLIENTS - got_in) as u64);
}
