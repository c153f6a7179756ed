//! Clients that stay with their member, by either cookie.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};
use model::sticky::{Sticky, StickyBy};

use super::{
    cookie::Issuer,
    learnt::{Entry, Learnt},
    member::Member,
    picked::Picked,
    request::{Now, Request},
    secret::Secret,
    view::View,
};
use crate::l7::cookies;

/// How the clients of one pool stay.
#[derive(Debug)]
pub(super) struct Stickiness {
    drain: bool,
    by: By,
}

#[derive(Debug)]
enum By {
    Balancer(Issuer),
    Application { name: String, time: Duration, learnt: Arc<Learnt> },
}

/// The member that a client has already.
pub(super) struct Known<'v> {
    pub(super) member: &'v Arc<Member>,
    /// A newer cookie, if it is time for one.
    pub(super) set_cookie: Option<HeaderValue>,
    /// See [`Picked::until`].
    pub(super) until: Option<Instant>,
}

impl Stickiness {
    /// For the pool with this name and these members; what the one before has learnt is kept.
    pub(super) fn new<'a>(
        pool: &str,
        settings: &Sticky,
        secret: &Secret,
        members: impl Iterator<Item = &'a SocketAddr>,
        before: Option<&Stickiness>,
    ) -> Self {
        let time = settings.time.duration();
        let by = match &settings.by {
            StickyBy::BalancerCookie { name, same_site } => {
                let name = name.as_ref().map(|name| name.as_str());
                By::Balancer(Issuer::new(pool, name, *same_site, time, secret, members))
            }
            StickyBy::ApplicationCookie { name, remembered } => {
                let (name, remembered) = (name.as_str(), remembered.get() as usize);
                let learnt = before.and_then(|before| before.learnt(name, remembered));
                let learnt = learnt.unwrap_or_else(|| Arc::new(Learnt::new(remembered)));
                By::Application { name: name.into(), time, learnt }
            }
        };
        Self { drain: settings.drain, by }
    }

    /// Whether clients go on with members that take no new ones.
    pub(super) fn drains(&self) -> bool {
        self.drain
    }

    /// The member that a client has, if it can answer.
    pub(super) fn known<'v>(&self, request: &Request<'_>, view: &'v View, now: Now) -> Option<Known<'v>> {
        match &self.by {
            By::Balancer(issuer) => {
                let said = issuer.read(request, now)?;
                let kept = view.kept(said.member)?;
                let is_due = said.is_old && !kept.drains;
                let set_cookie = is_due.then(|| issuer.issue(said.member, request, now)).flatten();
                Some(Known { member: &kept.member, set_cookie, until: None })
            }
            By::Application { name, time, learnt } => {
                cookies::sent(request.headers, name).find_map(|value| {
                    let Entry { member, ends } = learnt.of(value, now.instant)?;
                    let kept = view.kept(member)?;
                    if !kept.drains {
                        learnt.learn(value, Entry { member, ends: now.instant + *time });
                    }
                    let until = kept.drains.then_some(ends);
                    Some(Known { member: &kept.member, set_cookie: None, until })
                })
            }
        }
    }

    /// The cookie for a client that has just got this member. A client with the application's cookie has this member from
    /// now on: the application may adopt the value that it is sent, and set no other.
    pub(super) fn introduce(
        &self,
        member: SocketAddr,
        request: &Request<'_>,
        now: Now,
    ) -> Option<HeaderValue> {
        match &self.by {
            By::Balancer(issuer) => issuer.issue(member, request, now),
            By::Application { name, time, learnt } => {
                let entry = Entry { member, ends: now.instant + *time };
                cookies::sent(request.headers, name)
                    .for_each(|value| learnt.change(value, entry, now.instant));
                None
            }
        }
    }

    /// Remembers the cookie that a member's answer sets.
    pub(super) fn learn(&self, picked: &Picked, headers: &HeaderMap, now: Instant) {
        if let By::Application { name, time, learnt } = &self.by
            && let Some(value) = cookies::set(headers, name)
        {
            let ends = picked.until.unwrap_or(now + *time);
            learnt.learn(value, Entry { member: picked.member, ends });
        }
    }

    fn learnt(&self, wanted: &str, most: usize) -> Option<Arc<Learnt>> {
        match &self.by {
            By::Application { name, learnt, .. } if name == wanted && learnt.most() == most => {
                Some(Arc::clone(learnt))
            }
            _ => None,
        }
    }
}
