//! What a request goes by: its listener's settings and pools as they are at its beginning. A change swaps the whole;
//! requests that have begun go on with what they have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use anyhow::Result;

use super::{
    edge::{Edge, Edges},
    tls::{Profile, member::MemberTls},
};
use crate::model::{self, ListenerKey, Model, http::HttpListener};

/// A listener's settings and pools.
#[derive(Debug)]
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
    /// The pool for requests that no policy sends elsewhere.
    pub pool: Option<Arc<Pool>>,
}

/// A pool of HTTP members.
#[derive(Debug)]
pub struct Pool {
    /// What the operator wants.
    pub settings: model::Pool,
    /// Its Layer-7 settings.
    pub http: model::http::HttpPool,
    /// For connections to its members, if they speak TLS.
    pub tls: Option<MemberTls>,
    /// Ascending by address.
    pub members: Vec<Arc<Member>>,
    turn: AtomicUsize,
}

/// A member of a pool.
#[derive(Debug)]
pub struct Member {
    /// Where it is.
    pub address: SocketAddr,
    up: AtomicBool,
}

/// Pools by name.
pub type Pools = BTreeMap<String, Arc<Pool>>;

impl Member {
    /// Whether it is well.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Takes note of its health.
    pub fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }
}

impl Pool {
    fn new(settings: &model::Pool, http: &model::http::HttpPool, old: Option<&Pool>) -> Result<Self> {
        let known = |address| old.into_iter().flat_map(|old| &old.members).find(|m| m.address == address);
        let members = settings.members.keys().map(|&address| {
            let address = SocketAddr::from(address);
            let new = || Arc::new(Member { address, up: AtomicBool::new(settings.health.is_none()) });
            known(address).cloned().unwrap_or_else(new)
        });
        Ok(Self {
            members: members.collect(),
            settings: settings.clone(),
            http: http.clone(),
            tls: http.tls.as_ref().map(MemberTls::new).transpose()?,
            turn: AtomicUsize::new(0),
        })
    }

    /// The next member that is well and has not been `tried`.
    pub fn pick(&self, tried: &[SocketAddr]) -> Option<Arc<Member>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        let in_turn = (0..count).filter_map(|n| self.members.get((turn + n) % count));
        in_turn.into_iter().find(|member| member.is_up() && !tried.contains(&member.address)).cloned()
    }
}

/// The model's HTTP pools. Those that are in `old` with the same settings are the same; members go on with what is
/// known of them.
///
/// # Errors
/// A pool's TLS settings cannot be used.
pub fn pools(model: &Model, old: &Pools) -> Result<Pools> {
    let pools = model.pools.iter().filter_map(|(name, settings)| {
        let http = settings.http.as_ref()?;
        let old = old.get(name);
        let pool = match old.filter(|old| old.settings == *settings) {
            Some(same) => Ok(same.clone()),
            None => Pool::new(settings, http, old.map(Arc::as_ref)).map(Arc::new),
        };
        Some(pool.map(|pool| (name.clone(), pool)))
    });
    pools.collect()
}

/// The model's HTTP listeners with these pools.
///
/// # Errors
/// A log cannot be opened, or a listener's TLS settings cannot be used.
pub fn snapshots(model: &Model, pools: &Pools, edges: &Edges) -> Result<BTreeMap<ListenerKey, Snapshot>> {
    let listeners = model.listeners.iter().filter_map(|(&key, listener)| {
        let http = listener.http.clone()?;
        let pool = listener.pool.as_ref().and_then(|name| pools.get(name)).cloned();
        Some((key, listener, http, pool))
    });
    let snapshots = listeners.map(|(key, listener, http, pool)| {
        let edge = Arc::new(edges.edge(&key, listener, &http)?);
        let tls = http.tls.as_ref().map(Profile::new).transpose()?.map(Arc::new);
        Ok((key, Snapshot { key, listener: listener.clone(), http, edge, tls, pool }))
    });
    snapshots.collect()
}
