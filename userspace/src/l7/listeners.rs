//! All HTTP and HTTPS listeners of this process. A change is prepared as a whole, so that one that cannot be made
//! changes nothing; then listeners start, get other settings, or end when their last request has.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Error, Result};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    edge::Edges,
    listen::{self, Listening},
    metrics::Metrics,
    pick::secret::Secret,
    snapshot::{Pools, Snapshot, pools, snapshots},
    threads::Threads,
};
use crate::{
    dataplane::daemon::Daemon,
    health::judge::Verdict,
    model::{self, ListenerKey, Model},
};

/// How long the process waits at its end for requests under way.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// The file with the key that cookies are signed with.
const SECRET: &str = "cookie-secret";

/// The listeners, and the threads on which their requests are served.
pub struct Layer7 {
    listeners: BTreeMap<ListenerKey, Listening>,
    pools: Arc<Pools>,
    edges: Edges,
    secret: Option<Secret>,
    state: PathBuf,
    /// Removed ones whose last connections are still open.
    ending: Vec<Ending>,
    threads: Threads,
}

struct Ending {
    key: ListenerKey,
    listener: model::Listener,
    task: JoinHandle<()>,
}

/// A change that can be made.
pub struct Next {
    pools: Arc<Pools>,
    snapshots: BTreeMap<ListenerKey, Snapshot>,
    sockets: BTreeMap<ListenerKey, Vec<TcpListener>>,
}

