//! What the client does to a balancer: whole programs that others know, and what they say.

use std::{
    net::SocketAddr,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::{
    relay,
    subjects::{LARGE, MEGABYTE, Setup, Subject, UPLOAD},
};

/// How long each lasts.
const TIME: Duration = Duration::from_secs(2);
/// `openssl s_time` has one connection at a time.
const AT_A_TIME: usize = 8;
/// It puts this into `GET … HTTP/1.0`, which has no Host: backends refuse that, and close the connection.
const REQUEST: &str = "/ HTTP/1.1\r\nHost: bench.example\r\nConnection: close\r\nX-Rest:";

/// A row's load.
pub struct Load {
    /// What it shows.
    pub what: &'static str,
    scheme: Scheme,
    tool: Tool,
}

#[derive(Clone, Copy)]
enum Scheme {
    Http,
    Https,
}

enum Tool {
    /// `wrk` with so many connections, for this path, with this header.
    Wrk(usize, &'static str, &'static str),
    /// `h2load` with so many connections and streams on each.
    H2load(usize, usize),
    /// `openssl s_time`, with one request and this option.
    Handshakes(&'static str),
    /// `curl`, one upload by HTTP/2 over a way that adds so much to a round trip.
    Upload(Duration),
}

/// All loads.
pub const LOADS: [Load; 9] = [
    Load { what: "HTTP requests", scheme: Scheme::Http, tool: Tool::Wrk(64, "/", "") },
    Load { what: "HTTP answers of 64 KB", scheme: Scheme::Http, tool: Tool::Wrk(16, LARGE, "") },
    Load { what: "HTTP answers of 1 MB", scheme: Scheme::Http, tool: Tool::Wrk(16, MEGABYTE, "") },
    Load { what: "HTTP connections", scheme: Scheme::Http, tool: Tool::Wrk(64, "/", "Connection: close") },
    Load { what: "HTTPS requests", scheme: Scheme::Https, tool: Tool::Wrk(64, "/", "") },
    Load { what: "HTTP/2 requests", scheme: Scheme::Https, tool: Tool::H2load(8, 16) },
    Load { what: "full handshakes", scheme: Scheme::Https, tool: Tool::Handshakes("-new") },
    Load { what: "resumed handshakes", scheme: Scheme::Https, tool: Tool::Handshakes("-reuse") },
    Load {
        what: "MB of an HTTP/2 upload at 100 ms",
        scheme: Scheme::Https,
        tool: Tool::Upload(Duration::from_millis(100)),
    },
];

/// What came of a load.
pub struct Done {
    /// Requests, connections or MB.
    pub count: f64,
    /// Those per second.
    pub rate: f64,
    /// p50 and p99 in ms, if the program tells.
    pub latency: Option<(f64, f64)>,
}

impl Load {
    /// Puts it on a balancer.
    pub fn run(&self, setup: &Setup, subject: &Subject) -> Done {
        let (scheme, address) = match self.scheme {
            Scheme::Http => ("http", subject.http),
            Scheme::Https => ("https", subject.https),
        };
        let seconds = TIME.as_secs().to_string();
        match self.tool {
            Tool::Wrk(connections, path, header) => {
                let (connections, url) = (connections.to_string(), format!("{scheme}://{address}{path}"));
                let mut words = vec!["wrk", "--latency", "-t2", "-c", &connections, "-d", &seconds];
                if !header.is_empty() {
                    words.extend(["-H", header]);
                }
                words.push(&url);
                wrk(&setup.client(&words))
            }
            Tool::H2load(connections, streams) => {
                let (connections, streams) = (connections.to_string(), streams.to_string());
                let url = format!("{scheme}://{address}/");
                h2load(&setup.client(&[
                    "h2load",
                    "-t2",
                    "-c",
                    &connections,
                    "-m",
                    &streams,
                    "-D",
                    &seconds,
                    &url,
                ]))
            }
            Tool::Handshakes(option) => handshakes(setup, subject, option, &seconds),
            Tool::Upload(delay) => {
                upload(setup, relay::start(setup.balancer.network.client(), address, delay))
            }
        }
    }
}

fn wrk(said: &str) -> Done {
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    let milliseconds = |name: &str| {
        let value = behind(said, name);
        let (number, unit) = value.split_at(value.find(|c: char| c.is_ascii_alphabetic()).unwrap());
        let unit = match unit {
            "us" => 0.001,
            "ms" => 1.0,
            "s" => 1000.0,
            _ => panic!("{said}"),
        };
        number.parse::<f64>().unwrap() * unit
    };
    Done {
        count: before(said, " requests in "),
        rate: behind(said, "Requests/sec:").parse().unwrap(),
        latency: Some((milliseconds(" 50% "), milliseconds(" 99% "))),
    }
}

fn h2load(said: &str) -> Done {
    assert!(said.contains(" 0 failed, 0 errored, 0 timeout") && said.contains("protocol: h2"), "{said}");
    Done { count: before(said, " succeeded"), rate: before(said, " req/s"), latency: None }
}

/// Several clients at once; each opens one connection after the other.
fn handshakes(setup: &Setup, subject: &Subject, option: &str, seconds: &str) -> Done {
    let address = subject.https.to_string();
    let began = Instant::now();
    let clients: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let mut command = setup.balancer.network.client().command("openssl");
            command.args(["s_time", "-connect", &address, "-www", REQUEST, "-time", seconds, option]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs: Vec<_> = clients.into_iter().map(|client| client.wait_with_output().unwrap()).collect();
    let time = began.elapsed();
    let counts = outputs.into_iter().map(|output| {
        let said = String::from_utf8_lossy(&output.stdout);
        // One letter for each connection tells whether it was resumed.
        let (good, bad) = if option == "-reuse" { ("rrrr", "***") } else { ("****", "rrr") };
        assert!(output.status.success() && said.contains(good) && !said.contains(bad), "{said}");
        before(&said, " connections in ")
    });
    let count: f64 = counts.sum();
    Done { count, rate: count / time.as_secs_f64(), latency: None }
}

/// One file, from connect to answer.
fn upload(setup: &Setup, to: SocketAddr) -> Done {
    let url = format!("https://{to}/upload");
    let form = "%{http_version} %{http_code} %{size_upload} %{time_total}";
    let words =
        ["curl", "-sk", "--http2", "-m", "60", "-o", "/dev/null", "-w", form, "-T", &setup.upload, &url];
    let said = setup.client(&words);
    let [version, status, bytes, time] = said.split(' ').collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert!(version == "2" && matches!(status, "201" | "204"), "{said}");
    let (megabytes, time) = (bytes.parse::<f64>().unwrap() / 1e6, time.parse::<f64>().unwrap());
    assert!(megabytes * 1e6 >= UPLOAD as f64, "{said}");
    Done { count: megabytes, rate: megabytes / time, latency: None }
}

/// The word after this text.
fn behind<'a>(said: &'a str, text: &str) -> &'a str {
    let (_, rest) = said.split_once(text).unwrap_or_else(|| panic!("no {text:?} in:\n{said}"));
    rest.split_whitespace().next().unwrap()
}

/// The number before this text.
fn before(said: &str, text: &str) -> f64 {
    let (rest, _) = said.split_once(text).unwrap_or_else(|| panic!("no {text:?} in:\n{said}"));
    rest.split_whitespace().next_back().unwrap().parse().unwrap()
}
