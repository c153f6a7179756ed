//! All HTTP and HTTPS listeners of this process: Layer 7 as the engine sees it. A transition is made ready as a whole, so that
//! one that cannot be made changes nothing; then listeners start or get other settings, and drain when it holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{
    object::PoolId,
    plan::Change,
    served::{ListenerKey, Served},
};
use tokio::{task::JoinHandle, time::timeout};

use super::{
    edge::Edges,
    error::Error,
    listen::{self, Listening},
    metrics::Metrics,
    pick::secret::Secret,
    pools::{Pool, Pools, SharedPools},
    snapshot::Snapshot,
    threads::Threads,
};
use crate::engine::{
    front::Steering,
    layers::{Frontend, Preparer},
    standings::Standings,
    transition::Transition,
};

/// How long the process waits at its end for requests under way.
const LAST_REQUESTS: Duration = Duration::from_secs(3);

/// The file with the key that cookies are signed with.
const SECRET: &str = "cookie-secret";

/// The listeners, and the threads on which their requests are served.
pub struct Layer7 {
    listeners: BTreeMap<ListenerKey, Listening>,
    pools: SharedPools,
    edges: Arc<Edges>,
    secret: Option<Secret>,
    state: Arc<Path>,
    /// Those whose last connections are still open.
    draining: Vec<Draining>,
    threads: Threads,
}

struct Draining {
    key: ListenerKey,
    task: JoinHandle<()>,
}

/// Makes a transition ready, on any thread.
pub struct Making {
    there: BTreeSet<ListenerKey>,
    pools: SharedPools,
    edges: Arc<Edges>,
    secret: Option<Secret>,
    state: Arc<Path>,
    runtimes: usize,
}

/// A transition that can be made.
pub struct Prepared {
    /// The new pools, and those that stay.
    pools: Arc<Pools>,
    /// Pools that are new or changed.
    changed: Vec<PoolId>,
    snapshots: Vec<Snapshot>,
    sockets: BTreeMap<ListenerKey, Vec<TcpListener>>,
    /// Listeners that go: they drain, or are no longer of Layer 7.
    gone: Vec<ListenerKey>,
    secret: Option<Secret>,
}

/// A transition that was made and can be taken back.
pub struct Applied {
    pools: Arc<Pools>,
    changed: Vec<PoolId>,
    before: Arc<Pools>,
    /// Listeners with the snapshots that they had before; none if they are new.
    snapshots: Vec<(ListenerKey, Option<Arc<Snapshot>>)>,
    gone: Vec<ListenerKey>,
}

