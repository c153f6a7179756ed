//! Which member of a pool answers a request.
//!
//! ```text
//! Balancer::pick
//!   → sticky    the client's own member, known by a cookie of ours (`cookie`, `secret`) or the application's (`learnt`)
//!   → order     else by turns, by load or by source
//! member    what is known of each: requests, verdicts, failures
//!   → sockets its connections, to reset them when it goes down
//!   → view    who may be picked at this moment; made anew when that changes
//! ```
//!
//! A new configuration makes a new [`Balancer`] out of the old one: members that stay keep their counts, verdicts and
//! slow start.
//!
//! **Slow start** (round robin only): a new member's share of the requests grows in a straight line. Not if the pool had no
//! members; from its first good check on, or at once where there are no checks; on through bad checks; never again.

mod cookie;
mod learnt;
mod member;
mod order;
mod picked;
mod request;
pub mod secret;
mod sockets;
mod sticky;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};
use http::HeaderMap;
use model::{
    served::{OnDown, Pool},
    sticky::{Ejection, Sticky},
};

use self::{
    member::MemberState,
    order::Order,
    secret::Secret,
    sticky::{Known, Stickiness},
    view::View,
};
pub use self::{
    member::{Connection, Load},
    picked::Picked,
    request::{Now, Request},
    sockets::BeforeConnect,
};
use crate::health::judge::Verdict;

/// How a member did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever the status.
    Answered,
    /// It could not be reached, broke off, or did not answer in time.
    Failed,
}

/// Picks the members of one HTTP pool.
pub struct Balancer {
    order: Order,
    sticky: Option<Stickiness>,
    slow_start: Option<Duration>,
    ejection: Option<Ejection>,
    on_down: OnDown,
    states: Mutex<BTreeMap<SocketAddr, MemberState>>,
    view: ArcSwap<View>,
}

impl Balancer {
    /// For the pool that cookies know as `name`, which takes over from `previous`, the same pool until now. A pool that is checked
    /// picks a new member after the first [`Balancer::set_health`] that finds it well, or while nobody is known to be.
    ///
    /// Whoever calls this must be the one who calls `set_health`: verdicts given to `previous` meanwhile are lost.
    pub fn new(name: &str, pool: &Pool, secret: &Secret, previous: Option<&Balancer>, now: Now) -> Self {
        let http = pool.http.as_ref();
        let settings = http.and_then(|http| http.sticky.as_ref());
        let slow_start = http.and_then(|http| http.slow_start).map(|ramp| ramp.duration());
        let known = previous.map(|previous| previous.known(now.instant)).unwrap_or_default();
        let states = member::take_over(known, pool, slow_start.is_some(), settings, now.instant);
        let before = previous.and_then(|previous| previous.sticky.as_ref());
        let sticky = settings.map(|settings| Stickiness::new(name, settings, secret, states.keys(), before));
        let order = Order::new(pool.algorithm.bare(), previous.map(|previous| &previous.order));
        let view = view(&states, &order, drains(settings), now.instant);
        let ejection = http.and_then(|http| http.ejection);
        Self {
            order,
            sticky,
            slow_start,
            ejection,
            on_down: pool.on_down,
            states: Mutex::new(states),
            view: ArcSwap::from_pointee(view),
        }
    }

    /// A member for a request, none of those `tried` already; `None` if there is no other.
    pub fn pick(&self, request: &Request<'_>, tried: &[SocketAddr], now: Now) -> Option<Picked> {
        let view = self.view(now.instant);
        if let Some(sticky) = &self.sticky
            && let Some(Known { member, set_cookie, until }) = sticky.known(request, &view, now)
            && !tried.contains(&member.address)
        {
            let connection = Connection::new(member, self.on_down);
            return Some(Picked { member: member.address, set_cookie, until, connection });
        }
        let open = self.order.pick(&view, request.client, tried, |open| {
            self.slow_start.is_none_or(|ramp| open.takes_its_turn(ramp, now.instant))
        })?;
        let member = &open.member;
        let set_cookie =
            self.sticky.as_ref().and_then(|sticky| sticky.introduce(member.address, request, now));
        let connection = Connection::new(member, self.on_down);
        Some(Picked { member: member.address, set_cookie, until: None, connection })
    }

    /// Remembers what the `Set-Cookie` of this member's answer says about who answers this client.
    pub fn on_response(&self, picked: &Picked, headers: &HeaderMap, now: Now) {
        if let Some(sticky) = &self.sticky {
            sticky.learn(picked, headers, now.instant);
        }
    }

    /// Says how a member did. One that fails too often gets no requests for a while.
    pub fn report(&self, member: SocketAddr, outcome: Outcome, now: Now) {
        let Some(ejection) = &self.ejection else { return };
        let view = self.view.load();
        let Some(counted) = view.member(member) else { return };
        match outcome {
            Outcome::Answered => counted.reset_failures(),
            Outcome::Failed => {
                if counted.fail() >= ejection.failures.get() {
                    let mut states = self.lock();
                    if member::eject(&mut states, member, ejection, now.instant) {
                        self.renew(&states, now.instant);
                    }
                }
            }
        }
    }

    /// Tells what is known of a member's health. If it goes down and the pool says so, its connections are reset.
    pub fn set_health(&self, member: SocketAddr, verdict: Option<Verdict>, now: Now) {
        let mut states = self.lock();
        if let Some(state) = states.get_mut(&member) {
            state.judge(verdict, now.instant);
            self.renew(&states, now.instant);
        }
        let sockets = states.get(&member).map(|state| state.member.sockets.clone());
        drop(states);
        if let Some(sockets) = sockets {
            sockets.note(verdict == Some(Verdict::Down) && self.on_down == OnDown::Reset);
        }
    }

    /// Counts requests that a member was sent before.
    pub fn resume(&self, member: SocketAddr, requests: u64) {
        if let Some(state) = self.lock().get(&member) {
            state.member.resume(requests);
        }
    }

    /// What each member that is known here has to do.
    pub fn loads(&self) -> Vec<Load> {
        self.lock().values().map(|state| state.member.load()).collect()
    }

    /// What the next balancer of this pool begins with.
    fn known(&self, now: Instant) -> BTreeMap<SocketAddr, MemberState> {
        let mut known = self.lock().clone();
        known.values_mut().for_each(|state| state.settle(self.slow_start, now));
        known
    }

    fn view(&self, now: Instant) -> Guard<Arc<View>> {
        let view = self.view.load();
        if !view.is_over(now) {
            return view;
        }
        let states = self.lock();
        if self.view.load().is_over(now) {
            self.renew(&states, now);
        }
        self.view.load()
    }

    fn renew(&self, states: &BTreeMap<SocketAddr, MemberState>, now: Instant) {
        let drains = self.sticky.as_ref().is_some_and(|sticky| sticky.drains());
        self.view.store(Arc::new(view(states, &self.order, drains, now)));
    }

    /// Nothing panics half way through a change, so what a panicking thread leaves is good.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, MemberState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who may be picked now, in the order that the algorithm walks through.
fn view(states: &BTreeMap<SocketAddr, MemberState>, order: &Order, drains: bool, now: Instant) -> View {
    View::new(states, |open, members| order.turns(open, members), drains, now)
}

fn drains(settings: Option<&Sticky>) -> bool {
    settings.is_some_and(|settings| settings.drain)
}
