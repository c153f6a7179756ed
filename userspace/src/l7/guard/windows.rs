//! How much a client of HTTP/2 may send of its requests' bodies before a member has taken it.
//!
//! Each request has a window of [`LEAST`] bytes and the connection one for all of them, so those that a member does not
//! take stop no other. Requests whose windows are what keeps them back have larger ones, out of [`MORE`] bytes that the
//! connection has beside: twice what came within a round trip, which a PING tells (a proxy in front may know another one
//! than the kernel). When nothing comes any more, requests that begin have small windows again.

use std::time::{Duration, Instant};

/// A request's window, in bytes.
pub(super) const LEAST: u32 = 65_535;
/// What there is on a connection beside that, for requests that can use more.
const MORE: u32 = 8 << 20;
/// What is not said of for so long is not so any more.
const STALE: Duration = Duration::from_secs(1);

/// The window of a connection that may have so many requests at the same time.
pub(super) fn of_connection(streams: u16) -> u32 {
    u32::from(streams) * LEAST + MORE
}

/// The window that requests of a connection have.
#[derive(Debug)]
pub(super) struct Window {
    size: u32,
    /// How many bytes of bodies had come when it was last looked at, and when that was.
    mark: (u64, Instant),
    /// How many more have to come before it is looked at again.
    pause: u64,
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self { size: LEAST, mark: (0, now), pause: u64::from(LEAST / 2) }
    }

    /// Whether so much has come that it is time to measure a round trip, for [`Self::grown`].
    pub(super) fn is_due(&self, data: u64) -> bool {
        data - self.mark.0 >= self.pause
    }

    /// From now on, with so many bytes of bodies, a round trip is measured.
    pub(super) fn measure(&mut self, now: Instant, data: u64) {
        self.mark = (data, now);
    }

    /// What the window should be, if that is more, now that so many bytes have come of `bodies` requests that still
    /// send: what came since [`Self::measure`] came in a round trip.
    pub(super) fn grown(&mut self, now: Instant, data: u64, bodies: usize) -> Option<u32> {
        let in_a_round_trip = data - self.mark.0;
        self.measure(now, data);
        let bodies = bodies.max(1) as u64;
        let most = u64::from(LEAST) + u64::from(MORE / 2) / bodies;
        // Whoever is kept back sends a whole window in each.
        let wanted = 2 * in_a_round_trip / bodies;
        let size = u32::try_from(wanted.min(most)).unwrap_or(LEAST);
        // If it is large enough, it need not be looked at so often.
        self.pause = (2 * self.pause).min(MORE.into());
        (size > self.size).then(|| self.set(size))
    }

    /// The same when one more request begins to send, if that is less.
    pub(super) fn shrunk(&mut self, now: Instant, bodies: usize) -> Option<u32> {
        let is_stale = now.saturating_duration_since(self.mark.1) > STALE;
        let most = LEAST + MORE / 2 / u32::try_from(bodies.max(1)).unwrap_or(u32::MAX);
        let most = if is_stale { LEAST } else { most };
        (most < self.size).then(|| self.set(most))
    }

    fn set(&mut self, size: u32) -> u32 {
        (self.size, self.pause) = (size, u64::from(size / 2));
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that sends whatever it may.
    #[test]
    fn a_window_that_keeps_a_client_back_grows_up_to_a_bound() {
        let now = Instant::now();
        let (mut data, mut window, mut size) = (0, Window::new(now), LEAST);
        for _ in 0..20 {
            data += u64::from(size);
            // Once it is as large as can be, it is looked at less often.
            assert!(size == LEAST + MORE / 2 || window.is_due(data));
            window.measure(now, data);
            data += u64::from(size);
            size = window.grown(now, data, 1).unwrap_or(size);
        }
        assert_eq!(size, LEAST + MORE / 2);
        // Others that begin get less, and what they may send all together fits.
        assert_eq!(window.shrunk(now, 4), Some(LEAST + MORE / 8));
        assert_eq!(window.shrunk(now, 4), None);
        assert_eq!(window.shrunk(now + 2 * STALE, 4), Some(LEAST));
    }

    #[test]
    fn a_window_that_keeps_nobody_back_stays() {
        let now = Instant::now();
        let mut window = Window::new(now);
        for round in 1..40 {
            // What comes in a round trip is a third of it.
            window.measure(now, round * u64::from(LEAST / 3));
            assert_eq!(window.grown(now, (round + 1) * u64::from(LEAST / 3), 1), None);
        }
    }

    #[test]
    fn all_requests_may_be_stuck_at_once_and_another_one_not() {
        for streams in [1, 100, 1000] {
            assert!(of_connection(streams) >= u32::from(streams) * LEAST + MORE);
        }
    }
}
