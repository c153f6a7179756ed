//! Clients that stay with their member, by either cookie.

use std::{
    net::SocketAddrV4,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderValue};

use super::{Now, Request, cookie::Issuer, learnt::Learnt, member::Member, secret::Secret, view::View};
use crate::{
    l7::cookies,
    model::sticky::{Sticky, StickyBy},
};

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

impl Stickiness {
    /// For the pool with this name and these members; what the one before has learnt is kept.
    pub(super) fn new<'a>(
        pool: &str,
        settings: &Sticky,
        secret: &Secret,
        members: impl Iterator<Item = &'a SocketAddrV4>,
        before: Option<&Stickiness>,
    ) -> Self {
        let time = settings.time;
        let by = match &settings.by {
            StickyBy::BalancerCookie { name, same_site } => {
                By::Balancer(Issuer::new(pool, name.as_deref(), *same_site, time, secret, members))
            }
            StickyBy::ApplicationCookie { name, remembered } => {
                let learnt = before.and_then(|before| before.learnt(name, *remembered));
                let learnt = learnt.unwrap_or_else(|| Arc::new(Learnt::new(*remembered)));
                By::Application { name: name.clone(), time, learnt }
            }
        };
        Self { drain: settings.drain, by }
    }

    /// Whether clients go on with members that take no new ones.
    pub(super) fn drains(&self) -> bool {
        self.drain
    }

    /// The member that a client has, if it can answer, and a newer cookie if it is time for one.
    pub(super) fn known<'v>(
        &self,
        request: &Request<'_>,
        view: &'v View,
        now: Now,
    ) -> Option<(&'v Arc<Member>, Option<HeaderValue>)> {
        match &self.by {
            By::Balancer(issuer) => {
                let said = issuer.read(request, now)?;
                let kept = view.kept(said.member)?;
                let is_due = said.is_old && !kept.drains;
                let cookie = is_due.then(|| issuer.issue(said.member, request, now)).flatten();
                Some((&kept.member, cookie))
            }
            By::Application { name, time, learnt } => {
                cookies::sent(request.headers, name).find_map(|value| {
                    let kept = view.kept(learnt.member(value, now.instant)?)?;
                    if !kept.drains {
                        learnt.learn(value, kept.member.address, *time, now.instant);
                    }
                    Some((&kept.member, None))
                })
            }
        }
    }

    /// The cookie for a client that has just got this member.
    pub(super) fn introduce(
        &self,
        member: SocketAddrV4,
        request: &Request<'_>,
        now: Now,
    ) -> Option<HeaderValue> {
        match &self.by {
            By::Balancer(issuer) => issuer.issue(member, request, now),
            By::Application { .. } => None,
        }
    }

    /// Remembers the cookie that a member's answer sets.
    pub(super) fn learn(&self, member: SocketAddrV4, headers: &HeaderMap, now: Instant) {
        if let By::Application { name, time, learnt } = &self.by
            && let Some(value) = cookies::set(headers, name)
        {
            learnt.learn(value, member, *time, now);
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
