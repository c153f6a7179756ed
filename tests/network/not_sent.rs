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

/// Links and MTUs change while datagrams pass: what came in and did not arrive was counted, or its sender told.
#[test]
fn what_comes_in_arrives_or_is_counted() {
    const DATAGRAMS: usize = 4000;
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
        let sender = scope.spawn(|| {
            for _ in 1..DATAGRAMS {
                send();
                // Slowly enough for the rings of virtual interfaces.
                thread::sleep(Duration::from_micros(100));
            }
        });
        for change in ["down", "up", "mtu 1400", "mtu 1500"].iter().cycle() {
            if sender.is_finished() {
                break;
            }
            let words = ["ip", "link", "set", "back"].into_iter().chain(change.split(' '));
            balancer.network.balancer.run(&words.collect::<Vec<_>>()).unwrap();
        }
        let all = wait_for("all of them", DEADLINE / 3, || arrived.load(SeqCst) + counted() == DATAGRAMS);
        is_over.store(true, SeqCst);
        all.is_ok()
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