impl Layer7 {
    /// No listeners yet. The threads may do nothing that needs a privilege. What has to outlive the process is in the
    /// directory `state`.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(state: PathBuf) -> Result<Self> {
        let threads = Threads::start().context("cannot start threads for Layer 7")?;
        Ok(Self {
            listeners: BTreeMap::new(),
            pools: Arc::default(),
            edges: Edges::new()?,
            secret: None,
            state,
            ending: Vec::new(),
            threads,
        })
    }

    /// Makes ready all that the model's listeners need.
    ///
    /// # Errors
    /// What is missing; nothing has changed.
    pub fn prepare(&mut self, model: &Model) -> Result<Next> {
        let next = self.make_ready(model);
        if next.is_err() {
            self.forget_others();
        }
        next
    }

    fn make_ready(&mut self, model: &Model) -> Result<Next> {
        self.load_secret(model)?;
        let pools = match &self.secret {
            Some(secret) => pools(model, &self.pools, secret)?,
            None => Pools::new(),
        };
        let pools = Arc::new(pools);
        let snapshots = snapshots(model, &pools, &self.edges)?;
        let new = snapshots.keys().filter(|key| !self.listeners.contains_key(key));
        let count = self.threads.runtimes().len();
        let sockets = new.map(|key| Ok((*key, listen::open(key, count)?))).collect::<Result<_>>()?;
        Ok(Next { pools, snapshots, sockets })
    }

    /// Not before there are pools whose cookies are signed with it.
    fn load_secret(&mut self, model: &Model) -> Result<()> {
        if self.secret.is_none() && model.pools.values().any(|pool| pool.http.is_some()) {
            self.secret = Some(Secret::load_or_make(&self.state.join(SECRET)).map_err(Error::msg)?);
        }
        Ok(())
    }

    /// Makes the change. New requests go by it from now on; `daemon` steers connections to new listeners, and no more
    /// to those that are gone.
    ///
    /// # Errors
    /// The kernel refuses something. The other listeners are changed.
    pub fn follow(&mut self, next: Next, daemon: &mut Daemon) -> Result<()> {
        let Next { pools, snapshots, mut sockets } = next;
        self.edges.metrics.follow(pools.clone());
        self.pools = pools;
        let gone: Vec<_> =
            self.listeners.keys().filter(|key| !snapshots.contains_key(key)).copied().collect();
        let mut followed = Ok(());
        for key in gone {
            followed = followed.and(daemon.unsteer(&key));
            self.end(key);
        }
        for (key, snapshot) in snapshots {
            match (self.listeners.get(&key), sockets.remove(&key)) {
                (Some(listening), _) => listening.follow(snapshot),
                (None, Some(sockets)) => followed = followed.and(self.start(key, sockets, snapshot, daemon)),
                (None, None) => {}
            }
        }
        self.forget_others();
        followed
    }

    /// Forgets the counters of all but the listeners that there are.
    fn forget_others(&self) {
        let edges = self.listeners.values().map(|listening| listening.snapshot().edge.clone());
        let names: BTreeSet<_> =
            edges.map(|edge| (edge.load_balancer.clone(), edge.listener.clone())).collect();
        self.edges.metrics.retain(|name| names.contains(name));
    }

    /// Lets listeners accept connections that `daemon` has places for by now: to be called when it has followed, too.
    pub fn seat(&mut self, daemon: &Daemon) {
        for (key, listening) in &mut self.listeners {
            listening.seat(|| daemon.seats(key));
        }
    }

    fn start(
        &mut self,
        key: ListenerKey,
        sockets: Vec<TcpListener>,
        snapshot: Snapshot,
        daemon: &mut Daemon,
    ) -> Result<()> {
        let listening = Listening::start(self.threads.runtimes(), sockets, snapshot)?;
        daemon.steer(&key, listening.socket()?)?;
        self.listeners.insert(key, listening);
        Ok(())
    }

    fn end(&mut self, key: ListenerKey) {
        let Some(listening) = self.listeners.remove(&key) else { return };
        let listener = listening.snapshot().listener.clone();
        self.ending.push(Ending { key, listener, task: tokio::spawn(listening.end()) });
    }

    /// `model` and the listeners that it lacks and that still have connections, whose packets must go on passing.
    pub fn with_ending(&self, model: &Model) -> Model {
        let mut model = model.clone();
        for Ending { key, listener, .. } in &self.ending {
            model.vips.insert(key.vip);
            let ending = || model::Listener { pool: None, ..listener.clone() };
            model.listeners.entry(*key).or_insert_with(ending);
        }
        model
    }

    /// Whether a listener that was ending has ended since the last call.
    pub fn has_ended(&mut self) -> bool {
        let before = self.ending.len();
        self.ending.retain(|ending| !ending.task.is_finished());
        self.ending.len() < before
    }

    /// Follows what is known of the members' health; `verdict` says it of a pool's member.
    pub fn note_health(&self, verdict: impl Fn(&str, SocketAddr) -> Option<Verdict>) {
        for (name, pool) in &*self.pools {
            pool.note_health(|member| verdict(name, member));
        }
    }

    /// Opens all access logs again by their paths.
    pub fn reopen_logs(&self) {
        self.edges.logs.reopen();
    }

    /// What the listeners count.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.edges.metrics.clone()
    }

    /// Ends all listeners, and waits some seconds for requests under way.
    pub async fn end_all(mut self, daemon: &mut Daemon) {
        let keys: BTreeSet<_> = self.listeners.keys().copied().collect();
        for key in keys {
            // The kernel takes a closed socket out by itself.
            let _ = daemon.unsteer(&key);
            self.end(key);
        }
        let ending = mem::take(&mut self.ending);
        let all = async {
            for ending in ending {
                let _ = ending.task.await;
            }
        };
        let _ = timeout(LAST_REQUESTS, all).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        l7::fixture::{Settings, model},
        model::edge::{AccessLog, Edge, LogFormat},
    };

    #[test]
    fn a_change_that_cannot_be_made_leaves_no_counters() {
        let state = tempfile::tempdir().unwrap();
        let mut layer7 = Layer7::new(state.path().into()).unwrap();
        let mut prepare = |directory: PathBuf| {
            let log = Some(AccessLog { path: directory.join("log"), format: LogFormat::Line });
            let edge = Edge { log, ..Edge::default() };
            let model = model((Ipv4Addr::LOCALHOST, 1).into(), Settings { edge, ..Settings::default() });
            (layer7.prepare(&model).map(drop), layer7.metrics().rows().len())
        };
        assert!(matches!(prepare(state.path().into()), (Ok(()), 1)));
        let (refused, rows) = prepare(state.path().join("none"));
        assert!(refused.is_err());
        assert_eq!(rows, 0);
    }
}
