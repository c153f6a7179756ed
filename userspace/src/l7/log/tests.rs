//! Whatever clients send, a request is one line with all its fields; and lines reach their files.

use std::{
    fs, iter,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use jiff::{Timestamp, Zoned, tz::TimeZone};
use model::{
    edge::{AccessLog, LogFormat},
    value::LogPath,
};
use proptest::prelude::*;

use super::{Attempt, Log, Logs, Record, TlsRecord, json, line, writer};

fn moment() -> Zoned {
    let zone = TimeZone::fixed(jiff::tz::offset(8));
    Timestamp::from_millisecond(1_644_819_836_370).unwrap().to_zoned(zone)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn attempt(member: &str, status: u16, times: [Option<u64>; 3]) -> Attempt {
    let [connect, header, response] = times.map(|time| time.map(Duration::from_millis));
    Attempt { member: address(member), status: Some(status), connect, header, response }
}

fn record<'a>(at: &'a Zoned, attempts: &'a [Attempt]) -> Record<'a> {
    Record {
        at,
        client: Some(address("192.0.2.1:888")),
        status: 200,
        method: b"POST",
        https: true,
        host: b"www.example.com",
        target: b"/example/?a=1",
        version: b"HTTP/1.1",
        request_length: 1411,
        bytes_sent: 251,
        body_bytes_sent: 3,
        request_time: Duration::from_micros(11_999),
        attempts,
        user_agent: Some(b"okhttp/3.13.1"),
        referer: None,
        forwarded_for: None,
        load_balancer: "shop",
        listener: "web tls",
        pool: Some("web"),
        vip: address("203.0.113.10:443"),
        tls: Some(TlsRecord {
            protocol: "TLSv1.2",
            cipher: "ECDHE-RSA-AES256-GCM-SHA384",
            sni: Some("www.example.com"),
        }),
        rtt_us: Some(56_704),
    }
}

fn text(record: &Record<'_>, write: fn(&Record<'_>, &mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(record, &mut out);
    String::from_utf8(out).unwrap()
}

/// The OTC guide's fields in its order, brackets and quotes as it sets them.
#[test]
fn a_line_is_the_guides() {
    let at = moment();
    let attempts = [attempt("100.64.0.129:8080", 200, [Some(0), Some(11), Some(11)])];
    assert_eq!(
        text(&record(&at, &attempts), line::write),
        "1644819836.370 - [2022-02-14T14:23:56+08:00] elb_01 192.0.2.1:888 200 \
         \"POST https://www.example.com/example/?a=1 HTTP/1.1\" 1411 251 3 0.011 \
         \"200\" \"0.000\" \"0.011\" \"0.011\" \"100.64.0.129:8080\" \"okhttp/3.13.1\" \"-\" \"-\" \
         loadbalancer_shop listener_web\\x20tls web\\x20tls pool_web \"-\" - 203.0.113.10:443 \
         \"100.64.0.129:8080\" - TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 www.example.com 56704\n"
    );
}

#[test]
fn retries_show_every_attempt_and_hyphens_for_what_was_not_reached() {
    let at = moment();
    let attempts = [
        attempt("192.0.2.11:80", 502, [None, None, Some(1)]),
        attempt("[2001:db8::1]:80", 200, [Some(2), Some(1003), Some(1500)]),
    ];
    let line = text(&record(&at, &attempts), line::write);
    let upstream =
        "\"502, 200\" \"-, 0.002\" \"-, 1.003\" \"0.001, 1.500\" \"192.0.2.11:80, [2001:db8::1]:80\"";
    assert!(line.contains(upstream), "{line}");
}

/// Nothing known: a client that sent garbage to an HTTP listener.
#[test]
fn unknown_fields_are_hyphens() {
    let at = moment();
    let bare = Record {
        client: None,
        status: 400,
        method: b"",
        https: false,
        host: b"",
        target: b"",
        version: b"",
        user_agent: None,
        pool: None,
        tls: None,
        rtt_us: None,
        ..record(&at, &[])
    };
    let line = text(&bare, line::write);
    assert!(line.contains(" -:- 400 \"- http://-- -\" "), "{line}");
    assert!(line.contains(" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" \"-\" loadbalancer_shop "), "{line}");
    assert!(line.ends_with(" - \"-\" - 203.0.113.10:443 \"-\" - - - - -\n"), "{line}");
}

/// The fields of a line as a reader sees them: at spaces, but not within quotes or brackets.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut inside = false;
    for character in line.chars() {
        match character {
            '"' => inside = !inside,
            ' ' if !inside => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    assert!(!inside, "a quote is open at the end of {line}");
    fields
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let nasty = prop::sample::select(b"\n\r\" \\\0\x7f\xff%-".to_vec());
    prop::collection::vec(prop_oneof![nasty, any::<u8>()], 0..40)
}

proptest! {
    #[test]
    fn whatever_a_client_sends_stays_in_its_field(
        parts in prop::collection::vec(bytes(), 7),
        names in prop::collection::vec(".{0,8}", 4),
        tries in 0_usize..4,
    ) {
        let at = moment();
        let attempts: Vec<_> =
            iter::repeat_n(attempt("192.0.2.11:80", 502, [None, None, None]), tries).collect();
        let record = Record {
            method: &parts[0],
            host: &parts[1],
            target: &parts[2],
            version: &parts[3],
            user_agent: Some(&parts[4]),
            referer: Some(&parts[5]),
            forwarded_for: Some(parts[6].as_slice().into()),
            load_balancer: &names[0],
            listener: &names[1],
            pool: Some(&names[2]),
            tls: Some(TlsRecord { protocol: "TLSv1.3", cipher: "", sni: Some(&names[3]) }),
            ..record(&at, &attempts)
        };
        let line = text(&record, line::write);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(line.trim_end().bytes().all(|byte| matches!(byte, b' '..=b'~')), "{}", line);
        let fields = fields(line.trim_end());
        prop_assert_eq!(fields.len(), 32, "{}", line);
        prop_assert_eq!(fields[6].split(' ').count(), 3, "{}", line);
        prop_assert_eq!(fields[11].split(", ").count(), tries.max(1), "{}", line);

        let json = text(&record, json::write);
        prop_assert_eq!(json.find('\n'), Some(json.len() - 1));
        let object: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(object["lb_name"].as_str(), Some(names[0].as_str()));
        prop_assert_eq!(object["upstream"].as_array().map(Vec::len), Some(tries));
        if let Ok(agent) = str::from_utf8(&parts[4]) {
            prop_assert_eq!(object["http_user_agent"].as_str(), Some(agent));
        }
    }
}

fn log(path: &str, format: LogFormat) -> AccessLog {
    AccessLog { path: LogPath::new(path).unwrap(), format }
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("evenkeel-log-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn log(&self, name: &str) -> AccessLog {
        log(self.0.join(name).to_str().unwrap(), LogFormat::Line)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn write(log: &Log, target: &str) {
    let at = moment();
    log.write(&Record { target: target.as_bytes(), ..record(&at, &[]) });
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn stopping_writes_all_lines_of_all_threads() {
    let directory = Directory::new("stop");
    let settings = directory.log("access.log");
    let logs = Logs::start().unwrap();
    // The same file for both, as two load balancers may have it.
    let opened = [logs.open(&settings).unwrap(), logs.open(&settings).unwrap()];
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (log, start) = (opened[number % 2].clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                (0..1000).for_each(|count| write(&log, &format!("/{number}/{count}")));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    drop(logs);
    let text = fs::read_to_string(settings.path.as_path()).unwrap();
    assert_eq!(text.lines().count() as u64 + opened[0].dropped(), 4000);
    assert_eq!(opened[0].dropped(), opened[1].dropped());
    let mine: Vec<_> = text.lines().filter(|line| line.contains(".com/2/")).collect();
    let numbers = mine.iter().map(|line| {
        let rest = line.split(".com/2/").nth(1).unwrap();
        rest.split(' ').next().unwrap().parse::<u32>().unwrap()
    });
    assert!(numbers.is_sorted(), "one thread's lines are in its order");
}

#[test]
fn after_reopening_lines_go_to_the_path_and_not_to_the_file_that_was_moved() {
    let directory = Directory::new("reopen");
    let settings = directory.log("access.log");
    let (idle, moved) = (directory.log("idle.log"), directory.0.join("access.log.1"));
    let logs = Logs::start().unwrap();
    let log = logs.open(&settings).unwrap();
    let quiet = logs.open(&idle).unwrap();
    write(&log, "/before");
    wait_for("the first line", || fs::read_to_string(settings.path.as_path()).unwrap().contains("/before"));
    fs::rename(settings.path.as_path(), &moved).unwrap();
    fs::rename(idle.path.as_path(), directory.0.join("idle.log.1")).unwrap();
    logs.reopen();
    write(&log, "/after");
    // A log that nothing was written to before.
    write(&quiet, "/idle");
    drop(logs);
    let at = |path: &Path| fs::read_to_string(path).unwrap();
    let path = settings.path.as_path();
    assert!(at(path).contains("/after") && !at(path).contains("/before"));
    assert!(at(&moved).contains("/before") && !at(&moved).contains("/after"));
    assert!(at(idle.path.as_path()).contains("/idle"));
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let logs = Logs::start().unwrap();
    let log = logs.open(&log("/dev/full", LogFormat::Json)).unwrap();
    for _ in 0..10 {
        write(&log, "/");
    }
    wait_for("ten lines counted as lost", || log.dropped() == 10);
}

#[test]
fn a_writer_that_stands_still_costs_lines_and_no_time() {
    let directory = Directory::new("slow");
    let settings = directory.log("access.log");
    let (sender, receiver) = std::sync::mpsc::sync_channel(8);
    // Nobody receives: as a writer that waits for its disk for ever.
    let queue = super::Queue { sender, waiting: Arc::default() };
    let file = Arc::new(writer::LogFile::open(settings.path.as_path()).unwrap());
    let log = Log { file, format: LogFormat::Line, queue };
    for _ in 0..20 {
        write(&log, "/");
    }
    assert_eq!(log.dropped(), 12);
    drop(receiver);
}

#[test]
fn a_log_that_cannot_be_opened_is_refused_by_name() {
    let logs = Logs::start().unwrap();
    let settings = log("/nonexistent/access.log", LogFormat::Line);
    let error = logs.open(&settings).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot open access log /nonexistent/access.log: "), "{error}");
}
