//! Limits: the bandwidth of a load balancer, connections and new connections of a listener.
//!
//! A bucket is held as the moment up to which its tokens are spent: a full bucket's lies [`Bucket::depth`] in the
//! past, an empty one's is now, and taking tokens moves it on by the time in which they come (GCRA, ITU-T I.371). So one
//! addition takes tokens, on any number of CPUs, and time alone gives them back. Whoever finds a token left may go
//! into debt for the rest of its packet, so each CPU can take a packet more than there is; the debt is paid back
//! before anyone passes again.
//!
//! Time is in jiffies: nothing here calls a helper that [`crate::tables::Tables::jiffies`] does not.

use crate::{
    abi::{Bandwidth, FLAG_LIMITED, Limit, Listener, ListenerIndex, NO_BANDWIDTH, ResetRate},
    connection::{self, Note, Standing},
    half_open,
    shared::{Field, Shared},
    tables::Tables,
    verdict::Event,
};

/// Bits of a jiffy's fraction in times.
const TIME_BITS: u32 = 24;
/// Bits of fraction that a cost has beside those.
const COST_BITS: u32 = 16;

/// What takes one away: it wraps.
const LESS: u32 = u32::MAX;

/// A token bucket in a map.
pub struct Bucket<'a> {
    /// See [`Bandwidth::spent`].
    pub spent: Field<'a, u64>,
    /// See [`Bandwidth::cost`].
    pub cost: u64,
    /// See [`Bandwidth::depth`].
    pub depth: u64,
}

impl Bucket<'_> {
    /// Takes `tokens` (up to 2¹⁶) at this time, if there is at least a part of one. Whether there was.
    #[inline(always)]
    pub fn take(&self, jiffies: u64, tokens: u32) -> bool {
        if self.cost == 0 {
            return true;
        }
        let now = jiffies << TIME_BITS;
        let spent = self.spent.get();
        if spent >= now {
            return false;
        }
        // What came while the bucket was full is lost. If another CPU was faster, it has seen to that.
        let floor = now.saturating_sub(self.depth);
        if spent < floor {
            self.spent.swap_if(spent, floor);
        }
        self.spent.add((u64::from(tokens) * self.cost) >> COST_BITS);
        true
    }
}

impl<'a> Shared<'a, Bandwidth> {
    /// Its bucket.
    #[inline(always)]
    pub fn bucket(&self) -> Bucket<'a> {
        Bucket { spent: self.spent(), cost: self.cost().get(), depth: self.depth().get() }
    }
}

impl<'a> Shared<'a, Limit> {
    /// Its bucket.
    #[inline(always)]
    pub fn bucket(&self) -> Bucket<'a> {
        Bucket { spent: self.spent(), cost: self.cost().get(), depth: self.depth().get() }
    }
}

impl<'a> Shared<'a, ResetRate> {
    /// Its bucket.
    #[inline(always)]
    pub fn bucket(&self) -> Bucket<'a> {
        Bucket { spent: self.spent(), cost: self.cost().get(), depth: self.depth().get() }
    }
}

/// The cost of a token of which `per_second` (up to 2³⁷, not 0) come in a second of `hz` jiffies.
pub const fn cost(per_second: u64, hz: u32) -> u64 {
    ((hz as u64) << (TIME_BITS + COST_BITS)).div_ceil(per_second)
}

/// The depth of a bucket that is full after so many milliseconds.
pub const fn depth(milliseconds: u64, hz: u32) -> u64 {
    ((hz as u64 * milliseconds) << TIME_BITS) / 1000
}

/// [`FLAG_LIMITED`] for the halves of a listener whose load balancer has a limit, else nothing.
#[inline(always)]
pub const fn flag(listener: &Listener) -> u8 {
    if listener.bandwidth == NO_BANDWIDTH { 0 } else { FLAG_LIMITED }
}

/// Charges a packet of `bytes` of a session of this listener to its load balancer.
///
/// # Errors
/// [`Event::DropBandwidth`] if the load balancer has none left.
#[inline(always)]
pub fn charge<T: Tables>(tables: &T, listener: ListenerIndex, bytes: u32) -> Result<(), Event> {
    let Some(of) = tables.listener(listener) else { return Ok(()) };
    let Some(bandwidth) = tables.bandwidth(of.bandwidth) else { return Ok(()) };
    if bandwidth.bucket().take(tables.jiffies(), bytes) {
        return Ok(());
    }
    tables.count_refused(listener, Event::DropBandwidth);
    Err(Event::DropBandwidth)
}

