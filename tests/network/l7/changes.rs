//! Does a change of the configuration fail a request?

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{http, nginx},
};

/// How long a client waits for a connection.
const SHORT: Duration = Duration::from_millis(500);
const MORE: &str =
    "[[load_balancer.listener]]\nname = \"more\"\nprotocol = \"http\"\nport = 81\npool = \"web\"\n";

#[test]
fn requests_go_on_while_listeners_and_members_come_and_go() {
    let mut balancer = Balancer::start(http(3));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());

    let url = format!("http://{VIP}/");
    let load = ["wrk", "-t2", "-c16", "-d5s", "--timeout", "10s", &url];
    let mut load = balancer.network.client().spawn(&load).unwrap();
    let get = ["curl", "-sSf", "--max-time", "20", "http://203.0.113.10:81/"];
    let mut changes = 0;
    while load.status().unwrap().is_none() {
        balancer.settings.listener = MORE.to_owned();
        balancer.settings.weights = vec![1, 0, 1];
        balancer.reload();
        balancer.client(&get);
        balancer.reload_nonsense("[host]\ninterfaces = 7\n");
        balancer.client(&get);
        balancer.settings.listener = format!("read_timeout = \"{}s\"\n", 10 + changes);
        balancer.settings.weights = vec![1, 1, 0];
        balancer.reload();
        changes += 1;
    }
    let report = load.log();
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    assert!(changes > 1 && report.contains(" requests in "), "{changes} changes:\n{report}");
}

/// A connection that was made is served; one that was not finds nobody.
#[test]
fn a_removed_listener_serves_whom_it_has_accepted() {
    let balancer = Balancer::start(Settings { listener: MORE.to_owned(), ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let more = SocketAddr::new(VIP.ip(), 81);
    let [served, refused, broken] = [(); 3].map(|()| AtomicUsize::new(0));
    let ended = AtomicBool::new(false);
    let client = || {
        while !ended.load(Ordering::Relaxed) {
            let count = match TcpStream::connect_timeout(&more, SHORT).map(get) {
                Ok(true) => &served,
                Ok(false) => &broken,
                Err(_) => &refused,
            };
            count.fetch_add(1, Ordering::SeqCst);
        }
    };
    let rises = |count: &AtomicUsize, by| {
        let before = count.load(Ordering::SeqCst);
        wait_for("clients", DEADLINE, || count.load(Ordering::SeqCst) >= before + by)
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| balancer.network.client().enter(client).unwrap());
        }
        let first = rises(&served, 200);
        balancer.reload_with(&http(1));
        let gone = rises(&refused, 8);
        balancer.reload();
        let back = rises(&served, 200);
        ended.store(true, Ordering::Relaxed);
        first.and(gone).and(back).unwrap();
    });
    assert_eq!(broken.into_inner(), 0);
}

/// Whether the answer came, whole.
fn get(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
        && answer.ends_with("backend1\n")
}
