//! Do clients and members get the TLS that was asked for, and does a change of it fail anybody?

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Output,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use openssl::ssl::{SslConnector, SslMethod};
use testbed::{Process, wait_for};

use crate::{
    balancer::{Balancer, DEADLINE, Settings, VIP},
    l7::{certificates::Certificates, echo::Echo, http, nginx},
    servers,
};

/// An HTTPS listener with these lines, in front of one backend.
fn https(listener: String) -> Settings {
    Settings { protocol: "https", listener, ..http(1) }
}

/// One request for `name` by curl, which compares the certificate with the name and the CA "ca".
fn get(balancer: &Balancer, certificates: &Certificates, name: &str, words: &[&str]) -> Output {
    let (resolve, url) = (format!("{name}:80:203.0.113.10"), format!("https://{name}:80/"));
    let ca = certificates.path("ca.crt");
    let mut curl = balancer.network.client().command("curl");
    curl.args(["-sS", "--max-time", "20", "--resolve", &resolve, "--cacert", &ca]).args(words).arg(url);
    curl.output().unwrap()
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn https_with_sni_http2_and_client_certificates() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example").issue("ca", "any", "*.shop.example");
    certificates.authority("customers").issue("customers", "customer", "customer.example");
    certificates.authority("others").issue("others", "stranger", "customer.example");
    let known =
        ["shop", "any"].map(|name| certificates.server(name)).concat() + &certificates.ca("customers");
    let lines = |more: &str| format!("certificates = [\"shop\", \"any\"]\n{more}\n{known}");
    let mut balancer = Balancer::start(https(lines("")));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());

    let version = |balancer: &Balancer, name, words: &[&str]| {
        let words = [&["-o", "/dev/null", "-w", "%{http_code} %{http_version}", "--http2"], words].concat();
        get(balancer, &certificates, name, &words)
    };
    for name in ["shop.example", "www.shop.example"] {
        assert_eq!(text(version(&balancer, name, &[])), "200 2");
        assert_eq!(text(get(&balancer, &certificates, name, &["--http1.1"])), "backend1\n");
    }
    let untrusted = get(&balancer, &certificates, "other.example", &[]);
    assert!(String::from_utf8_lossy(&untrusted.stderr).contains("no alternative certificate subject name"));

    balancer.settings.listener = lines("http2 = false");
    balancer.reload();
    assert_eq!(text(version(&balancer, "shop.example", &[])), "200 1.1");

    balancer.settings.listener = lines("client_ca = \"customers\"");
    balancer.reload();
    let with = |name: &str| {
        let [certificate, key] = ["crt", "key"].map(|end| certificates.path(&format!("{name}.{end}")));
        version(&balancer, "shop.example", &["--cert", &certificate, "--key", &key])
    };
    assert_eq!(text(with("customer")), "200 2");
    assert!(!with("stranger").status.success());
    assert!(!version(&balancer, "shop.example", &[]).status.success());
}

/// LI8: as ws on HTTP listeners, wss needs no configuration on HTTPS listeners.
#[test]
fn a_websocket_over_tls_needs_no_configuration() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let balancer =
        Balancer::start(https(format!("certificates = \"shop\"\n{}", certificates.server("shop"))));
    let _echo = Echo::start(&balancer.network.backends[0]);
    let stream = balancer.network.client().enter(|| TcpStream::connect(VIP)).unwrap().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut connector = SslConnector::builder(SslMethod::tls_client()).unwrap();
    connector.set_ca_file(certificates.path("ca.crt")).unwrap();
    // As browsers do for WebSockets.
    connector.set_alpn_protos(b"\x08http/1.1").unwrap();
    let mut client = connector.build().connect("shop.example", stream).unwrap();
    let request = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for length in [1, 125, 70_000] {
        let frame = vec![length as u8; length];
        client.write_all(&frame).unwrap();
        let mut back = vec![0; length];
        client.read_exact(&mut back).unwrap();
        assert!(back == frame);
    }
}

#[test]
fn a_certificate_changes_under_load_and_no_request_fails() {
    let certificates = Certificates::new();
    certificates.authority("ca");
    for name in ["shop", "first", "second", "stray"] {
        certificates.issue("ca", name, "shop.example");
    }
    let balancer =
        Balancer::start(https(format!("certificates = \"shop\"\n{}", certificates.server("shop"))));
    let directory = tempfile::tempdir().unwrap();
    let _servers = nginx(&balancer, directory.path());

    let load = ["wrk", "-t1", "-c8", "-d6s", "--timeout", "10s", "https://203.0.113.10:80/"];
    let mut load = balancer.network.client().spawn(&load).unwrap();
    let ended = AtomicBool::new(false);
    let handshakes = AtomicUsize::new(0);
    let changes = thread::scope(|scope| {
        // New connections, each of which compares the certificate.
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    assert_eq!(text(get(&balancer, &certificates, "shop.example", &[])), "backend1\n");
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut changes = 0;
        while load.status().unwrap().is_none() {
            for name in ["first", "second"] {
                certificates.replace("shop", name);
                balancer.reload();
                assert_eq!(subject(&balancer), name);
                changes += 1;
            }
            // A key of another certificate: the one before stays.
            std::fs::copy(certificates.path("stray.key"), certificates.path("shop.key")).unwrap();
            balancer.reload_nonsense(&balancer.settings.file(&balancer.network));
            assert_eq!(subject(&balancer), "second");
        }
        ended.store(true, Ordering::Relaxed);
        changes
    });
    let report = load.log();
    assert!(!report.contains("Socket errors") && !report.contains("Non-2xx"), "{report}");
    assert!(report.contains(" requests in "), "{report}");
    assert!(changes > 2 && handshakes.into_inner() > 2);
    let said = balancer.log();
    assert!(said.contains("the private key does not belong to CN=second; name the key"), "{said}");
    assert!(!said.contains("PRIVATE KEY-----"), "{said}");
}

