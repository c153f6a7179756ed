//! What a request goes by: its listener's settings and policies as they are at its beginning, and the pools. A change swaps
//! each as a whole; requests that have begun go on with what they have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use model::{
    object::PoolId,
    served::{self, HttpListener, HttpPool, ListenerKey},
};

use super::{
    edge::{Edge, Edges},
    error::Error,
    pick::{Balancer, Now, secret::Secret},
    route::Routes,
    tls::{Profile, member::MemberTls},
};
use crate::health::judge::Verdict;

/// A listener's settings and policies, and the pools.
pub struct Snapshot {
    /// What it listens on.
    pub key: ListenerKey,
    /// Its settings.
    pub listener: Arc<served::Listener>,
    /// Its Layer-7 settings.
    pub http: Arc<HttpListener>,
    /// What it does at its edge towards the clients.
    pub edge: Arc<Edge>,
    /// For handshakes, if it is an HTTPS listener.
    pub tls: Option<Arc<Profile>>,
    /// Which requests go elsewhere than to its own pool.
    pub routes: Routes,
    /// All HTTP pools.
    pub pools: SharedPools,
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
    settings: Arc<served::Pool>,
    /// What the balancer was told last.
    verdicts: Mutex<BTreeMap<SocketAddr, Option<Verdict>>>,
}

/// Pools by id.
pub type Pools = BTreeMap<PoolId, Arc<Pool>>;

/// The pools as they are now: a change of one of them touches no listener.
pub type SharedPools = Arc<ArcSwap<Pools>>;

impl Pool {
    /// The pool with these settings; members go on with what `old`, the same pool until now, knows of them.
    ///
    /// # Errors
    /// Its TLS settings cannot be used.
    pub fn new(
        id: PoolId,
        settings: &Arc<served::Pool>,
        http: &HttpPool,
        secret: &Secret,
        old: Option<&Pool>,
    ) -> Result<Self, Error> {
        let old = old.map(|old| &old.balancer);
        let name = settings.name.as_str();
        let tls = http.member.tls.as_ref().map(MemberTls::new).transpose();
        Ok(Self {
            name: name.into(),
            http: http.clone(),
            tls: tls.map_err(|error| Error::pool(name, error))?,
            balancer: Balancer::new(&id.to_string(), settings, secret, old, Now::read()),
            settings: settings.clone(),
            verdicts: Mutex::default(),
        })
    }

    /// Follows what is known of a member's health.
    pub fn note(&self, member: SocketAddr, verdict: Option<Verdict>) {
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if self.settings.members.contains_key(&member) && verdicts.insert(member, verdict) != Some(verdict) {
            self.balancer.set_health(member, verdict, Now::read());
        }
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = SocketAddr> {
        self.settings.members.keys().copied()
    }
}

impl Snapshot {
    /// The listener of this key with these settings.
    ///
    /// # Errors
    /// Its log cannot be opened, or its TLS settings or policies cannot be used.
    pub fn new(
        key: ListenerKey,
        listener: &Arc<served::Listener>,
        http: &Arc<HttpListener>,
        pools: &SharedPools,
        edges: &Edges,
    ) -> Result<Self, Error> {
        let tls = http.tls.as_ref().map(Profile::new).transpose();
        Ok(Self {
            key,
            listener: listener.clone(),
            edge: Arc::new(edges.edge(&key, listener, http).map_err(Error::Log)?),
            tls: tls.map_err(|error| Error::listener(listener, error))?.map(Arc::new),
            routes: Routes::build(&http.policies).map_err(|error| Error::listener(listener, error))?,
            http: http.clone(),
            pools: pools.clone(),
        })
    }

    /// The pool for requests that no policy sends elsewhere.
    pub fn default_pool(&self) -> Option<Arc<Pool>> {
        self.pool(self.listener.pool?)
    }

    /// A pool.
    pub fn pool(&self, id: PoolId) -> Option<Arc<Pool>> {
        self.pools.load().get(&id).cloned()
    }
}
