//! Does everything that works over IPv4 work over IPv6, and from each to the other?

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

use testbed::{http::Backend, wait_for};

use crate::{
    balancer::{BACKEND_PORT, Balancer, DEADLINE, Family, Settings},
    servers,
};

/// Clients, backends.
const PAIRS: [(Family, Family); 4] =
    [(Family::V4, Family::V4), (Family::V6, Family::V6), (Family::V6, Family::V4), (Family::V4, Family::V6)];

/// What an answer of [`Backend`] says after `name`.
fn said<'a>(answer: &'a str, name: &str) -> &'a str {
    let found = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("{answer}"))
}

#[test]
fn curl_is_answered_and_toa_names_the_client() {
    for (clients, backends) in PAIRS {
        let settings = Settings { weights: vec![1, 1], ..Settings::between(clients, backends) };
        let balancer = Balancer::start(settings);
        let start = |host| Backend::start_on(host, backends.address_of(host), BACKEND_PORT).unwrap();
        let _backends: Vec<_> = balancer.network.backends.iter().map(start).collect();
        let url = format!("http://{}/", balancer.settings.vip());
        let curl = ["curl", "-sSf", "--globoff", "--max-time", "10", &url];
        let answers: Vec<String> = (0..4).map(|_| balancer.client(&curl)).collect();
        let client = clients.address_of(balancer.network.client());
        for answer in &answers {
            let toa: SocketAddr = said(answer, "toa").parse().unwrap();
            assert_eq!(toa.ip(), client, "{clients:?} {backends:?}");
            let peer: SocketAddr = said(answer, "peer").parse().unwrap();
            assert_eq!(peer.is_ipv4(), backends == Family::V4, "a local address of the backend's family");
        }
        for backend in ["backend1", "backend2"] {
            assert_eq!(answers.iter().filter(|answer| said(answer, "backend") == backend).count(), 2);
        }
        let sessions = balancer.ask("sessions");
        let sessions = sessions.as_array().unwrap();
        assert_eq!(sessions.len(), 4);
        for session in sessions {
            let end = |end: &str| session[end].as_str().unwrap().parse::<SocketAddr>().unwrap();
            assert_eq!((end("vip"), end("client").ip()), (balancer.settings.vip(), client));
            assert_eq!([end("local").is_ipv4(), end("backend").is_ipv4()], [backends == Family::V4; 2]);
        }
    }
}

/// iperf3's client does not wait for the last bytes, so this is about their flow; `bulk` is about each of them.
#[test]
fn streams_and_datagrams_flow_in_both_directions() {
    let udp = "[[load_balancer.listener]]\nname = \"udp\"\nprotocol = \"udp\"\nport = 80\npool = \"web\"";
    for (clients, backends) in PAIRS {
        let settings = Settings { listener: udp.into(), ..Settings::between(clients, backends) };
        let balancer = Balancer::start(settings);
        let host = &balancer.network.backends[0];
        let (address, port) = (backends.address_of(host).to_string(), BACKEND_PORT.to_string());
        let _server = host.spawn(&["iperf3", "--server", "--bind", &address, "--port", &port]).unwrap();
        servers::wait_until_listening_on(host, backends);
        let vip = balancer.settings.vip();
        let (vip, port) = (vip.ip().to_string(), vip.port().to_string());
        for more in [
            &["--bytes", "100M"][..],
            &["--bytes", "100M", "--reverse"],
            &["--udp", "--bitrate", "40M", "--bytes", "5M"],
            &["--udp", "--bitrate", "40M", "--bytes", "5M", "--reverse"],
        ] {
            let words = ["iperf3", "--json", "--client", &vip, "--port", &port];
            let mut report = serde_json::Value::Null;
            // The server may be busy with the end of the test before.
            wait_for("a report", DEADLINE, || {
                let said = balancer.network.client().run(&[&words, more].concat()).unwrap_or_default();
                report = serde_json::from_str(&said).unwrap_or_default();
                report["end"]["streams"].is_array()
            })
            .unwrap_or_else(|error| panic!("{error}: {report:#}"));
            let end = &report["end"];
            let received = match more[0] {
                "--udp" => {
                    end["sum"]["bytes"].as_f64().unwrap_or_default()
                        * (1.0 - end["sum"]["lost_percent"].as_f64().unwrap_or(100.0) / 100.0)
                }
                _ => end["sum_received"]["bytes"].as_f64().unwrap_or_default(),
            };
            // Of a stream, what buffers hold is on its way still when the sender has sent all and asks.
            let least = if more[0] == "--udp" { 2 << 20 } else { 50 << 20 };
            assert!(received > f64::from(least), "{clients:?} {backends:?} {more:?}: {end:#}");
        }
    }
}

