//! A process that was started and is ended with its guard, and what it printed.

use std::{
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::wait::wait_for;

/// How long a process has to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// A running process; dropping it ends it: SIGTERM, and SIGKILL if it is still there after some seconds.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts it, without stdin, and keeps what it prints to stdout and stderr.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        // A Ctrl-C in the terminal is for the owner, who ends this process in its turn.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().map(|stdout| keep(stdout, &log));
        let stderr = child.stderr.take().map(|stderr| keep(stderr, &log));
        Ok(Self { name, child, log, readers: stdout.into_iter().chain(stderr).collect() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far, stdout and stderr line by line.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has printed `text`.
    ///
    /// # Errors
    /// With all that it printed, if it ends first or the deadline passes.
    pub fn wait_for_output(&mut self, text: &str, deadline: Duration) -> Result<()> {
        let mut ended = None;
        let waited = wait_for(&format!("{:?} from {}", text, self.name), deadline, || {
            ended = self.child.try_wait().ok().flatten();
            // What it printed last may not have been read when it has ended.
            let is_complete = ended.is_some() && self.readers.iter().all(JoinHandle::is_finished);
            is_complete || self.log().contains(text)
        });
        if self.log().contains(text) {
            return Ok(());
        }
        if let Some(status) = ended {
            bail!("{} ended ({status}) before it printed {text:?}:\n{}", self.name, self.log());
        }
        waited.with_context(|| format!("it printed:\n{}", self.log()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal)
            .with_context(|| format!("cannot signal {}", self.name))
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to end, and makes it end if it takes too long. Its exit status.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn end(&mut self) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::SIGTERM)?;
            let child = &mut self.child;
            if wait_for("the end", GRACE, || !matches!(child.try_wait(), Ok(None))).is_err() {
                child.kill()?;
            }
        }
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{} may still run: {error:#}", self.name);
        }
    }
}

/// Keeps what comes from `stream` until its end, so that the process never waits for a reader.
fn keep(stream: impl Read + Send + 'static, log: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let log = log.clone();
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            log.lock().unwrap_or_else(PoisonError::into_inner).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_after_the_end_counts() {
        let mut command = Command::new("sh");
        command.args(["-c", "(sleep 0.2; echo late) & exit 1"]);
        let mut process = Process::spawn(command).unwrap();
        process.wait_for_output("late", GRACE).unwrap();
        let error = process.wait_for_output("never", GRACE).unwrap_err().to_string();
        assert!(error.contains("ended (exit status: 1) before it printed \"never\""), "{error}");
    }
}
