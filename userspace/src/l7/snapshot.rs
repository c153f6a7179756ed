//! What a request goes by: its listener's settings, policies and pools as they are at its beginning. A change swaps the
//! whole; requests that have begun go on with what they have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};

use super::{
    edge::{Edge, Edges},
    pick::{Balancer, Now, secret::Secret},
    route::Routes,
    tls::{Profile, member::MemberTls},
};
use crate::{
    health::judge::Verdict,
    model::{
        self, ListenerKey, Model,
        http::{HttpListener, HttpPool},
    },
};

/// A listener's settings, policies and pools.
pub struct Snapshot {
    /// What it listens on.
    pub key: ListenerKey,
    /// Its settings.
    pub listener: model::Listener,
    /// Its Layer-7 settings.
    pub http: HttpListener,
    /// What it does at its edge towards the clients.
    pub edge: Arc<Edge>,
    /// For handshakes, if it is an HTTPS listener.
    pub tls: Option<Arc<Profile>>,
    /// Which requests go elsewhere than to its own pool.
    pub routes: Routes,
    /// All HTTP pools.
    pub pools: Arc<Pools>,
}

/// A pool of HTTP members.
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its Layer-7 settings.
    pub http: HttpPool,
    /// For connections to its members, if they speak TLS.
    pub tls: Option<MemberTls>,
    /// Picks its members.
    pub balancer: Balancer,
    settings: model::Pool,
    /// What the balancer was told last.
    verdicts: Mutex<BTreeMap<SocketAddr, Option<Verdict>>>,
}

/// Pools by name.
pub type Pools = BTreeMap<String, Arc<Pool>>;

impl Pool {
    fn new(
        name: &str,
        settings: &model::Pool,
        http: &HttpPool,
        secret: &Secret,
        old: Option<&Pool>,
    ) -> Result<Self> {
        let old = old.map(|old| &old.balancer);
        Ok(Self {
            name: name.into(),
            http: http.clone(),
            tls: http.tls.as_ref().map(MemberTls::new).transpose()?,
            balancer: Balancer::new(name, settings, secret, old, Now::read()),
            settings: settings.clone(),
            verdicts: Mutex::default(),
        })
    }

    /// Follows what is known of the members' health.
    pub fn note_health(&self, verdict: impl Fn(SocketAddr) -> Option<Verdict>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        for &member in self.settings.members.keys() {
            let verdict = verdict(member);
            if verdicts.insert(member, verdict) != Some(verdict) {
                self.balancer.set_health(member, verdict, Now::read());
            }
        }
    }
}

impl Snapshot {
    /// The pool for requests that no policy sends elsewhere.
    pub fn default_pool(&self) -> Option<&Arc<Pool>> {
        self.pools.get(self.listener.pool.as_ref()?)
    }
}

/// The model's HTTP pools. Those that are in `old` with the same settings are the same; members go on with what is
/// known of them.
///
/// # Errors
/// A pool's TLS settings cannot be used.
pub fn pools(model: &Model, old: &Pools, secret: &Secret) -> Result<Pools> {
    let pools = model.pools.iter().filter_map(|(name, settings)| {
        let http = settings.http.as_ref()?;
        let old = old.get(name);
        let pool = match old.filter(|old| old.settings == *settings) {
            Some(same) => Ok(same.clone()),
            None => Pool::new(name, settings, http, secret, old.map(Arc::as_ref)).map(Arc::new),
        };
        Some(pool.map(|pool| (name.clone(), pool)))
    });
    pools.collect()
}

/// The model's HTTP listeners with these pools.
///
/// # Errors
/// A listener's log cannot be opened, or its TLS settings or policies cannot be used.
pub fn snapshots(
    model: &Model,
    pools: &Arc<Pools>,
    edges: &Edges,
) -> Result<BTreeMap<ListenerKey, Snapshot>> {
    let http = |listener: &model::Listener| listener.http.clone();
    let listeners =
        model.listeners.iter().filter_map(|(&key, listener)| Some((key, listener, http(listener)?)));
    let snapshots = listeners.map(|(key, listener, http)| {
        let named = || format!("listener {:?} of load balancer {:?}", listener.name, listener.load_balancer);
        let snapshot = Snapshot {
            key,
            listener: listener.clone(),
            edge: Arc::new(edges.edge(&key, listener, &http)?),
            tls: http.tls.as_ref().map(Profile::new).transpose().with_context(named)?.map(Arc::new),
            routes: Routes::build(&http.policies).with_context(named)?,
            http,
            pools: pools.clone(),
        };
        Ok((key, snapshot))
    });
    snapshots.collect()
}