#[test]
fn an_idle_session_is_reset_at_both_ends_and_its_port_comes_back() {
    for (clients, backends) in PAIRS {
        let settings = Settings { idle_timeout: "1s", ..Settings::between(clients, backends) };
        let balancer = Balancer::start(settings);
        let (free, total) = balancer.ports();
        assert_eq!(free, total);
        let listener = servers::listen_on(&balancer.network.backends[0], backends);
        let connect = || TcpStream::connect(balancer.settings.vip());
        let mut client = balancer.network.client().enter(connect).unwrap().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"world").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        for (mut stream, end) in [(client, "client"), (server, "server")] {
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let error = stream.read(&mut [0; 1]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{clients:?} {backends:?} {end}");
        }
        wait_for("the port's return", DEADLINE, || balancer.ports() == (total, total)).unwrap();
        assert_eq!(balancer.open_sessions(), 0);
    }
}

#[test]
fn sessions_outlive_the_daemon() {
    for (clients, backends) in PAIRS {
        let mut balancer = Balancer::start(Settings::between(clients, backends));
        let listener = servers::listen_on(&balancer.network.backends[0], backends);
        let vip = balancer.settings.vip();
        let mut client = balancer.network.client().enter(|| TcpStream::connect(vip)).unwrap().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        balancer.kill();
        client.write_all(b"nobody").unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        balancer.run();
        server.write_all(b"somebody").unwrap();
        client.read_exact(&mut [0; 8]).unwrap();
        assert_eq!(balancer.open_sessions(), 1);
    }
}

#[test]
fn an_access_list_has_networks_of_both_families() {
    let mut balancer = Balancer::start(Settings::between(Family::V6, Family::V6));
    let listener = servers::listen_on(&balancer.network.backends[0], Family::V6);
    let vip = balancer.settings.vip();
    let connect = |balancer: &Balancer| {
        let connect = || TcpStream::connect_timeout(&vip, Duration::from_millis(700));
        balancer.network.client().enter(connect).unwrap()
    };
    for (lists, may) in [
        ("allow = [\"2001:db8:1::/48\", \"198.51.100.0/24\"]", true),
        ("allow = [\"0.0.0.0/0\"]", false),
        ("deny = [\"2001:db8:1::2\"]", false),
        ("allow = [\"::/0\"]\ndeny = [\"2001:db8:2::/48\"]", true),
    ] {
        balancer.settings.listener = lists.into();
        balancer.reload();
        assert_eq!(connect(&balancer).is_ok(), may, "{lists}");
    }
    let mut client = connect(&balancer).unwrap();
    let mut servers: Vec<_> = (0..3).map(|_| listener.accept().unwrap().0).collect();
    client.write_all(b"hello").unwrap();
    servers[2].read_exact(&mut [0; 5]).unwrap();
    balancer.settings.listener = "deny = [\"2001:db8:1::/64\"]".into();
    balancer.reload();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn every_kind_of_health_check_asks_over_ipv6() {
    for (pool, reason) in [
        ("health = { protocol = \"tcp\", interval = \"1s\", retries = 1 }", "connection refused"),
        ("health = { protocol = \"http\", interval = \"1s\", retries = 1 }", "connection refused"),
        ("health = { protocol = \"udp\", interval = \"1s\", retries = 1 }", "port unreachable"),
    ] {
        let balancer = Balancer::start(Settings { pool, ..Settings::between(Family::V4, Family::V6) });
        let host = &balancer.network.backends[0];
        let becomes = |what: &str, value: &str| {
            wait_for(value, DEADLINE, || balancer.member(0)[what] == value)
                .unwrap_or_else(|error| panic!("{pool}: {error}: {:#}", balancer.member(0)));
        };
        becomes("reason", reason);
        let directory = tempfile::tempdir().unwrap();
        let bind = || UdpSocket::bind((host.address6(), BACKEND_PORT));
        let _datagrams = host.enter(bind).unwrap().unwrap();
        let _server = servers::nginx(host, directory.path(), "");
        becomes("health", "up");
        if reason == "port unreachable" {
            host.run(&["sysctl", "-qw", "net.ipv6.icmp.echo_ignore_all=1"]).unwrap();
            becomes("reason", "no echo reply");
        }
    }
}
