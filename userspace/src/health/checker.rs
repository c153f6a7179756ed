//! The tasks that probe: one for each address and check, however many members lead there, and never two probes of one
//! task at a time. The first probe is made at once; the following ones keep to a phase of their own within the
//! interval, so that they spread.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use model::health::Check;
use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, mpsc},
    task::AbortHandle,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    error::ProbeError,
    judge::{Judge, Standing, Verdict},
    probe::probe,
};

/// Probes at the same time, at most; others wait for their turn.
const MOST_PROBES: u64 = 4096;
/// File descriptors for everything else.
const OTHER_FILES: u64 = 256;
/// How long changes are gathered, so that many at once cost little more than one.
const GATHER: Duration = Duration::from_millis(20);
/// ChangedTargets that may wait to be gathered.
const BACKLOG: usize = 4096;

/// What is probed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address and port that are asked.
    pub address: SocketAddr,
    /// What and how often.
    pub check: Arc<Check>,
}

/// All probing tasks. They end with it.
pub struct Checker {
    watches: HashMap<Target, Watch>,
    turns: Arc<Semaphore>,
    changed: mpsc::Sender<Target>,
}

/// Which targets' standings have changed.
pub struct ChangedTargets {
    from: mpsc::Receiver<Target>,
    gathered: Vec<Target>,
    /// When to hand them out.
    due: Option<Instant>,
}

/// One task and what it has found out.
struct Watch {
    standing: Arc<Mutex<Standing>>,
    task: AbortHandle,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Checker {
    /// Probes nothing yet. Raises this process's limit of open files as far as it goes, if it is low.
    ///
    /// # Errors
    /// The kernel does not tell or set the limit.
    pub fn new() -> Result<(Self, ChangedTargets), LimitError> {
        let (changed, from) = mpsc::channel(BACKLOG);
        let turns = Arc::new(Semaphore::new(most_probes()?));
        let changes = ChangedTargets { from, gathered: Vec::new(), due: None };
        Ok((Self { watches: HashMap::new(), turns, changed }, changes))
    }

    /// Probes a target from now on, starting from this standing; one that is probed already goes on.
    ///
    /// To be called inside a tokio runtime.
    pub fn start(&mut self, target: Target, standing: Standing) {
        if let Entry::Vacant(place) = self.watches.entry(target) {
            let shown = Arc::new(Mutex::new(standing));
            let (target, turns, changed) = (place.key().clone(), self.turns.clone(), self.changed.clone());
            let task = tokio::spawn(watch(target, shown.clone(), turns, changed)).abort_handle();
            place.insert(Watch { standing: shown, task });
        }
    }

    /// Probes a target no longer.
    pub fn stop(&mut self, target: &Target) {
        self.watches.remove(target);
    }

    /// What is known of a target; `None` if it is not probed.
    pub fn standing(&self, target: &Target) -> Option<Standing> {
        self.watches.get(target).map(|watch| *watch.standing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ChangedTargets {
    /// Targets whose standing has changed since the last call: all of some milliseconds. Waits until there is one.
    /// Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Vec<Target> {
        loop {
            let due = self.due;
            let next = async {
                match due {
                    Some(due) => timeout_at(due, self.from.recv()).await.ok().flatten(),
                    None => self.from.recv().await,
                }
            };
            match (next.await, due) {
                (Some(target), _) => {
                    self.gathered.push(target);
                    self.due.get_or_insert_with(|| Instant::now() + GATHER);
                }
                (None, Some(_)) => {
                    self.due = None;
                    return mem::take(&mut self.gathered);
                }
                // The checker is gone and so are its changes.
                (None, None) => std::future::pending().await,
            }
        }
    }
}

async fn watch(
    target: Target,
    shown: Arc<Mutex<Standing>>,
    turns: Arc<Semaphore>,
    changed: mpsc::Sender<Target>,
) {
    let interval = target.check.pace.interval().duration();
    let start = *shown.lock().unwrap_or_else(PoisonError::into_inner);
    let mut judge = Judge::new(start, &target.check.pace);
    let phase = interval.mul_f64(RandomState::new().hash_one(&target) as f64 / u64::MAX as f64);
    let mut next = Instant::now() + phase;
    let mut at = if judge.standing().verdict.is_some() { next } else { Instant::now() };
    loop {
        sleep_until(at).await;
        let Ok(turn) = turns.acquire().await else { return };
        // A new target's first probe may leave no time for itself until the phase begins.
        while next <= Instant::now() {
            next += interval;
        }
        let before = judge.standing();
        let answer = probe(target.address, &target.check).await;
        drop(turn);
        let has_changed = match answer {
            Ok(()) => judge.hear(Ok(())),
            Err(ProbeError::Failed(failure)) => judge.hear(Err(failure)),
            Err(ProbeError::Local(error)) => {
                tracing::warn!("{} cannot be checked: {error}", target.address);
                false
            }
        };
        if has_changed {
            announce(target.address, before, judge.standing());
            *shown.lock().unwrap_or_else(PoisonError::into_inner) = judge.standing();
            if changed.send(target.clone()).await.is_err() {
                return;
            }
        }
        at = next;
    }
}

/// Tells the log of another verdict.
fn announce(address: SocketAddr, before: Standing, now: Standing) {
    match (now.verdict, now.last_failure) {
        (verdict, _) if verdict == before.verdict => {}
        (Some(Verdict::Down), Some(failure)) => tracing::info!("{address} is down: {failure}"),
        _ => tracing::info!("{address} is up"),
    }
}

/// This process's limit of open files cannot be read or raised.
#[derive(Debug, Error)]
#[error("cannot read or raise the limit of open files")]
pub struct LimitError(#[from] Errno);

/// How many probes the limit of open files allows at the same time.
fn most_probes() -> Result<usize, LimitError> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let limit = hard.min(MOST_PROBES + OTHER_FILES).max(soft);
    if limit > soft {
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
    }
    Ok(limit.saturating_sub(OTHER_FILES).clamp(16, MOST_PROBES) as usize)
}
