//! What was counted, from one daemon to the next: a file beside the socket, written every second while something changes.
//! A daemon that is killed loses what the last second brought; `unload` removes the file, as it does Layer 4's counters.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Metrics, Report, endpoint};

/// From one writing to the next; longer if writing takes more than a hundredth of that.
const PERIOD: Duration = Duration::from_secs(1);

/// The file of the daemon whose data path is pinned at `pins`.
pub fn path(pins: &Path) -> PathBuf {
    endpoint::path(pins).with_extension("counters")
}

/// What the last daemon had counted; nothing if none did, or if that cannot be read.
pub fn read(path: &Path) -> Option<Report> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        read => read,
    };
    let report = bytes.and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::from));
    report
        .inspect_err(|error| tracing::warn!("{}: counters of HTTP begin anew: {error}", path.display()))
        .ok()
}

/// Writes as long as it is there.
pub struct Keeper {
    thread: JoinHandle<()>,
    until: mpsc::Sender<()>,
}

impl Keeper {
    /// Writes there.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start(path: PathBuf, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (until, end) = mpsc::channel();
        let thread = thread::Builder::new().name("counters".into()).spawn(move || {
            let (mut last, mut period) = (Vec::new(), PERIOD);
            loop {
                let is_over = end.recv_timeout(period) == Err(mpsc::RecvTimeoutError::Disconnected);
                let began = Instant::now();
                let report = serde_json::to_vec(&metrics.report()).unwrap_or_default();
                if report != last {
                    if let Err(error) = write(&path, &report) {
                        tracing::warn!("{}: counters of HTTP are not kept: {error}", path.display());
                    }
                    last = report;
                }
                period = PERIOD.max(began.elapsed() * 100);
                if is_over {
                    return;
                }
            }
        })?;
        Ok(Self { thread, until })
    }

    /// Writes once more, and no longer.
    pub fn end(self) {
        drop(self.until);
        let _ = self.thread.join();
    }
}

/// As a whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("counters.new");
    fs::write(&new, bytes)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use model::object::ListenerId;

    use super::*;
    use crate::l7::{guard::refusal::Refusal, metrics::Answered};

    #[test]
    fn the_next_daemon_counts_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.counters");
        assert!(read(&path).is_none());
        let id = |name: &str| ListenerId::of_names(&["shop", name]);
        for times in 1..=3 {
            let metrics = Arc::new(Metrics::default());
            metrics.resume(read(&path));
            let keeper = Keeper::start(path.clone(), metrics.clone()).unwrap();
            let counters = metrics.listener(id("web"), "shop", "web");
            for status in [101, 200, 301, 404, 499, 502, 999] {
                let time = Duration::from_millis(u64::from(status));
                counters.answered(&Answered { status, time, bytes_in: 10, bytes_out: 100 });
                counters.member_answered(status);
            }
            counters.member_failed();
            counters.refused(Refusal::Late);
            let _open = counters.connection();
            let one = Arc::new(Metrics::default()).listener(id("web"), "shop", "web");
            assert_eq!(one.row(&Default::default()).requests, 0, "of this process alone");
            keeper.end();
            let row = read(&path).unwrap().listeners.remove(0);
            assert_eq!((row.requests, row.connections, row.member_failures), (7 * times, times, times));
            assert_eq!((row.answers, row.members), (row.members, row.answers));
            let answers = row.answers;
            let all = [answers._1xx, answers._2xx, answers._3xx, answers._5xx, answers.other];
            assert_eq!((all, answers._4xx), ([times; 5], 2 * times));
            assert_eq!((row.http_404, row.http_499, row.http_502), (times, times, times));
            assert_eq!((row.bytes_in, row.bytes_out, row.refused["late"]), (70 * times, 700 * times, times));
            assert_eq!((row.response_us_max, row.response_us_sum), (999_000, 3_006_000 * times));
            assert_eq!(row.connections_open, 1, "what is open is open now");
        }
        fs::write(&path, "{").unwrap();
        assert!(read(&path).is_none());
    }
}
