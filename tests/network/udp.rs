//! Does UDP work: answers from a real server, in proportion, and sessions that end or move?

use std::{
    net::{TcpListener, UdpSocket},
    time::Duration,
};

use testbed::{Host, Process, wait_for};

use crate::balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings, VIP};

fn settings(weights: Vec<u16>) -> Settings {
    Settings { weights, protocol: "udp", timeouts: "udp_one_way = \"1s\"", ..Settings::default() }
}

/// A DNS server that answers `who.test` with the host's own address.
fn dns_server(host: &Host, family: Family) -> Process {
    let (address, port) = (family.address_of(host).to_string(), BACKEND_PORT.to_string());
    let kind = if family == Family::V4 { "A" } else { "AAAA" };
    let words = [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--user=root",
    ];
    let own = [
        format!("--port={port}"),
        format!("--listen-address={address}"),
        "--bind-interfaces".to_owned(),
        format!("--address=/who.test/{address}"),
        "--pid-file".to_owned(),
        "--log-facility=-".to_owned(),
    ];
    let words: Vec<&str> = words.into_iter().chain(own.iter().map(String::as_str)).collect();
    let server = host.spawn(&words).unwrap();
    let asked =
        ["dig", "+short", "+time=1", "+tries=1", "-p", &port, &format!("@{address}"), "who.test", kind];
    wait_for("the DNS server", DEADLINE, || host.run(&asked).is_ok_and(|answer| answer.trim() == address))
        .unwrap();
    server
}

#[test]
fn questions_to_dns_servers_land_two_to_one() {
    land_two_to_one(Family::V4, Family::V4);
}

#[test]
fn and_so_they_do_over_ipv6() {
    land_two_to_one(Family::V6, Family::V6);
}

#[test]
fn and_from_each_family_to_the_other() {
    land_two_to_one(Family::V6, Family::V4);
    land_two_to_one(Family::V4, Family::V6);
}

fn land_two_to_one(clients: Family, backends: Family) {
    let between = Settings::between(clients, backends);
    let balancer =
        Balancer::start(Settings { clients, backends, host: between.host, ..settings(vec![2, 1]) });
    let _servers: Vec<Process> =
        balancer.network.backends.iter().map(|host| dns_server(host, backends)).collect();
    let (vip, port) = (format!("@{}", balancer.settings.vip().ip()), VIP.port().to_string());
    let (any, kind) = (
        if clients == Family::V4 { "0.0.0.0" } else { "::" },
        if backends == Family::V4 { "A" } else { "AAAA" },
    );
    // Each from a port of its own: one that chance chose twice would find its first session again.
    let answers: String = (0..30)
        .map(|n| {
            let from = format!("{any}#{}", 20_000 + n);
            let asked = ["dig", "+short", "+time=2", "+tries=1", "-b", &from, "-p", &port];
            balancer.client(&[&asked[..], &[&vip, "who.test", kind]].concat())
        })
        .collect();
    let of = |address: &str| answers.lines().filter(|line| *line == address).count();
    let expected = [0, 1].map(|n| backends.address_of(&balancer.network.backends[n]).to_string());
    assert_eq!(expected.map(|address| of(&address)), [20, 10], "{answers}");
    let sessions = balancer.ask("sessions");
    assert!(sessions.as_array().unwrap().iter().all(|s| s["protocol"] == "udp" && s["state"] == "ANSWERED"));
}

fn socket(balancer: &Balancer) -> UdpSocket {
    let socket = balancer.network.client().enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    socket.connect(VIP).unwrap();
    socket
}

fn sink(host: &Host) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind((host.address(), BACKEND_PORT))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    socket
}

/// How many datagrams have come.
fn received(sink: &UdpSocket) -> usize {
    std::iter::from_fn(|| sink.recv(&mut [0; 16]).ok()).count()
}

/// The member, of two, that a client's datagrams go to, and the other.
fn steady(client: &UdpSocket, sinks: &[UdpSocket]) -> [usize; 2] {
    for _ in 0..10 {
        client.send(b"datagram").unwrap();
    }
    let counts = [received(&sinks[0]), received(&sinks[1])];
    assert!(counts == [10, 0] || counts == [0, 10], "{counts:?}");
    if counts[0] > 0 { [0, 1] } else { [1, 0] }
}

/// Keeps sending until some comes there.
fn moves_to(client: &UdpSocket, sink: &UdpSocket) {
    wait_for("the other member", DEADLINE, || {
        client.send(b"datagram").unwrap();
        received(sink) > 0
    })
    .unwrap();
}

#[test]
fn one_client_stays_with_one_member_until_that_is_removed() {
    let mut balancer = Balancer::start(settings(vec![1, 1]));
    let sinks: Vec<UdpSocket> = balancer.network.backends.iter().map(sink).collect();
    let client = socket(&balancer);
    let [first, other] = steady(&client, &sinks);
    balancer.settings.weights.remove(first);
    let gone = balancer.network.backends.remove(first);
    balancer.reload();
    moves_to(&client, &sinks[other]);
    assert_eq!(received(&sinks[first]), 0);
    drop(gone);
}

/// Its packets would keep the session for ever, from a port that never changes, as a log's.
#[test]
fn or_is_down_while_another_is_not() {
    let pool =
        "health = { protocol = \"tcp\", port = 9000, interval = \"1s\", timeout = \"1s\", retries = 1 }";
    // A session that nobody answers is to outlive the checks.
    let balancer = Balancer::start(Settings { pool, timeouts: "", ..settings(vec![1, 1]) });
    let sinks: Vec<UdpSocket> = balancer.network.backends.iter().map(sink).collect();
    let port = |host: &Host| host.enter(|| TcpListener::bind((host.address(), 9000))).unwrap().unwrap();
    let mut ports: Vec<_> = balancer.network.backends.iter().map(|host| Some(port(host))).collect();
    wait_for("both up", DEADLINE, || (0..2).all(|n| balancer.member(n)["health"] == "up")).unwrap();
    let client = socket(&balancer);
    let [first, other] = steady(&client, &sinks);
    ports[first] = None;
    moves_to(&client, &sinks[other]);
    assert_eq!(balancer.member(first)["health"], "down");

    // With nobody else, it stays where it is.
    ports[other] = None;
    wait_for("nobody up", DEADLINE, || balancer.member(other)["health"] == "down").unwrap();
    sinks.iter().for_each(|sink| _ = received(sink));
    assert_eq!(steady(&client, &sinks), [other, first]);
}

#[test]
fn a_question_that_nobody_answers_is_forgotten_first() {
    let balancer = Balancer::start(settings(vec![1]));
    let server = sink(&balancer.network.backends[0]);
    let (answered, ignored) = (socket(&balancer), socket(&balancer));
    answered.send(b"who?").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let (_, peer) = server.recv_from(&mut [0; 16]).unwrap();
    server.send_to(b"I", peer).unwrap();
    answered.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(answered.recv(&mut [0; 16]).unwrap(), 1);
    ignored.send(b"who?").unwrap();
    wait_for("both sessions", DEADLINE, || balancer.open_sessions() == 2).unwrap();
    wait_for("the end of one", DEADLINE, || balancer.open_sessions() == 1).unwrap();
    assert_eq!(balancer.ask("sessions")[0]["state"], "ANSWERED");
}
