//! Does all of it work together on this kernel? `cargo xtask test --kernels` asks that of others.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
};

use aya::programs::loaded_programs;
use testbed::{Host, Network, Segment, Size, http::Backend, wait_for};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings, VIP, VIP6},
    l7::certificates::Certificates,
    receiver::{Receiver, TRUSTED},
};

/// Listeners beside the one of TCP, of both layers and families, and a backend's other server.
fn settings(certificates: &Certificates) -> Settings {
    let listener = |name: &str, protocol: &str, port: u16, pool: &str| {
        format!(
            "[[load_balancer.listener]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nport = {port}\npool = \"{pool}\"\n"
        )
    };
    let pool = |name: &str, lines: &str, address: &str, port: u16| {
        let member = format!("[[pool.member]]\naddress = \"{address}\"\nport = {port}\n");
        format!("[[pool]]\nname = \"{name}\"\n{lines}\n{member}")
    };
    let lines = [
        listener("echo", "udp", 80, "web"),
        listener("plain", "http", 8080, "site"),
        listener("secure", "https", 443, "site") + "certificates = [\"shop\"]\n",
        listener("server", "tcp", 81, "server"),
        certificates.server("shop"),
        format!("[[load_balancer]]\nname = \"six\"\nvip = \"{}\"\n", VIP6.ip()),
        listener("six", "tcp", 80, "web6"),
        listener("mixed", "tcp", 81, "web"),
        pool("web6", "", "2001:db8:2::11", BACKEND_PORT),
        pool("site", "protocol = \"http\"", "192.0.2.11", BACKEND_PORT),
        pool("server", "", "192.0.2.11", SERVER_PORT),
    ];
    Settings { listener: lines.concat(), ..Settings::between(Family::V4, Family::V4) }
}

/// Of the server that knows nothing of TOA.
const SERVER_PORT: u16 = 8081;

#[test]
fn on_this_kernel() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let mut balancer = Balancer::start(settings(&certificates));
    tell_what_was_verified(" with no session log", &BALANCER);
    let backend = &balancer.network.backends[0];
    let start = |family: Family| Backend::start_on(backend, family.address_of(backend), BACKEND_PORT);
    let _backends = [Family::V4, Family::V6].map(|family| start(family).unwrap());

    let curl = |url: &str| balancer.client(&["curl", "-sSfk", "--globoff", "--max-time", "30", url]);
    let client = balancer.network.client();
    for (url, client) in [
        ("http://203.0.113.10/", Family::V4.address_of(client)),
        ("http://[2001:db8:a::10]/", Family::V6.address_of(client)),
        ("http://[2001:db8:a::10]:81/", Family::V6.address_of(client)),
    ] {
        assert_eq!(said(&curl(url), "toa").parse::<SocketAddr>().unwrap().ip(), client, "{url}");
    }
    for url in ["http://203.0.113.10:8080/", "https://203.0.113.10/"] {
        assert_eq!(said(&curl(url), "forwarded for"), "198.51.100.2", "{url}");
    }
    // What Layer 7 answers is counted by the program that sees what this host sends.
    let status = balancer.ask("status");
    let listeners = status["listeners"].as_array().unwrap();
    for name in ["plain", "secure"] {
        let listener = listeners.iter().find(|listener| listener["name"] == name).unwrap();
        assert!(listener["bytes_out"].as_u64().unwrap() > 0, "{listener}");
    }
    datagrams_are_answered(&balancer, backend);
    a_server_sees_the_client(&balancer, backend);

    let mut open = client.enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    answered(&mut open);
    balancer.kill();
    answered(&mut open);
    balancer.run_as(&[], &["--log-sessions"]);
    tell_what_was_verified(" with a session log", &BALANCER);
    answered(&mut open);
    balancer.client(&["curl", "-sSf", "--max-time", "30", "http://203.0.113.10/"]);
    wait_for("a line about the session", DEADLINE, || balancer.log().contains("session opened: ")).unwrap();
    balancer.end();
    assert!(balancer.unload().contains("unloaded"));
}

