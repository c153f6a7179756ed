//! Pools of HTTP members, as they are now. A change swaps all of them in one step; requests that have begun go on with what
//! they have.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use model::{
    object::PoolId,
    served::{self, HttpPool},
};

use super::{
    error::Error,
    pick::{Balancer, Now, secret::Secret},
    tls::member::MemberTls,
};
use crate::health::judge::Verdict;

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
