//! Do members that fail their checks get no new connections, and those that pass them again some?

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use testbed::{Host, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    servers,
};

/// Where a member's health is asked, when that is not where it serves.
const HEALTH_PORT: u16 = 9000;
/// How much later than it should things may be seen here: the machine is busy, and asking takes a process.
const LATE: Duration = Duration::from_secs(2);

/// Clients that come one after the other without a break.
struct Load {
    ended: Arc<AtomicBool>,
    /// When each request that failed began, and how it ended.
    failures: Arc<Mutex<Vec<(Instant, String)>>>,
    answered: Arc<Mutex<u64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(client: &Host) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let (failures, answered) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let threads = (0..3).map(|_| {
            let (ended, failures, answered) = (ended.clone(), failures.clone(), answered.clone());
            let requests = move || {
                while !ended.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    match request() {
                        Ok(()) => *answered.lock().unwrap() += 1,
                        Err(error) => failures.lock().unwrap().push((start, error.to_string())),
                    }
                    thread::sleep(Duration::from_millis(3));
                }
            };
            client.enter(|| thread::spawn(requests)).unwrap()
        });
        let threads = threads.collect();
        Self { ended, failures, answered, threads }
    }

    fn answered(&self) -> u64 {
        *self.answered.lock().unwrap()
    }

    /// Ends it. How requests that began after `since` failed.
    fn end(self, since: Instant) -> Vec<String> {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let failures = self.failures.lock().unwrap();
        failures.iter().filter(|(at, _)| *at > since).map(|(_, how)| how.clone()).collect()
    }
}

fn request() -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&VIP, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200 ") { Ok(()) } else { Err(std::io::Error::other(answer)) }
}

/// Waits until a member's health is `health`, and returns how long that took.
fn wait_until(balancer: &Balancer, member: usize, health: &str) -> Duration {
    let start = Instant::now();
    wait_for(health, DEADLINE, || balancer.member(member)["health"] == health)
        .unwrap_or_else(|error| panic!("{error}: {:#}", balancer.member(member)));
    start.elapsed()
}

fn is(balancer: &Balancer, member: usize, health: &str, reason: Option<&str>) {
    let member = balancer.member(member);
    assert_eq!((member["health"].as_str(), member["reason"].as_str()), (Some(health), reason), "{member:#}");
}

/// As [`is`], after the first check.
fn becomes(balancer: &Balancer, member: usize, health: &str, reason: &str) {
    wait_for(reason, DEADLINE, || balancer.member(member)["reason"] == reason)
        .unwrap_or_else(|error| panic!("{error}: {:#}", balancer.member(member)));
    is(balancer, member, health, Some(reason));
}

fn connect(balancer: &Balancer, patience: Duration) -> std::io::Result<TcpStream> {
    balancer.network.client().enter(|| TcpStream::connect_timeout(&VIP, patience)).unwrap()
}

fn health_port(balancer: &Balancer, member: usize) -> TcpListener {
    let host = &balancer.network.backends[member];
    host.enter(|| TcpListener::bind((host.address(), HEALTH_PORT))).unwrap().unwrap()
}

#[test]
fn a_server_that_ends_or_hangs_under_load_costs_no_request_after_the_verdict_and_comes_back() {
    let (interval, timeout, retries) = (Duration::from_secs(1), Duration::from_secs(1), 2);
    let balancer = Balancer::start(Settings {
        weights: vec![1, 1, 1],
        pool: "health = { protocol = \"http\", interval = \"1s\", timeout = \"1s\", retries = 2 }",
        ..Settings::default()
    });
    becomes(&balancer, 0, "down", "connection refused");
    let directory = tempfile::tempdir().unwrap();
    let start = |host| servers::nginx(host, directory.path(), "");
    let mut servers: Vec<_> = balancer.network.backends.iter().map(start).collect();
    (0..3).for_each(|member| _ = wait_until(&balancer, member, "up"));
    for (signal, reason) in [(Signal::SIGKILL, "connection refused"), (Signal::SIGSTOP, "timeout")] {
        let load = Load::start(balancer.network.client());
        let had: Vec<_> = (0..3).map(|member| balancer.sessions_of(member)).collect();
        wait_for("all three to serve", DEADLINE, || {
            (0..3).all(|member| balancer.sessions_of(member) > had[member] + 10)
        })
        .unwrap();

        servers[1].signal(signal).unwrap();
        let took = wait_until(&balancer, 1, "down");
        let verdict = Instant::now();
        assert!(took <= interval * retries + timeout + LATE, "{took:?}");
        is(&balancer, 1, "down", Some(reason));
        assert_eq!(balancer.member(1)["state"], "active", "that is another matter");
        let (had, answered) = (balancer.sessions_of(1), load.answered());
        wait_for("more requests", DEADLINE, || load.answered() > answered + 200).unwrap();
        assert_eq!(balancer.sessions_of(1), had, "it gets none");

        match signal {
            Signal::SIGSTOP => servers[1].signal(Signal::SIGCONT).unwrap(),
            _ => servers[1] = start(&balancer.network.backends[1]),
        }
        let took = wait_until(&balancer, 1, "up");
        assert!(took <= interval * retries + timeout + LATE, "{took:?}");
        wait_for("its share", DEADLINE, || balancer.sessions_of(1) > had + 20).unwrap();
        assert_eq!(load.end(verdict), [""; 0]);
    }
}

