//! What the kernel cannot send after all: is each such frame counted, and does a client learn of an MTU that changes while
//! no daemon runs?

use std::{
    net::{SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

use testbed::{Datagram, wait_for};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings, VIP},
    path_mtu::{connect, transfer},
};

#[test]
fn a_client_learns_of_a_smaller_mtu_while_no_daemon_runs() {
    for family in [Family::V4, Family::V6] {
        let mut balancer = Balancer::start(Settings::between(family, family));
        let (client, server) = connect(&balancer, family);
        balancer.kill();
        balancer.network.balancer.run(&["ip", "link", "set", "back", "mtu", "1400"]).unwrap();
        transfer(client, server);
        assert!(balancer.counter("drop_not_sent") > 0 && balancer.counter("icmp_too_big") > 0, "{family:?}");
    }
}

/// After each change of a link or its MTU: what comes in and does not arrive is counted, or its sender told.
#[test]
fn what_comes_in_arrives_or_is_counted() {
    const DATAGRAMS: usize = 50;
    let balancer = Balancer::start(Settings { protocol: "udp", ..Settings::default() });
    let backend = &balancer.network.backends[0];
    let server = backend.enter(|| UdpSocket::bind((backend.address(), BACKEND_PORT))).unwrap().unwrap();
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let source = SocketAddr::new(balancer.network.client().address().into(), 4711);
    let packet = Datagram::new(source, VIP, &[7; 1450]).packet().unwrap();
    let (arrived, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let receive = || {
        while !is_over.load(SeqCst) {
            arrived.fetch_add(usize::from(server.recv(&mut [0; 2048]).is_ok()), SeqCst);
        }
    };
    let send = || balancer.network.client().send_packet(&packet, VIP.ip()).unwrap();
    let counted = || {
        let counters = balancer.ask("counters");
        let counts =
            |counter: &&serde_json::Value| counter["class"] == "drop" || counter["name"] == "icmp_too_big";
        counters
            .as_array()
            .unwrap()
            .iter()
            .filter(counts)
            .map(|c| c["count"].as_u64().unwrap() as usize)
            .sum::<usize>()
    };
    let found = thread::scope(|scope| {
        scope.spawn(receive);
        // The session is there before anything changes.
        send();
        wait_for("the first one", DEADLINE, || arrived.load(SeqCst) == 1).unwrap();
        let (mut sent, mut is_down) = (1, false);
        let mut passes = |change: &str| {
            let words = ["ip", "link", "set", "back"].into_iter().chain(change.split(' '));
            balancer.network.balancer.run(&words.collect::<Vec<_>>()).unwrap();
            // The backend takes nothing in before it has seen that its link is back.
            is_down = (is_down || change == "down") && change != "up";
            let sees = || !backend.run(&["ip", "route"]).unwrap().contains("linkdown");
            wait_for("the backend's link", DEADLINE, || is_down || sees()).unwrap();
            // No more than the ring of a virtual interface holds; what a driver loses is not ours to count.
            (0..DATAGRAMS).for_each(|_| send());
            sent += DATAGRAMS;
            wait_for(change, DEADLINE, || arrived.load(SeqCst) + counted() == sent).is_ok()
        };
        let mut changes = ["down", "up", "mtu 1400", "mtu 1500", "down", "mtu 1400", "up", "mtu 1500"].iter();
        let all = changes.all(|change| passes(change));
        is_over.store(true, SeqCst);
        all
    });
    assert!(found, "{arrived:?} arrived, {} counted: {}", counted(), balancer.ask("counters"));
    assert!(balancer.counter("drop_not_sent") > 0);
    let not_sent = |name: &str| {
        let status = balancer.ask("status");
        let interfaces = status["interfaces"].as_array().unwrap();
        interfaces.iter().find(|interface| interface["name"] == name).unwrap()["not_sent"].as_u64()
    };
    assert_eq!((not_sent("front"), not_sent("back")), (Some(0), Some(balancer.counter("drop_not_sent"))));
}
