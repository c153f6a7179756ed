//! The member of a client that does not stick to one: by turns, by load or by source.

use std::{
    cmp::Ordering,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use model::{algorithm::Algorithm, maglev, schedule};
use xdp_ebpf::abi::source_slot;

use super::view::{Open, View};

/// How many turns a request offers to members in slow start before it takes the next member.
const OFFERS: usize = 1024;

/// How a pool's members share the requests.
#[derive(Debug)]
pub(super) struct Order {
    algorithm: Algorithm<()>,
    /// How many turns were taken.
    cursor: AtomicU64,
}

impl Order {
    /// Goes on where the previous one is.
    pub(super) fn new(algorithm: Algorithm<()>, previous: Option<&Order>) -> Self {
        let cursor = previous.map_or(0, |previous| previous.cursor.load(Relaxed));
        Self { algorithm, cursor: AtomicU64::new(cursor) }
    }

    /// The indexes of `open`, in the order in which [`Order::pick`] looks at them. The pool has so many `members`, with
    /// those that nobody may have now: the size of a table by source goes by them, as in XDP, so that it stays the same
    /// when one fails.
    pub(super) fn turns(&self, open: &[Open], members: usize) -> Vec<u32> {
        match self.algorithm {
            Algorithm::WeightedRoundRobin(()) | Algorithm::WeightedLeastConnections => {
                schedule::smooth_wrr(&open.iter().map(|open| open.weight).collect::<Vec<_>>())
            }
            Algorithm::SourceHash => {
                let open: Vec<_> = open.iter().map(|open| (open.member.address, open.weight)).collect();
                maglev::table(&open, maglev::size(members))
            }
        }
    }

    /// A member that is not among `tried`; `takes` says whether one takes the turn that round robin gives it.
    pub(super) fn pick<'v>(
        &self,
        view: &'v View,
        client: IpAddr,
        tried: &[SocketAddr],
        takes: impl Fn(&Open) -> bool,
    ) -> Option<&'v Open> {
        let is_new = |open: &&Open| !tried.contains(&open.member.address);
        match self.algorithm {
            Algorithm::WeightedRoundRobin(()) => {
                let mut turns = (0..view.turns.len().min(OFFERS)).filter_map(|_| view.turn(self.next()));
                turns.find(|open| is_new(open) && takes(open)).or_else(|| self.following(view, is_new))
            }
            Algorithm::WeightedLeastConnections => {
                let least = view.open.iter().filter(is_new).min_by(|one, other| compare_loads(one, other))?;
                // Several, such as all while nothing is going on: round robin among them.
                let is_least = |open: &&Open| is_new(open) && compare_loads(open, least).is_le();
                let others = view.open.iter().filter(is_least).count();
                let by_turns = if others > 1 { self.following(view, is_least) } else { None };
                by_turns.or(Some(least))
            }
            Algorithm::SourceHash => {
                let slot = slot(client, view.turns.len());
                walk(view, slot).find(is_new)
            }
        }
    }

    fn next(&self) -> u64 {
        self.cursor.fetch_add(1, Relaxed)
    }

    /// The next one that is wanted; only one turn is used up.
    fn following<'v>(&self, view: &'v View, wanted: impl Fn(&&Open) -> bool) -> Option<&'v Open> {
        walk(view, self.next()).find(wanted)
    }
}

/// All turns once, from this one on.
fn walk(view: &View, from: u64) -> impl Iterator<Item = &Open> {
    (0..view.turns.len() as u64).filter_map(move |ahead| view.turn(from.wrapping_add(ahead)))
}

/// Requests per weight, without a division.
fn compare_loads(one: &Open, other: &Open) -> Ordering {
    let crossed = |one: &Open, other: &Open| u64::from(one.member.requests()) * u64::from(other.weight);
    crossed(one, other).cmp(&crossed(other, one))
}

/// Where a client's walk through the table begins: as in XDP, so that both layers agree.
fn slot(client: IpAddr, count: usize) -> u64 {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    source_slot(client.to_canonical().into(), count).into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_client_begins_where_xdp_looks_it_up() {
        for n in 0..100 {
            let client = Ipv4Addr::from_bits(0xC633_6400 + n);
            let expected: u64 = source_slot(IpAddr::from(client).into(), 65_537).into();
            assert_eq!(slot(client.into(), 65_537), expected);
            assert_eq!(slot(client.to_ipv6_mapped().into(), 65_537), expected);
        }
    }
}
