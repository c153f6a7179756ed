//! Is every request in the access log and in the counters, and do both outlive what happens to a daemon?

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use testbed::wait_for;

use crate::{
    balancer::{Balancer, DEADLINE, Settings},
    l7::{certificates::Certificates, http, nginx},
};

fn logged(path: &Path, format: &str, settings: Settings) -> Settings {
    let load_balancer = format!("access_log = {{ path = \"{}\", format = \"{format}\" }}", path.display());
    Settings { load_balancer, ..settings }
}

/// The log once it has so many lines.
fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    let enough = || read().lines().count() >= count;
    wait_for("lines", DEADLINE, enough).unwrap_or_else(|error| panic!("{error}: {}", read()));
    read().lines().map(str::to_owned).collect()
}

fn listener(balancer: &Balancer) -> Value {
    balancer.ask("status")["http"][0].clone()
}

#[test]
fn every_request_has_its_line_also_after_the_log_was_moved_away() {
    let directory = tempfile::tempdir().unwrap();
    let (log, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
    let mut balancer = Balancer::start(logged(&log, "line", http(2)));
    let _servers = nginx(&balancer, directory.path());

    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/?[1-50]"]);
    let first = lines(&log, 50);
    let client = balancer.network.client().address();
    for (number, line) in first.iter().enumerate() {
        let uri = format!("\"GET http://203.0.113.10/?{} HTTP/1.1\" ", number + 1);
        assert!(line.contains(&uri) && line.contains(&format!(" elb_01 {client}:")), "{line}");
        let member = balancer
            .network
            .backends
            .iter()
            .any(|host| line.contains(&format!("\"{}:8080\"", host.address())));
        assert!(
            member && line.contains(" loadbalancer_test listener_web web pool_web \"-\" - 203.0.113.10:80 "),
            "{line}"
        );
    }

    fs::rename(&log, &moved).unwrap();
    balancer.reopen_logs();
    wait_for("a new log", DEADLINE, || log.exists()).unwrap();
    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/after"]);
    assert!(lines(&log, 1)[0].contains("http://203.0.113.10/after "));
    assert_eq!(lines(&moved, 50).len(), 50);

    // What waits is written at the end, and the next daemon goes on where this one ended.
    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/?[1-100]"]);
    balancer.end();
    assert_eq!(fs::read_to_string(&log).unwrap().lines().count(), 101);
    balancer.run();
    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/again"]);
    assert!(lines(&log, 102)[101].contains("/again "));
}

#[test]
fn status_shows_what_was_counted_and_the_next_daemon_counts_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut balancer = Balancer::start(http(1));
    let _servers = nginx(&balancer, directory.path());
    let url = "http://203.0.113.10/";
    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/?[1-20]"]);
    balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/missing"]);
    balancer.client(&["curl", "-sS", "--max-time", "20", "-H", "Host: a b", url]);
    let counted = || listener(&balancer)["requests"] == 22;
    wait_for("22 requests", DEADLINE, counted).unwrap_or_else(|e| panic!("{e}: {}", listener(&balancer)));
    let row = listener(&balancer);
    let classes = ["2xx", "4xx", "5xx"].map(|class| row["answers"][class].as_u64().unwrap());
    assert_eq!(
        (classes, row["http_404"].as_u64(), row["refused"]["bad_host"].as_u64()),
        ([20, 2, 0], Some(1), Some(1)),
        "{row}"
    );
    assert_eq!((row["load_balancer"].as_str(), row["name"].as_str()), (Some("test"), Some("web")));
    assert!(row["response_us_sum"].as_u64().unwrap() >= row["response_us_max"].as_u64().unwrap());

    // A listener that is changed goes on counting.
    balancer.settings.listener = "head_timeout = \"7s\"".into();
    balancer.reload();
    balancer.client(&["curl", "-sS", "--max-time", "20", url]);
    wait_for("one more", DEADLINE, || listener(&balancer)["requests"] == 23).unwrap();
    let sent = balancer.member(0)["sessions_total"].clone();
    assert_eq!(sent, 22, "all but the one that was refused");
    balancer.kill();
    assert_eq!(balancer.ask("status")["http"], Value::Null);
    // One that is killed loses what its last second brought.
    balancer.run();
    let before = listener(&balancer)["requests"].as_u64().unwrap();
    assert!((0..=23).contains(&before), "{before}");
    balancer.client(&["curl", "-sS", "--max-time", "20", url]);
    wait_for("one more", DEADLINE, || listener(&balancer)["requests"] == before + 1).unwrap();
    let (row, sent) = (listener(&balancer), balancer.member(0)["sessions_total"].clone());
    balancer.end();
    balancer.run();
    let gauges = ["connections_open", "backend_connections_open"];
    let counters = |row: &Value| {
        let mut row = row.as_object().unwrap().clone();
        row.retain(|name, _| !gauges.contains(&name.as_str()));
        row
    };
    assert_eq!(counters(&listener(&balancer)), counters(&row));
    assert_eq!(balancer.member(0)["sessions_total"], sent);
    balancer.end();
    balancer.unload();
    balancer.run();
    assert_eq!(listener(&balancer)["requests"], 0, "as Layer 4's counters after an unload");
}

