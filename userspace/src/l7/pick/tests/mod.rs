//! Picking, question by question: proportions in `sharing`, `slow_start`, cookies in `stickiness`, rest in `ejection`,
//! members for when no other is well in `backup`;
//! `anything` does all of it in any order beside a plain model.

mod anything;
mod backup;
mod ejection;
mod sharing;
mod slow_start;
mod stickiness;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use model::{
    algorithm::Algorithm,
    health::{Check, Pace, Probe},
    served::{HttpPool, Member},
    value::{CookieMinutes, EjectionShare, Failures, Remembered, Seconds, StickyMinutes, Token, Weight},
};

use super::*;

fn address(host: u8) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(192, 0, 2, host).into(), 8080)
}

fn client(host: u16) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    [198, 51, high, low].into()
}

/// A pool of members 1, 2, … with these weights, unchecked, by turns.
fn pool(weights: &[u16]) -> Pool {
    Pool {
        members: (1..).map(address).zip(weights.iter().copied().map(weighing)).collect(),
        http: Some(HttpPool::default()),
        ..Pool::default()
    }
}

fn algorithms() -> [Algorithm<Option<StickyMinutes>>; 3] {
    [Algorithm::default(), Algorithm::WeightedLeastConnections, Algorithm::SourceHash]
}

/// A member of this weight.
fn weighing(weight: u16) -> Member {
    Member { weight: Weight::literal(weight), backup: false, checked_at: address(0) }
}

/// A member that is to have requests only while no other has.
fn backup(weight: u16) -> Member {
    Member { backup: true, ..weighing(weight) }
}

fn checked(mut pool: Pool) -> Pool {
    let pace = Pace::new(Pace::INTERVAL, Pace::TIMEOUT, Pace::RETRIES).unwrap();
    pool.check = Some(Arc::new(Check { probe: Probe::Tcp, port: None, pace }));
    pool
}

/// The HTTP part of a pool, to change it.
fn http(pool: &mut Pool) -> &mut HttpPool {
    pool.http.as_mut().unwrap()
}

fn secret() -> Secret {
    Secret::from_bytes(b"a secret for tests, 32 bytes or more").unwrap()
}

/// A balancer and a clock that only the test moves.
struct World {
    balancer: Balancer,
    now: Now,
}

impl World {
    fn new(pool: &Pool) -> Self {
        let now = Now { instant: Instant::now(), unix: 1_800_000_000 };
        Self { balancer: Balancer::new("web", pool, &secret(), None, now), now }
    }

    /// The pool is now this.
    fn change(&mut self, pool: &Pool) {
        self.balancer = Balancer::new("web", pool, &secret(), Some(&self.balancer), self.now);
    }

    fn wait(&mut self, seconds: u64) {
        self.now.instant += Duration::from_secs(seconds);
        self.now.unix += seconds;
    }

    /// How many requests a member has now; `None` if it is not known.
    fn requests(&self, member: SocketAddr) -> Option<u32> {
        let loads = self.balancer.loads();
        loads.iter().find(|load| load.member == member).map(|load| load.requests_open)
    }

    fn judge(&self, host: u8, is_up: bool) {
        let verdict = if is_up { Verdict::Up } else { Verdict::Down };
        self.balancer.set_health(address(host), Some(verdict), self.now);
    }

    fn pick_with(&self, headers: &HeaderMap, tried: &[u8]) -> Option<Picked> {
        let tried: Vec<_> = tried.iter().map(|&host| address(host)).collect();
        let request = Request { client: client(1), headers, is_https: false };
        self.balancer.pick(&request, &tried, self.now)
    }

    /// The member of a client without cookies that has tried some.
    fn pick(&self, tried: &[u8]) -> Option<u8> {
        self.pick_with(&HeaderMap::new(), tried).map(|picked| host(&picked))
    }

    /// How many of `count` requests, one after the other, each member gets.
    fn shares(&self, count: usize) -> BTreeMap<u8, usize> {
        let mut shares = BTreeMap::new();
        for _ in 0..count {
            *shares.entry(self.pick(&[]).expect("a member")).or_default() += 1;
        }
        shares
    }
}

fn host(picked: &Picked) -> u8 {
    let IpAddr::V4(address) = picked.member.ip() else { unreachable!() };
    address.octets()[3]
}