/// The common name of the certificate that a new connection gets.
fn subject(balancer: &Balancer) -> String {
    let script = "openssl s_client -connect 203.0.113.10:80 -servername shop.example </dev/null 2>/dev/null | \
                  openssl x509 -noout -subject -nameopt multiline,-align | sed -n 's/.*commonName = //p'";
    balancer.client(&["sh", "-c", script]).trim().to_owned()
}

#[test]
fn members_are_believed_only_with_the_right_certificate() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "member", "member.example").authority("others");
    let cas = ["ca", "others"].map(|name| certificates.ca(name)).concat();
    let pool = |tls: &str| -> &'static str { format!("protocol = \"https\"\n{tls}").leak() };
    let right = pool("tls = { server_name = \"member.example\", ca = \"ca\" }");
    let mut balancer = Balancer::start(Settings { pool: right, listener: cas, ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let _server = tls_server(&balancer, directory.path(), &certificates);
    let get = |balancer: &Balancer| {
        let words = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w%{http_code}"];
        balancer.client(&[&words[..], &["http://203.0.113.10/"]].concat())
    };

    assert_eq!(get(&balancer), "200");
    for (tls, code) in [
        ("tls = { server_name = \"member.example\", ca = \"others\" }", "502"),
        ("tls = { server_name = \"other.example\", ca = \"ca\" }", "502"),
        ("tls = { server_name = \"member.example\" }", "502"),
        ("tls = { verify = false }", "200"),
        // Connections that nobody has verified are not used for this.
        ("tls = { server_name = \"member.example\", ca = \"others\" }", "502"),
        ("tls = { server_name = \"member.example\", ca = \"ca\" }", "200"),
        ("tls = { server_name = \"member.example\", ca = \"others\" }", "502"),
        ("http2 = true\ntls = { server_name = \"member.example\", ca = \"ca\" }", "200"),
    ] {
        balancer.settings.pool = pool(tls);
        balancer.reload();
        assert_eq!(get(&balancer), code, "{tls}");
    }
}

/// As strictly as for requests: a member that no request would believe is not well.
#[test]
fn members_are_checked_over_tls() {
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "member", "member.example").authority("others");
    let cas = ["ca", "others"].map(|name| certificates.ca(name)).concat();
    let pool = |tls: &str| -> &'static str {
        let health = "health = { protocol = \"https\", interval = \"1s\" }";
        format!("protocol = \"https\"\ntls = {{ {tls} }}\n{health}").leak()
    };
    let right = pool("server_name = \"member.example\", ca = \"ca\"");
    let mut balancer = Balancer::start(Settings { pool: right, listener: cas, ..http(1) });
    let directory = tempfile::tempdir().unwrap();
    let server = tls_server(&balancer, directory.path(), &certificates);
    let get =
        |balancer: &Balancer| balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/"]);
    let health_becomes = |balancer: &Balancer, health: &str, reason: Option<&str>| {
        let is = || {
            let member = balancer.member(0);
            member["health"] == health && (reason.is_none() || member["reason"].as_str() == reason)
        };
        wait_for(health, DEADLINE, is).unwrap_or_else(|error| panic!("{error}: {}", balancer.member(0)));
    };
    health_becomes(&balancer, "up", None);
    let bad = Some("no good TLS handshake");
    for (tls, health, reason) in [
        ("server_name = \"member.example\", ca = \"others\"", "down", bad),
        ("verify = false", "up", None),
        ("server_name = \"other.example\", ca = \"ca\"", "down", bad),
        ("server_name = \"member.example\", ca = \"ca\"", "up", None),
        ("server_name = \"member.example\"", "down", bad),
    ] {
        balancer.settings.pool = pool(tls);
        balancer.reload();
        health_becomes(&balancer, health, reason);
    }
    balancer.end();
    let environment = format!("SSL_CERT_FILE={}", certificates.path("ca.crt"));
    balancer.run_as(&["env", &environment], &[]);
    health_becomes(&balancer, "up", None);
    assert!(get(&balancer).contains("backend1"), "the host trusts the CA now, and requests go by that, too");

    balancer.settings.pool = pool("verify = false");
    balancer.reload();
    health_becomes(&balancer, "up", None);
    drop(server);
    let _plain = servers::nginx(&balancer.network.backends[0], directory.path(), "");
    health_becomes(&balancer, "down", bad);
}

/// nginx with TLS and HTTP/2 on the backend.
fn tls_server(balancer: &Balancer, directory: &std::path::Path, certificates: &Certificates) -> Process {
    let [certificate, key] = ["member.crt", "member.key"].map(|file| certificates.path(file));
    let listen = format!("ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key}");
    servers::nginx(&balancer.network.backends[0], directory, &listen)
}
