//! Do clients that mean harm get anywhere, and do others notice them?

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{certificates::Certificates, echo::Echo, http, nginx},
};

fn connect(balancer: &Balancer) -> TcpStream {
    let stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

#[test]
fn slow_clients_are_answered_in_time_and_others_do_not_notice_them() {
    let balancer = Balancer::start(Settings { listener: "head_timeout = \"2s\"".into(), ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let mut slow: Vec<_> = (0..200).map(|_| connect(&balancer)).collect();
    for (number, stream) in slow.iter_mut().enumerate().filter(|(number, _)| number % 2 == 0) {
        write!(stream, "GET /{number} HTTP/1.1\r\nHost: a\r\nX-Slow: ").unwrap();
    }
    let get = ["curl", "-sSf", "--max-time", "20", "http://203.0.113.10/?[1-50]"];
    assert_eq!(balancer.client(&get).lines().filter(|line| *line == "backend1").count(), 50);
    // They go on with a byte now and then, for longer than they may.
    let mut open = true;
    while open {
        thread::sleep(Duration::from_millis(200));
        let wrote = slow.iter_mut().step_by(2).filter_map(|stream| stream.write_all(b"a").ok()).count();
        open = wrote > 0 && balancer.ask("status")["http"][0]["refused"]["late"] != 100;
    }
    for (number, mut stream) in slow.into_iter().enumerate() {
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        if number % 2 == 0 {
            // What is sent after the end may have the answer lost.
            let reset = read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
            assert!(reset || answer.starts_with("HTTP/1.1 408 "), "{number}: {answer}");
        } else {
            assert_eq!((read.unwrap(), answer.as_str()), (0, ""), "{number}");
        }
    }
    let row = &balancer.ask("status")["http"][0];
    assert_eq!((&row["refused"]["late"], &row["requests"]), (&100.into(), &150.into()), "{row}");
    wait_for("no connection", DEADLINE, || balancer.ask("status")["http"][0]["connections_open"] == 0)
        .unwrap();
}

/// A client that chooses HTTP/2 in the handshake and then says nothing, or opens more requests than it may.
#[test]
fn http2_has_limits_too() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!(
        "certificates = [\"shop\"]\nhead_timeout = \"2s\"\nlimits = {{ headers = 20 }}\n{}",
        certificates.server("shop")
    );
    let balancer = Balancer::start(Settings { protocol: "https", listener, ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());
    let ca = certificates.path("ca.crt");
    let silent =
        ["openssl", "s_client", "-quiet", "-no_ign_eof", "-alpn", "h2", "-connect", "203.0.113.10:80"];
    let silent = [&["sh", "-c", "sleep 60 | \"$@\"", "sh"], &silent[..]].concat();
    let mut silent = balancer.network.client().spawn(&silent).unwrap();
    let open = || balancer.ask("status")["http"][0]["connections_open"].as_u64().unwrap();
    wait_for("its connection", DEADLINE, || open() == 1).unwrap();
    wait_for("its end", DEADLINE, || open() == 0).unwrap();
    silent.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
    let _ = silent.status();

    let status = |headers: usize| {
        let mut curl = balancer.network.client().command("curl");
        curl.args(["-sS", "--max-time", "20", "--resolve", "shop.example:80:203.0.113.10", "--cacert", &ca]);
        curl.args(["-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--http2"]);
        for number in 0..headers {
            curl.arg("-H").arg(format!("X-{number}: y"));
        }
        let output = curl.arg("https://shop.example:80/").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(status(10), "200 2");
    assert_eq!(status(30), "431 2");
}

#[test]
fn members_hear_of_the_client_and_not_of_what_it_claims() {
    let listener = "forwarded = { for = \"replace\", proto = true, port = true, host = true }";
    let balancer = Balancer::start(Settings { listener: listener.into(), ..http(1) });
    let _echo = Echo::start(&balancer.network.backends[0]);
    let answer = balancer.client(&[
        "curl",
        "-sSf",
        "--max-time",
        "20",
        "-H",
        "X-Forwarded-For: 1.2.3.4",
        "-H",
        "X_Forwarded_For: 1.2.3.4",
        "-H",
        "X-Forwarded-Proto: https",
        "-H",
        "Connection: X-Forwarded-Port",
        "http://203.0.113.10/",
    ]);
    let answer = answer.to_lowercase();
    let client = balancer.network.client().address();
    for line in [
        &format!("x-forwarded-for: {client}"),
        "x-forwarded-proto: http",
        "x-forwarded-port: 80",
        "x-forwarded-host: 203.0.113.10",
    ] {
        assert!(answer.contains(&format!("\n{line}\r\n")), "{line} in {answer}");
    }
    assert!(!answer.contains("1.2.3.4"), "{answer}");
}

/// nginx reads it at the member, curl writes it in front.
#[test]
fn the_proxy_protocol_from_the_client_and_to_the_member() {
    let listener = "proxy_protocol_from = [\"0.0.0.0/0\"]";
    for (pool, version) in [
        ("protocol = \"http\"\nproxy_protocol = \"v1\"", "v1"),
        ("protocol = \"http\"\nproxy_protocol = \"v2\"", "v2"),
    ] {
        let balancer = Balancer::start(Settings { listener: listener.into(), pool, ..http(1) });
        let directory = tempfile::tempdir().unwrap();
        let host = &balancer.network.backends[0];
        let config = directory.path().join("nginx.conf");
        let text = format!(
            "daemon off; pid {0}/pid; error_log stderr; events {{}} http {{ access_log off; server {{ \
             listen 8080 proxy_protocol; return 200 '$proxy_protocol_addr $proxy_protocol_server_addr\\n'; }} }}",
            directory.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let _server = host.spawn(&["nginx", "-c", config.to_str().unwrap()]).unwrap();
        let get = |words: &[&str]| {
            let mut curl = balancer.network.client().command("curl");
            let output =
                curl.args(["-sS", "--max-time", "20"]).args(words).arg("http://203.0.113.10/").output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        let client = balancer.network.client().address();
        let from_front = || get(&["--haproxy-protocol"]) == format!("{client} 203.0.113.10\n");
        wait_for(version, DEADLINE, from_front).unwrap();
        let mut front = connect(&balancer);
        front.write_all(b"PROXY TCP4 198.51.100.77 203.0.113.10 4711 80\r\n").unwrap();
        front.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        front.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("\r\n\r\n198.51.100.77 203.0.113.10\n"), "{version}: {answer}");
        assert_eq!(get(&[]), "", "{version}: a client without header gets nothing");
    }
}