/// Without a balancer, on kernels that are too old for that: the segments are made by hand, from an address that is
/// nobody's, so that nobody resets them.
#[test]
fn the_receiver_alone() {
    let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
    let (sender, backend) = (&network.balancer, &network.backends[0]);
    let link = sender.run(&["ip", "-oneline", "link", "show", "dev", "back"]).unwrap();
    let mac = link.split_whitespace().skip_while(|word| *word != "link/ether").nth(1).unwrap();
    backend.run(&["ip", "neighbour", "add", "192.0.2.66", "lladdr", mac, "dev", "eth0"]).unwrap();
    let receiver = Receiver::new(backend);
    let port = SERVER_PORT.to_string();
    let server = receiver.serve(backend, &["busybox", "httpd", "-f", "-vv", "-p", &port]);
    let up = || backend.enter(|| TcpStream::connect((backend.address(), SERVER_PORT))).unwrap().is_ok();
    wait_for("the server", DEADLINE, up).unwrap();
    receiver.attach("192.0.2.66/32");
    tell_what_was_verified("", &RECEIVER);

    let answers = sender.capture("back").unwrap();
    let to = SocketAddr::from((backend.address(), SERVER_PORT));
    let mut segment = Segment::new("192.0.2.66:4711".parse().unwrap(), to);
    (segment.tcp.syn, segment.tcp.sequence_number) = (true, 1000);
    sender.send(&segment).unwrap();
    let is_answer = |answer: &&Segment| answer.tcp.syn && answer.tcp.ack;
    let seen =
        answers.wait_for("the SYN-ACK", DEADLINE, |all| all.iter().any(|one| is_answer(&one))).unwrap();
    let answer = seen.iter().find(is_answer).unwrap();
    (segment.tcp.syn, segment.tcp.ack, segment.tcp.sequence_number) = (false, true, 1001);
    segment.tcp.acknowledgment_number = answer.tcp.sequence_number.wrapping_add(1);
    segment.tcp.set_options_raw(&[254, 8, 0x9c, 0x40, 198, 51, 100, 77]).unwrap();
    sender.send(&segment).unwrap();
    segment.payload = b"GET / HTTP/1.0\r\n\r\n".to_vec();
    sender.send(&segment).unwrap();
    wait_for("the client in the server's log", DEADLINE, || server.log().contains("198.51.100.77]:40000"))
        .unwrap_or_else(|error| panic!("{error}:\n{}", server.log()));
    assert_eq!(receiver.total("with_toa"), 1);
    drop(server);
}

/// What an answer of [`Backend`] says after `name`.
fn said<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("{answer}"))
}

/// One request on a connection that goes on.
fn answered(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let mut answer = String::new();
    while !answer.contains("toa: ") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{answer}");
        answer.push_str(str::from_utf8(&piece[..length]).unwrap());
    }
}

fn datagrams_are_answered(balancer: &Balancer, backend: &Host) {
    let server = backend.enter(|| UdpSocket::bind((backend.address(), BACKEND_PORT))).unwrap().unwrap();
    let client = balancer.network.client().enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    client.connect(VIP).unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
    }
    let mut datagram = [0; 16];
    client.send(b"who?").unwrap();
    let (_, peer) = server.recv_from(&mut datagram).unwrap();
    server.send_to(b"I", peer).unwrap();
    assert_eq!(client.recv(&mut datagram).unwrap(), 1);
}

/// BusyBox's HTTP server prints who asked.
fn a_server_sees_the_client(balancer: &Balancer, backend: &Host) {
    let receiver = Receiver::new(backend);
    let port = SERVER_PORT.to_string();
    let server = receiver.serve(backend, &["busybox", "httpd", "-f", "-vv", "-p", &port]);
    let up = || backend.enter(|| TcpStream::connect((backend.address(), SERVER_PORT))).unwrap().is_ok();
    wait_for("the server", DEADLINE, up).unwrap();
    receiver.attach(TRUSTED);
    tell_what_was_verified("", &RECEIVER);
    let mut stream = balancer
        .network
        .client()
        .enter(|| TcpStream::connect(SocketAddr::new(VIP.ip(), 81)))
        .unwrap()
        .unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let client = stream.local_addr().unwrap();
    let client = format!("{}]:{}", client.ip(), client.port());
    wait_for("the client in the server's log", DEADLINE, || server.log().contains(&client))
        .unwrap_or_else(|error| panic!("{error}: {client} in\n{}", server.log()));
    assert_eq!(receiver.total("with_toa"), 1);
    drop(server);
}

/// The data path's programs.
const BALANCER: [&str; 4] = ["evenkeel", "ek_clock", "ek_steer", "ek_egress"];
/// The receiver's.
const RECEIVER: [&str; 3] = ["ek_toa_read", "ek_toa_peer4", "ek_toa_peer6"];

/// How many instructions the verifier went through, for each of these programs in the kernel.
fn tell_what_was_verified(how: &str, programs: &[&str]) {
    // Programs of other tests come and go.
    for program in loaded_programs().flatten() {
        if let Some(name) = program.name_as_str()
            && programs.contains(&name)
            && let Some(count) = program.verified_instruction_count()
        {
            println!("{name}{how}: {count} instructions verified");
        }
    }
}
