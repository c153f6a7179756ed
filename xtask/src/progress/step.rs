//! A command that runs while others may.

use std::{
    io::{BufRead, BufReader, Read},
    mem,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{count::Count, draw, line, seconds};

/// A command that runs; dropping it kills it.
#[derive(Debug)]
pub struct Step {
    child: Child,
    start: Instant,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    /// While this lives, the step is shown.
    shown: Option<(mpsc::Sender<()>, JoinHandle<()>)>,
}

/// A command that ran.
#[derive(Debug)]
pub struct Ended {
    /// What it printed, without cargo's progress.
    pub output: Output,
    /// How long it took.
    pub took: Duration,
}

impl Ended {
    /// One line that `what` is built, unless that took no time.
    pub fn tell(&self, what: &str) {
        if self.took > draw::PATIENCE {
            line("built", format_args!("{what}, {}", seconds(self.took)));
        }
    }
}

impl Step {
    /// Starts a command, without stdin; if it takes long it is shown as `what`, `message`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(what: &str, message: &str, command: &mut Command) -> Result<Self> {
        // Into a pipe cargo draws its progress only if it is told to, and how wide.
        command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "80");
        command.env("CARGO_TERM_COLOR", "never");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let name = command.get_program().display().to_string();
        let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        let count = Arc::new(Mutex::new(Count::default()));
        let stdout = child.stdout.take().map(|stream| read_stdout(stream, count.clone()));
        let stderr = child.stderr.take().map(|stream| read_stderr(stream, count.clone()));
        let (end, ended) = mpsc::channel();
        let (what, message, shown) = (what.to_owned(), message.to_owned(), count.clone());
        let drawer = thread::spawn(move || draw::show(&what, &message, &shown, &ended));
        Ok(Self { child, start, stdout, stderr, shown: Some((end, drawer)) })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If the kernel does not say how it ended.
    pub fn end(mut self) -> Result<Ended> {
        let status = self.child.wait().context("cannot wait for a command")?;
        let join = |reader: &mut Option<JoinHandle<Vec<u8>>>| {
            reader.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (join(&mut self.stdout), join(&mut self.stderr));
        Ok(Ended { output: Output { status, stdout, stderr }, took: self.start.elapsed() })
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some((end, drawer)) = self.shown.take() {
            drop(end);
            let _ = drawer.join();
        }
    }
}

fn lock(count: &Mutex<Count>) -> MutexGuard<'_, Count> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_stdout(stream: impl Read + Send + 'static, count: Arc<Mutex<Count>>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut stream, mut log, mut line) = (BufReader::new(stream), Vec::new(), Vec::new());
        while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            lock(&count).stdout(&String::from_utf8_lossy(&line));
            log.append(&mut line);
        }
        log
    })
}

/// Keeps all but cargo's progress, whose pieces end at carriage returns.
fn read_stderr(stream: impl Read + Send + 'static, count: Arc<Mutex<Count>>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut log, mut piece) = (Vec::new(), Vec::new());
        let take = |piece: Vec<u8>, log: &mut Vec<u8>| {
            if !lock(&count).stderr(&String::from_utf8_lossy(&piece)) {
                log.extend(piece);
            }
        };
        for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
            piece.push(byte);
            if matches!(byte, b'\n' | b'\r') {
                take(mem::take(&mut piece), &mut log);
            }
        }
        take(piece, &mut log);
        log
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_not_part_of_the_log() {
        let mut command = Command::new("sh");
        command.args(["-c", r"printf '[=>  ] 1/3: a  \r[==> ] 2/3: b  \rerror: no\n' >&2; echo out; exit 1"]);
        let ended = Step::start("test", "a shell", &mut command).unwrap().end().unwrap();
        assert_eq!(ended.output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&ended.output.stderr), "error: no\n");
        assert_eq!(String::from_utf8_lossy(&ended.output.stdout), "out\n");
    }

    #[test]
    fn a_dropped_step_is_killed() {
        let step = Step::start("test", "a sleep", Command::new("sleep").arg("60")).unwrap();
        let process = std::path::PathBuf::from(format!("/proc/{}", step.child.id()));
        assert!(process.exists());
        drop(step);
        assert!(!process.exists());
    }
}
