//! What a request goes by: its listener's settings and policies as they are at its beginning, and the pools. A change swaps
//! each as a whole; requests that have begun go on with what they have.

use std::sync::Arc;

use model::{
    object::PoolId,
    served::{self, HttpListener, ListenerKey},
};

use super::{
    edge::{Edge, Edges},
    error::Error,
    pools::{Pool, SharedPools},
    route::Routes,
    tls::Profile,
};

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
            routes: Routes::build(&http.policies, http.policy_order)
                .map_err(|error| Error::listener(listener, error))?,
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
