//! Does the daemon keep to itself what clients and members say, however much it is asked to log?

use std::io::{Read, Write};

use crate::{
    balancer::{Balancer, VIP},
    l7::{
        frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Heard, Peer, frame, https, request},
        http,
        script::{self, Client},
    },
};

/// What is planted.
const SECRET: &str = "planted-secret";

/// A member that tells secrets, and does not always speak HTTP.
fn serve(balancer: &Balancer) {
    script::serve(&balancer.network.backends[0], |head, _| {
        let secrets = format!("Set-Cookie: a={SECRET}\r\nX-Secret: {SECRET}\r\n");
        match head {
            head if head.contains("/broken") => format!("HTTP/1.1 200 OK\r\n{secrets}{SECRET}\r\n\r\n"),
            head if head.contains("/cut") => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n{secrets}\r\n")
            }
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n{secrets}\r\n{SECRET}", SECRET.len()),
        }
        .into_bytes()
    });
}

fn fields() -> [(&'static str, String); 3] {
    [
        ("authorization", format!("Bearer {SECRET}")),
        ("cookie", format!("session={SECRET}")),
        ("x-api-key", SECRET.into()),
    ]
}

const PATHS: [&str; 4] = ["/", "/broken", "/cut", "/status"];

/// The daemon says everything that it ever says; it has said something, and no secret.
fn talks_of_nothing(balancer: &Balancer) {
    let log = balancer.log();
    assert!(log.contains("DEBUG"), "it says nothing:\n{log}");
    let told: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains(SECRET)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn no_secret_of_http1_is_logged() {
    let mut balancer = Balancer::start(http(1));
    serve(&balancer);
    balancer.end();
    balancer.run_as(&["env", "RUST_LOG=trace"], &[]);
    let fields: String = fields().map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    for path in PATHS {
        let bads = ["", "bad\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n"];
        for bad in &bads[..if path == "/" { bads.len() } else { 1 }] {
            let mut client = Client::connect(balancer.network.client(), VIP);
            let head = format!(
                "GET {path}?token={SECRET} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bad}{fields}"
            );
            client.stream().write_all(format!("{head}\r\n").as_bytes()).unwrap();
            let _ = client.stream().read_to_end(&mut Vec::new());
        }
    }
    // One that goes before its answer.
    let mut client = Client::connect(balancer.network.client(), VIP);
    let head =
        format!("POST /?token={SECRET} HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n{fields}\r\n{SECRET}");
    client.stream().write_all(head.as_bytes()).unwrap();
    drop(client);
    talks_of_nothing(&balancer);
}

#[test]
fn no_secret_of_http2_is_logged() {
    let (certificates, settings) = https(1, "", "protocol = \"http\"");
    let mut balancer = Balancer::start(settings);
    serve(&balancer);
    balancer.end();
    balancer
        .run_as(&["env", "RUST_LOG=trace,h2=trace,pingora_proxy=trace,pingora_core::protocols=trace"], &[]);
    let own = fields();
    for path in PATHS {
        let target = format!("{path}?token={SECRET}");
        let bads = [None, Some(("host", SECRET)), Some(("content-length", "-1")), Some(("te", SECRET))];
        for bad in &bads[..if path == "/" { bads.len() } else { 1 }] {
            let mut peer = Peer::connect(&balancer, &certificates, &[]);
            let mut all = vec![(":path", target.as_str()), (":method", "POST")];
            all.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
            all.extend(bad);
            peer.send(&frame(HEADERS, END_HEADERS, 1, &request(&all)));
            peer.send(&frame(DATA, END_STREAM, 1, SECRET.as_bytes()));
            assert_ne!(peer.hear(1), Heard::End(None));
        }
    }
    talks_of_nothing(&balancer);
}