/// OTC guide, section 8.1: m1 and m2 are connections to backends, m4 new ones from clients.
#[test]
fn connections_to_backends_are_counted_beside_those_of_clients() {
    let directory = tempfile::tempdir().unwrap();
    for (protocol, pool) in [("http", "protocol = \"http\""), ("tcp", "")] {
        let balancer = Balancer::start(Settings { protocol, pool, ..http(1) });
        let _servers = nginx(&balancer, directory.path());
        for _ in 0..3 {
            balancer.client(&["curl", "-sS", "--max-time", "20", "http://203.0.113.10/"]);
        }
        for rows in ["listeners", "load_balancers"] {
            let figure = |name: &str| balancer.ask("status")[rows][0][name].as_u64().unwrap();
            assert_eq!(figure("sessions_total"), 3);
            // Layer 7 keeps its connections, of which each of its threads has its own.
            let kept = protocol == "http";
            wait_for("clients to be gone", DEADLINE, || {
                let of_clients = figure("sessions_established");
                let to_backends =
                    ["open", "established"].map(|of| figure(&format!("backend_connections_{of}")));
                let expected = if kept { 1..=3 } else { 0..=0 };
                of_clients == 0
                    && expected.contains(&to_backends[1])
                    && (!kept || to_backends[0] == to_backends[1])
            })
            .unwrap();
        }
    }
}

#[test]
fn a_line_of_https_tells_of_tls() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access.log");
    let certificates = Certificates::new();
    certificates.authority("ca").issue("ca", "shop", "shop.example");
    let listener = format!("certificates = [\"shop\"]\n{}", certificates.server("shop"));
    let settings = Settings { protocol: "https", listener, ..http(1) };
    let balancer = Balancer::start(logged(&log, "json", settings));
    let _servers = nginx(&balancer, directory.path());
    let ca = certificates.path("ca.crt");
    let get = |words: &[&str]| {
        let mut curl: Command = balancer.network.client().command("curl");
        curl.args(["-sS", "--max-time", "20", "--resolve", "shop.example:80:203.0.113.10", "--cacert", &ca]);
        let output = curl.args(words).arg("https://shop.example:80/x?y").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    get(&["--http2", "-A", "agent", "-e", "page"]);
    get(&["--http1.1", "--tls-max", "1.2", "-d", "hello"]);
    let lines: Vec<Value> = lines(&log, 2).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |line: usize, key: &str| lines[line][key].as_str().unwrap_or_default().to_owned();
    assert_eq!([0, 1].map(|line| text(line, "server_protocol")), ["HTTP/2.0", "HTTP/1.1"]);
    assert_eq!([0, 1].map(|line| text(line, "ssl_protocol")), ["TLSv1.3", "TLSv1.2"]);
    for (number, line) in lines.iter().enumerate() {
        assert_eq!(
            (text(number, "host"), text(number, "sni_domain_name")),
            ("shop.example".into(), "shop.example".into())
        );
        assert_eq!((text(number, "scheme"), text(number, "request_uri")), ("https".into(), "/x?y".into()));
        let numbers = ["request_length", "bytes_sent"].map(|key| line[key].as_u64().unwrap());
        assert!(numbers.iter().all(|&number| number > 20), "{line}");
    }
    assert_eq!((text(0, "http_user_agent"), text(0, "http_referer")), ("agent".into(), "page".into()));
}