/// This stage's functions that the kernel verifies once and apart.
pub trait OutOfLine {
    /// [`connection::note`].
    fn note<T: Tables>(&self, tables: &T, note: Note) {
        connection::note(tables, note);
    }

    /// [`enter`].
    ///
    /// # Errors
    /// As there.
    fn enter<T: Tables>(&self, tables: &T, note: Note) -> Result<(), Event> {
        enter(tables, note)
    }
}

/// Lets one more session in and counts it, as this note of its opening says. Whoever does not open it after all turns the
/// note round.
///
/// # Errors
/// [`Event::DropConnectionLimit`], [`Event::DropHalfOpenLimit`] or [`Event::DropRateLimit`]: the limit that is against it.
#[inline(always)]
pub fn enter<T: Tables>(tables: &T, note: Note) -> Result<(), Event> {
    let limit = tables.limit(note.listener()).ok_or(Event::DropInternal)?;
    // Keeps a flood from counting up and down what the exact comparison sees.
    has_room(limit)?;
    let half_open = tables.half_open(note.prefix()).ok_or(Event::DropInternal)?;
    let load = tables.load(note.backend()).ok_or(Event::DropInternal)?;
    if note.is_now(Standing::HalfOpen) {
        let config = tables.config().ok_or(Event::DropInternal)?;
        half_open::enter(config, half_open)?;
    } else {
        acquire_connection(limit)?;
    }
    load.value().add(1);
    acquire_rate(limit, tables.jiffies()).inspect_err(|_| connection::note(tables, note.turned_round()))
}

/// Looks whether one more connection may come as far as their number goes, without counting it.
///
/// # Errors
/// [`Event::DropConnectionLimit`].
#[inline(always)]
pub fn has_room(limit: Shared<'_, Limit>) -> Result<(), Event> {
    let most = limit.max_connections().get();
    if most != 0 && limit.connections().get() >= most { Err(Event::DropConnectionLimit) } else { Ok(()) }
}

/// Counts one more connection, until [`release_connection`].
///
/// # Errors
/// [`Event::DropConnectionLimit`]: it is not counted.
#[inline(always)]
pub fn acquire_connection(limit: Shared<'_, Limit>) -> Result<(), Event> {
    let most = limit.max_connections().get();
    if limit.connections().add(1) >= most && most != 0 {
        release_connection(limit);
        return Err(Event::DropConnectionLimit);
    }
    Ok(())
}

/// Whether there are more connections than may be.
#[inline(always)]
pub fn is_exceeded(limit: Shared<'_, Limit>) -> bool {
    let most = limit.max_connections().get();
    most != 0 && limit.connections().get() > most
}

/// Takes one of the new connections that may come in a second.
///
/// # Errors
/// [`Event::DropRateLimit`].
#[inline(always)]
pub fn acquire_rate(limit: Shared<'_, Limit>, jiffies: u64) -> Result<(), Event> {
    if limit.bucket().take(jiffies, 1) { Ok(()) } else { Err(Event::DropRateLimit) }
}

/// A connection is over, or was not opened.
#[inline(always)]
pub fn release_connection(limit: Shared<'_, Limit>) {
    limit.connections().add(LESS);
}

#[cfg(test)]
mod tests {
    use std::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::host::Records;

    const HZ: u32 = 250;
    /// When tests begin, in jiffies: as a kernel that has just started.
    const START: u64 = (1 << 32) - 75_000;

    fn bandwidth(per_second: u64, milliseconds: u64) -> Records<Bandwidth> {
        let (cost, depth) = (cost(per_second, HZ), depth(milliseconds, HZ));
        Records::new(1, Bandwidth { cost, depth, ..Bandwidth::default() })
    }

    /// As a session that counts at once enters.
    fn come_in(limit: Shared<'_, Limit>, jiffies: u64) -> Result<(), Event> {
        has_room(limit)?;
        acquire_connection(limit)?;
        acquire_rate(limit, jiffies).inspect_err(|_| release_connection(limit))
    }

    fn takes(records: &Records<Bandwidth>, jiffies: u64, tokens: u32) -> bool {
        records.shared(0).unwrap().bucket().take(jiffies, tokens)
    }