impl Layer7 {
    /// No listeners yet. The threads may do nothing that needs a privilege. What has to outlive the process is in the
    /// directory `state`.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn new(state: PathBuf) -> Result<Self, Error> {
        let start = |error: std::io::Error| Error::Start(error.into());
        let threads = Threads::start().map_err(start)?;
        let pools = SharedPools::default();
        Ok(Self {
            listeners: BTreeMap::new(),
            edges: Arc::new(Edges::new(pools.clone()).map_err(start)?),
            pools,
            secret: None,
            state: state.into(),
            draining: Vec::new(),
            threads,
        })
    }

    fn start<S: Steering>(
        &mut self,
        sockets: Vec<TcpListener>,
        snapshot: Snapshot,
        steering: &mut S,
    ) -> Result<(), Error> {
        let key = snapshot.key;
        let listening = Listening::start(self.threads.runtimes(), sockets, snapshot)?;
        let steered = listening.socket().map(|socket| steering.steer(&key, socket));
        if let Some(Err(error)) = steered {
            return Err(Error::Steering { key, source: error.into() });
        }
        self.listeners.insert(key, listening);
        Ok(())
    }

    fn drain(&mut self, key: ListenerKey) {
        if let Some(listening) = self.listeners.remove(&key) {
            self.draining.push(Draining { key, task: tokio::spawn(listening.end()) });
        }
    }

    /// Lets listeners accept connections that the data path has admission for by now.
    fn admit<S: Steering>(&mut self, steering: &S) {
        for (key, listening) in &mut self.listeners {
            listening.admit(|| steering.admission(key));
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
    pub async fn end_all<S: Steering>(&mut self, steering: &mut S) {
        let keys: Vec<_> = self.listeners.keys().copied().collect();
        for key in keys {
            // The kernel takes a closed socket out by itself.
            let _ = steering.unsteer(&key);
            self.drain(key);
        }
        let draining = mem::take(&mut self.draining);
        let all = async {
            for Draining { task, .. } in draining {
                let _ = task.await;
            }
        };
        let _ = timeout(LAST_REQUESTS, all).await;
    }
}

impl Frontend for Layer7 {
    type Reason = Error;
    type Preparer = Making;
    type Prepared = Prepared;
    type Applied = Applied;

    fn preparer(&self) -> Making {
        Making {
            there: self.listeners.keys().copied().collect(),
            pools: self.pools.clone(),
            edges: self.edges.clone(),
            secret: self.secret.clone(),
            state: self.state.clone(),
            runtimes: self.threads.runtimes().len(),
        }
    }

    fn apply<S: Steering>(&mut self, prepared: Prepared, steering: &mut S) -> Result<Applied, Error> {
        let Prepared { pools, changed, snapshots, mut sockets, gone, secret } = prepared;
        self.secret = secret;
        let before = self.pools.load_full();
        // Pools that go stay for as long as a listener may name them.
        let mut both = (*before).clone();
        both.extend(pools.iter().map(|(id, pool)| (*id, pool.clone())));
        self.pools.store(Arc::new(both));
        let mut applied = Applied { pools, changed, before, snapshots: Vec::new(), gone };
        for snapshot in snapshots {
            let key = snapshot.key;
            let old = match (self.listeners.get(&key), sockets.remove(&key)) {
                (Some(listening), _) => Some(listening.apply(snapshot)),
                (None, sockets) => {
                    if let Err(error) = self.start(sockets.unwrap_or_default(), snapshot, steering) {
                        self.undo(applied, steering);
                        return Err(error);
                    }
                    None
                }
            };
            applied.snapshots.push((key, old));
        }
        Ok(applied)
    }

    fn commit<S: Steering>(&mut self, applied: Applied, standings: &Standings, steering: &mut S) {
        for id in &applied.changed {
            if let Some(pool) = applied.pools.get(id) {
                self.edges.metrics.resume_members(pool);
                pool.members().for_each(|member| pool.note(member, standings.of(*id, member).taken_for()));
            }
        }
        self.pools.store(applied.pools);
        for key in applied.gone {
            if self.listeners.contains_key(&key)
                && let Err(error) = steering.unsteer(&key)
            {
                tracing::warn!("connections to {} {} go on coming: {error}", key.vip, key.port);
            }
            self.drain(key);
        }
        self.admit(steering);
    }

    fn undo<S: Steering>(&mut self, applied: Applied, steering: &mut S) {
        for (key, old) in applied.snapshots.into_iter().rev() {
            match (old, self.listeners.get(&key)) {
                (Some(old), Some(listening)) => drop(listening.apply_shared(old)),
                _ => {
                    let _ = steering.unsteer(&key);
                    self.drain(key);
                }
            }
        }
        self.pools.store(applied.before);
    }

    fn note(&self, members: &[(PoolId, SocketAddr)], standings: &Standings) {
        let pools = self.pools.load();
        for &(id, member) in members {
            if let Some(pool) = pools.get(&id) {
                pool.note(member, standings.of(id, member).taken_for());
            }
        }
    }

    fn drained(&mut self) -> Vec<ListenerKey> {
        let over: BTreeSet<_> =
            self.draining.extract_if(.., |one| one.task.is_finished()).map(|one| one.key).collect();
        // A listener that was removed twice drains twice; until both have ended, packets must pass.
        over.into_iter().filter(|key| self.draining.iter().all(|one| one.key != *key)).collect()
    }
}

impl Preparer for Making {
    type Reason = Error;
    type Prepared = Prepared;

    fn prepare(self, transition: &Transition) -> Result<Prepared, Error> {
        let mut pools = (*self.pools.load_full()).clone();
        let mut changed = Vec::new();
        let secret = self.secret(&transition.after)?;
        let mut prepared = Prepared {
            pools: Arc::default(),
            changed: Vec::new(),
            snapshots: Vec::new(),
            sockets: BTreeMap::new(),
            gone: Vec::new(),
            secret: secret.clone(),
        };
        for change in &transition.changes {
            match change {
                Change::PutPool(id, settings) => match (&settings.http, &secret) {
                    (Some(http), Some(secret)) => {
                        let old = pools.get(id).map(Arc::as_ref);
                        let pool = Pool::new(*id, settings, http, secret, old)?;
                        pools.insert(*id, Arc::new(pool));
                        changed.push(*id);
                    }
                    _ => drop(pools.remove(id)),
                },
                Change::RemovePool(id) => drop(pools.remove(id)),
                Change::PutListener(key, listener) => match &listener.http {
                    Some(http) if !listener.drains => {
                        if !self.there.contains(key) {
                            prepared.sockets.insert(*key, listen::open(key, self.runtimes)?);
                        }
                        let snapshot = Snapshot::new(*key, listener, http, &self.pools, &self.edges)?;
                        prepared.snapshots.push(snapshot);
                    }
                    _ => prepared.gone.push(*key),
                },
                Change::RemoveListener(key) => prepared.gone.push(*key),
                Change::AddVip(_) | Change::RemoveVip(_) => {}
            }
        }
        prepared.pools = Arc::new(pools);
        prepared.changed = changed;
        Ok(prepared)
    }
}

impl Making {
    /// Not before there are pools whose cookies are signed with it.
    fn secret(&self, served: &Served) -> Result<Option<Secret>, Error> {
        if self.secret.is_none() && served.pools.values().any(|pool| pool.http.is_some()) {
            return Secret::load_or_make(&self.state.join(SECRET)).map(Some).map_err(Error::Secret);
        }
        Ok(self.secret.clone())
    }
}

#[cfg(test)]
mod tests;
