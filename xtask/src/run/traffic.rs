//! A steady trickle of requests, one connection each, from a thread on the client.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Result;
use testbed::Host;

/// Time between two requests.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// Requests that go on until this is dropped.
#[derive(Debug)]
pub struct Traffic {
    ended: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    sender: Option<JoinHandle<()>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were answered.
    pub answered: u64,
    /// How many were not, and how the last of them failed.
    pub failed: u64,
    /// The last failure.
    pub failure: Option<String>,
    /// The last answer, on one line.
    pub answer: Option<String>,
}

impl Traffic {
    /// Starts sending from `client` to `vip`.
    ///
    /// # Errors
    /// If the client's namespace is gone.
    pub fn start(client: &Host, vip: SocketAddr) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (end, counted) = (ended.clone(), tally.clone());
        let sender = client.enter(|| {
            thread::spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    let result = request(vip);
                    lock(&counted).count(result);
                    thread::sleep(INTERVAL);
                }
            })
        })?;
        Ok(Self { ended, tally, sender: Some(sender) })
    }

    /// What has become of the requests so far.
    pub fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if self.sender.take().is_some_and(|sender| sender.join().is_err()) {
            eprintln!("the requests ended early: their thread panicked");
        }
    }
}

impl Tally {
    fn count(&mut self, result: io::Result<String>) {
        match result {
            Ok(answer) => {
                self.answered += 1;
                self.answer = Some(answer);
            }
            Err(error) => {
                self.failed += 1;
                self.failure = Some(error.to_string());
            }
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(vip: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&vip, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {vip}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim().replace('\n', ", "));
    body.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}