    proptest! {
        /// A bucket as one would write it down: tokens that come with time up to the brim, in exact numbers. With a
        /// power of two per jiffy, so is the one under test.
        #[test]
        fn a_bucket_does_what_a_plain_one_does(
            per_jiffy in (0..20u32).prop_map(|bits| 1u64 << bits),
            brim in 1..1000u64,
            packets in prop::collection::vec((prop_oneof![Just(0..1u64), Just(0..20), Just(0..3000)], any::<prop::sample::Index>(), 1..=65_535u32), 1..300),
        ) {
            let records = bandwidth(per_jiffy * u64::from(HZ), brim * 1000 / u64::from(HZ));
            let brim = i64::try_from(brim * 1000 / u64::from(HZ) * u64::from(HZ) / 1000 * per_jiffy).unwrap();
            let (mut now, mut tokens) = (START, brim);
            for (range, at, bytes) in packets {
                let passes = range.start + at.index((range.end - range.start) as usize) as u64;
                now += passes;
                tokens = (tokens + (passes * per_jiffy) as i64).min(brim);
                prop_assert_eq!(takes(&records, now, bytes), tokens > 0, "{} tokens at {}", tokens, now);
                if tokens > 0 {
                    tokens -= i64::from(bytes);
                }
            }
        }

        /// Whoever always wants more than there is gets just the rate: from one jiffy to any later one no more than
        /// a bucket, what comes meanwhile and one packet; and from the first to the last, no less than what comes.
        #[test]
        fn the_rate_holds(
            mbit in prop_oneof![1..100u64, 100..100_000u64],
            milliseconds in 4..1000u64,
            lengths in prop::collection::vec(64..=9000u32, 1..20),
            jiffies in 1..200u64,
        ) {
            let per_second = mbit * 125_000;
            let per_jiffy = per_second as f64 / f64::from(HZ);
            let records = bandwidth(per_second, milliseconds);
            let depth = per_second as f64 * milliseconds as f64 / 1000.0;
            let mut lengths = lengths.iter().cycle();
            let (mut passed, mut turns) = (vec![0.0], 0);
            for now in START..START + jiffies {
                let mut here = 0.0;
                loop {
                    let &bytes = lengths.next().unwrap();
                    turns += 1;
                    prop_assume!(turns < 2_000_000);
                    if !takes(&records, now, bytes) {
                        break;
                    }
                    here += f64::from(bytes);
                }
                passed.push(passed.last().unwrap() + here);
            }
            // 0.5 % for costs that are rounded.
            let all = *passed.last().unwrap();
            let earned = depth + (jiffies - 1) as f64 * per_jiffy;
            prop_assert!(all <= 1.005 * earned + 9000.0 && all >= 0.995 * earned - 1.0, "{} of {}", all, earned);
            for (at, &before) in passed.iter().enumerate().skip(2) {
                let since = all - before;
                let later = (passed.len() - 1 - at) as f64 * per_jiffy;
                prop_assert!(since <= 1.005 * later + 9000.0, "{} in the last {}", since, later);
            }
        }

        /// Connections come and go; never more than the limit are in, and nobody is refused who fits.
        #[test]
        fn connections_are_counted(most in 0..10u32, turns in prop::collection::vec(any::<bool>(), 1..200)) {
            let records = Records::new(1, Limit { max_connections: most, ..Limit::default() });
            let limit = records.shared(0).unwrap();
            let mut inside = 0;
            for enters in turns {
                if enters {
                    let fits = most == 0 || inside < most;
                    prop_assert_eq!(come_in(limit, START), if fits { Ok(()) } else { Err(Event::DropConnectionLimit) });
                    inside += u32::from(fits);
                } else if inside > 0 {
                    release_connection(limit);
                    inside -= 1;
                }
                prop_assert_eq!(limit.connections().get(), inside);
            }
        }
    }

    #[test]
    fn so_many_connections_come_in_at_once_and_then_one_by_one() {
        let (cost, depth) = (cost(5, HZ), depth(1000, HZ));
        let records = Records::new(1, Limit { cost, depth, ..Limit::default() });
        let limit = records.shared(0).unwrap();
        let come = |jiffies, count: u32| (0..count).filter(|_| come_in(limit, jiffies).is_ok()).count();
        let second = u64::from(HZ);
        assert_eq!(come(START, 20), 5);
        assert_eq!(come_in(limit, START), Err(Event::DropRateLimit));
        assert_eq!(come(START + second / 10, 20), 1, "on credit: half of it is still to come");
        assert_eq!(come(START + second / 5, 20), 0);
        assert_eq!(come(START + second / 5 + 1, 20), 1);
        assert_eq!(come(START + 3 * second, 20), 5, "however long it was quiet");
        assert_eq!(limit.connections().get(), 12, "those refused count nowhere");
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let records = Records::new(1, Bandwidth::default());
        assert!((0..1000).all(|_| takes(&records, START, 65_535)));
        assert_eq!(records.shared(0).unwrap().spent().get(), 0, "and nothing is written");
    }
}