#[test]
fn a_member_that_is_down_keeps_its_sessions_and_restarts_change_no_verdict() {
    let mut balancer = Balancer::start(Settings {
        pool: "health = { protocol = \"tcp\", port = 9000, interval = \"1s\", timeout = \"1s\", retries = 3 }",
        ..Settings::default()
    });
    let server = servers::listen(&balancer.network.backends[0]);
    let port = health_port(&balancer, 0);
    wait_until(&balancer, 0, "up");
    let mut open = connect(&balancer, DEADLINE).unwrap();
    let mut accepted = server.accept().unwrap().0;

    drop(port);
    wait_until(&balancer, 0, "down");
    let dropped = balancer.counter("drop_no_member");
    assert!(connect(&balancer, Duration::from_millis(300)).is_err(), "nobody is left");
    assert!(balancer.counter("drop_no_member") > dropped);
    open.write_all(b"still here").unwrap();
    accepted.read_exact(&mut [0; 10]).unwrap();

    balancer.kill();
    let port = health_port(&balancer, 0);
    balancer.run();
    is(&balancer, 0, "down", Some("connection refused"));
    let took = wait_until(&balancer, 0, "up");
    assert!(took > Duration::from_secs(1), "{took:?} is not time enough for three checks");
    connect(&balancer, DEADLINE).unwrap();

    balancer.kill();
    drop(port);
    balancer.run();
    is(&balancer, 0, "up", Some("connection refused"));
    connect(&balancer, Duration::from_millis(500)).unwrap();
    wait_until(&balancer, 0, "down");
    open.write_all(b"still here").unwrap();
    accepted.read_exact(&mut [0; 10]).unwrap();
}

#[test]
fn udp_ports_are_checked_by_echo_and_silence() {
    let balancer = Balancer::start(Settings {
        weights: vec![1, 1],
        pool: "health = { protocol = \"udp\", port = 9000, interval = \"1s\", timeout = \"1s\", retries = 1 }",
        ..Settings::default()
    });
    let host = &balancer.network.backends[0];
    let bind = || host.enter(|| UdpSocket::bind((host.address(), HEALTH_PORT))).unwrap().unwrap();
    becomes(&balancer, 0, "down", "port unreachable");
    let socket = bind();
    wait_until(&balancer, 0, "up");
    becomes(&balancer, 1, "down", "port unreachable");
    host.run(&["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"]).unwrap();
    wait_until(&balancer, 0, "down");
    is(&balancer, 0, "down", Some("no echo reply"));
    host.run(&["sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0"]).unwrap();
    wait_until(&balancer, 0, "up");
    drop(socket);
    wait_until(&balancer, 0, "down");
    is(&balancer, 0, "down", Some("port unreachable"));
}

#[test]
fn a_changed_check_begins_without_an_outage_and_the_same_one_goes_on() {
    const SLOW: &str = "health = { protocol = \"tcp\", interval = \"50s\", retries = 10 }";
    let mut balancer = Balancer::start(Settings { weights: vec![1, 1], ..Settings::default() });
    let _server = servers::listen(&balancer.network.backends[0]);
    is(&balancer, 0, "unchecked", None);
    is(&balancer, 1, "unchecked", None);

    balancer.settings.pool = SLOW;
    balancer.reload();
    wait_until(&balancer, 0, "up");
    becomes(&balancer, 1, "down", "connection refused");
    let _late = servers::listen(&balancer.network.backends[1]);
    balancer.settings.weights = vec![2, 1];
    balancer.reload();
    is(&balancer, 1, "down", Some("connection refused"));
    for _ in 0..4 {
        connect(&balancer, DEADLINE).unwrap();
    }
    assert_eq!((balancer.sessions_of(0), balancer.sessions_of(1)), (4, 0), "new weights forget no verdict");

    balancer.settings.pool = "health = { protocol = \"http\", interval = \"50s\", timeout = \"1s\" }";
    balancer.reload();
    is(&balancer, 0, "unchecked", None);
    connect(&balancer, DEADLINE).unwrap();
    wait_until(&balancer, 0, "down");
    is(&balancer, 0, "down", Some("timeout"));

    balancer.kill();
    balancer.settings.pool = "";
    balancer.write();
    balancer.run();
    is(&balancer, 0, "unchecked", None);
    is(&balancer, 1, "unchecked", None);
    for _ in 0..3 {
        connect(&balancer, DEADLINE).unwrap();
    }
    assert!(balancer.sessions_of(1) > 0, "whoever is not checked is well");
}
