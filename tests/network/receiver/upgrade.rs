//! Does anything get lost or stay behind when the receiver comes, is replaced and goes, or after many connections?

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use testbed::wait_for;
use xdp_ebpf::receiver::program;

use super::{
    Receiver, TRUSTED,
    mirror::{ask, mirror},
};
use crate::balancer::{Balancer, DEADLINE, Settings, VIP};

/// Connections without end while `work` is done. How many there were; any that fails is a panic.
fn under_load(
    balancer: &Balancer,
    allowed: fn(SocketAddr) -> bool,
    work: impl FnOnce(&AtomicUsize),
) -> usize {
    let (ended, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        while !ended.load(Ordering::Relaxed) {
            let (client, seen) = ask().unwrap();
            assert!(seen == client || allowed(seen), "{client} is seen as {seen}");
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let loads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| balancer.network.client().enter(load).unwrap())).collect();
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&count)));
        ended.store(true, Ordering::Relaxed);
        for load in loads {
            load.join().unwrap();
        }
        worked.unwrap();
    });
    count.into_inner()
}

fn wait_for_more(count: &AtomicUsize) {
    let before = count.load(Ordering::Relaxed);
    wait_for("more connections", DEADLINE, || count.load(Ordering::Relaxed) > before + 20).unwrap();
}

fn is_local_address(seen: SocketAddr) -> bool {
    seen.ip().to_string().starts_with("100.64.0.")
}

#[test]
fn nothing_is_lost_under_load() {
    let balancer = Balancer::start(Settings::default());
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());

    under_load(&balancer, is_local_address, |count| {
        for _ in 0..5 {
            wait_for_more(count);
            assert!(receiver.attach(TRUSTED).starts_with("attached to "));
            wait_for_more(count);
            assert!(receiver.detach().starts_with("detached"));
        }
    });

    receiver.attach(TRUSTED);
    let served = under_load(
        &balancer,
        |_| false,
        |count| {
            for _ in 0..10 {
                wait_for_more(count);
                assert!(receiver.attach(TRUSTED).starts_with("replaced the receiver on "));
            }
        },
    );
    assert_eq!(receiver.total("with_toa"), served as u64, "the counters go on");
    assert_eq!(receiver.total("without_toa"), 0);
}

#[test]
fn open_connections_keep_their_client_and_ten_thousand_leave_nothing() {
    let balancer = Balancer::start(Settings::default());
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());
    receiver.attach(TRUSTED);

    let mut open = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    let client = open.local_addr().unwrap();
    wait_for("the connection", DEADLINE, || receiver.clients() == [client]).unwrap();
    receiver.attach(TRUSTED);
    assert_eq!(receiver.clients(), [client], "the next receiver knows it too");

    let left = AtomicUsize::new(10_000);
    let load = || {
        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            let (client, seen) = ask().unwrap();
            assert_eq!(seen, client);
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| balancer.network.client().enter(load).unwrap());
        }
    });
    assert_eq!(receiver.total("with_toa"), 10_001);
    wait_for("the end of the connections", DEADLINE, || receiver.clients() == [client]).unwrap();

    open.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&client.to_string()), "{answer}");
    drop(open);
    wait_for("empty storage", DEADLINE, || receiver.clients().is_empty()).unwrap();
}

#[test]
fn what_is_half_there_does_not_stand_in_the_way_of_the_next_start() {
    let balancer = Balancer::start(Settings::default());
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());
    receiver.attach(TRUSTED);
    // A start that was killed between two pins.
    let version = receiver.pins().join(format!("v{}", xdp_ebpf::receiver::ABI_VERSION));
    fs::remove_file(version.join(program::READ)).unwrap();
    // Earlier receivers pinned a link at this place, too.
    let list = receiver.pins().join("connections");
    fs::hard_link(version.join(program::PEER4), &list).unwrap();

    assert!(receiver.attach(TRUSTED).starts_with("replaced the receiver on "));
    assert!(!list.exists(), "what nobody replaces goes");
    let (client, seen) = balancer.network.client().enter(ask).unwrap().unwrap();
    assert_eq!(seen, client);
    fs::hard_link(version.join(program::PEER4), &list).unwrap();
    receiver.detach();
    assert!(!receiver.pins().exists());
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let balancer = Balancer::start(Settings::default());
    let (receiver, elsewhere) =
        (Receiver::new(&balancer.network.backends[0]), Receiver::new(balancer.network.client()));
    let cgroup = elsewhere.cgroup.to_str().unwrap();
    let one_line = |words: &[&str], needle: &str| {
        let error = receiver.refused(words);
        assert!(error.contains(needle) && error.lines().count() == 1, "{words:?}: {error}");
    };
    one_line(&["status"], "nothing is attached at");
    one_line(&["detach"], "nothing is attached at");
    one_line(&["lookup", "100.64.0.1:1024"], "nothing is attached at");
    one_line(&["run", "--trusted", TRUSTED, "--cgroup", "/proc"], "not a directory of cgroup2");
    receiver.attach(TRUSTED);
    one_line(&["run", "--trusted", "192.0.2.0/24", "--cgroup", cgroup], "is attached to");
    let status = receiver.status();
    assert_eq!(status["cgroup"], receiver.cgroup.to_str().unwrap());
    assert_eq!(status["trusted"].as_array().unwrap(), &[TRUSTED], "a refused start changes nothing");
}

#[test]
fn in_the_foreground_it_goes_with_its_process() {
    let balancer = Balancer::start(Settings::default());
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());
    let (program, cgroup) = (receiver.program.to_str().unwrap(), receiver.cgroup.to_str().unwrap());
    let words = [program, "run", "--trusted", TRUSTED, "--cgroup", cgroup];
    let mut process = balancer.network.backends[0].spawn(&words).unwrap();
    process.wait_for_output("attached to ", DEADLINE).unwrap();
    let ask = || balancer.network.client().enter(ask).unwrap().unwrap();
    let (client, seen) = ask();
    assert_eq!(seen, client);
    assert!(process.end().unwrap().success());
    // What it printed last is read after it has ended.
    wait_for("its count", DEADLINE, || process.log().contains("with_toa             1 ")).unwrap();
    wait_for("the end of it", DEADLINE, || is_local_address(ask().1)).unwrap();
}
