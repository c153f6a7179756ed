//! What limits hold, and what is counted for a listener. What they do is in [`crate::limit`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{shared::shared_fields, verdict::Event};

/// [`super::Listener::bandwidth`]: its load balancer has no limit.
pub const NO_BANDWIDTH: u32 = u32::MAX;

/// The bandwidth of a load balancer: a token bucket with one token for each byte, counted in both directions from the
/// IP header on. The first three fields are as in [`Limit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Bandwidth {
    /// The moment up to which the tokens are spent, in 2⁻²⁴ of a jiffy of `jiffies_64`.
    pub spent: u64,
    /// The time in which one token comes, in 2⁻⁴⁰ of a jiffy; 0: there is no limit.
    pub cost: u64,
    /// The time in which the empty bucket becomes full, in 2⁻²⁴ of a jiffy.
    pub depth: u64,
    /// What `cost` was made from: megabits (10⁶ bits) per second.
    pub mbit: u32,
    /// Zero.
    pub reserved: u32,
}

/// The connections of a listener, with a token bucket of new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Limit {
    /// As [`Bandwidth::spent`].
    pub spent: u64,
    /// As [`Bandwidth::cost`].
    pub cost: u64,
    /// As [`Bandwidth::depth`].
    pub depth: u64,
    /// What `cost` was made from: new connections per second; 0: there is no limit.
    pub per_second: u32,
    /// The most connections; 0: there is no limit. Half-open ones are none yet.
    pub max_connections: u32,
    /// Connections now: sessions that are neither half-open nor over; of a Layer-7 listener, those that Layer 7 has accepted.
    pub connections: u32,
    /// Connections that Layer 7 closed at once, because there were as many as may be.
    pub closed: u32,
}

shared_fields! { Bandwidth { spent: u64, cost: u64, depth: u64, mbit: u32, } }
shared_fields! { Limit {
    spent: u64, cost: u64, depth: u64, per_second: u32, max_connections: u32, connections: u32,
    closed: u32,
} }

/// How many resets answer segments without a session: a token bucket, as in [`Limit`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResetRate {
    /// As [`Bandwidth::spent`].
    pub spent: u64,
    /// As [`Bandwidth::cost`].
    pub cost: u64,
    /// As [`Bandwidth::depth`].
    pub depth: u64,
}

shared_fields! { ResetRate { spent: u64, cost: u64, depth: u64, } }

/// What one CPU counted for a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ListenerStat {
    /// Packets from clients that went on.
    pub packets_in: u64,
    /// Bytes of those, from the IP header on, as they came in.
    pub bytes_in: u64,
    /// Packets to clients that went on.
    pub packets_out: u64,
    /// Bytes of those.
    pub bytes_out: u64,
    /// Packets of both directions that were dropped because of the load balancer's bandwidth.
    pub over_bandwidth: u64,
    /// Sessions opened; of a Layer-7 listener, SYNs that went on.
    pub sessions: u64,
    /// New sessions refused because the listener had as many as it may, or as many half-open ones of that network.
    pub over_connections: u64,
    /// … because too many had come in the second before.
    pub over_rate: u64,
    /// … by the access list.
    pub denied: u64,
    /// … because no member took any.
    pub no_member: u64,
    /// … for any other reason: no local port, no room, no route.
    pub refused: u64,
}

impl ListenerStat {
    /// The field that counts what was not let on for this reason.
    #[inline(always)]
    pub const fn refused_for(&mut self, reason: Event) -> &mut u64 {
        match reason {
            Event::DropBandwidth => &mut self.over_bandwidth,
            Event::DropConnectionLimit | Event::DropHalfOpenLimit => &mut self.over_connections,
            Event::DropRateLimit => &mut self.over_rate,
            Event::DropDenied => &mut self.denied,
            Event::DropNoMember | Event::ResetNoMember => &mut self.no_member,
            _ => &mut self.refused,
        }
    }
}

/// How many figures a [`ListenerStat`] has.
#[cfg(not(target_arch = "bpf"))]
const LISTENER_STATS: usize = size_of::<ListenerStat>() / size_of::<u64>();

#[cfg(not(target_arch = "bpf"))]
impl core::ops::AddAssign for ListenerStat {
    fn add_assign(&mut self, other: Self) {
        let sums: &mut [u64; LISTENER_STATS] = zerocopy::transmute_mut!(self);
        let others: [u64; LISTENER_STATS] = zerocopy::transmute!(other);
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum += other;
        }
    }
}
