//! How fast a request's body has to come: a client that sends a byte now and then does not pause for long, and yet keeps
//! a request, and with it a member's connection, for ever.

use std::time::{Duration, Instant};

/// What has to come in the time for which a client may pause, in bytes, if not all.
const ENOUGH: usize = 1024;

/// How much of a body has come lately, and how long that took.
#[derive(Debug, Default)]
pub struct Pace {
    bytes: usize,
    waited: Duration,
    last: Option<Instant>,
}

impl Pace {
    /// So many more bytes have come from a client that may pause for `patience`: whether they come fast enough.
    ///
    /// Of each time between two pieces half of `patience` counts at most: the pause may have been the member's, and only
    /// many of them are a client's habit.
    pub fn is_kept(&mut self, bytes: usize, patience: Duration, now: impl FnOnce() -> Instant) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= ENOUGH {
            self.begin_anew();
            return true;
        }
        let now = now();
        let pause = self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last = Some(now);
        self.waited += pause.min(patience / 2);
        self.waited < patience
    }

    /// Forgets how long it took so far: something else has moved, such as the answer.
    pub fn begin_anew(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    /// How long a client goes on that sends so many bytes each time, up to an hour.
    fn time(bytes: usize, pause: Duration) -> Duration {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        let mut time = Duration::ZERO;
        while time < 60 * PATIENCE && pace.is_kept(bytes, PATIENCE, || begin + time) {
            time += pause;
        }
        time
    }

    #[test]
    fn a_drip_ends_when_a_pause_would() {
        for bytes in [0, 1] {
            assert_eq!(time(bytes, Duration::from_millis(100)), PATIENCE);
            assert_eq!(time(bytes, Duration::from_secs(1)), PATIENCE);
            assert!(time(bytes, Duration::from_secs(59)) <= 2 * PATIENCE);
        }
    }

    #[test]
    fn a_slow_client_goes_on() {
        let hour = 60 * PATIENCE;
        assert!(time(20, Duration::from_secs(1)) >= hour);
        assert!(time(1, Duration::from_millis(50)) >= hour);
        assert!(time(ENOUGH, Duration::from_secs(59)) >= hour);
        // Each pause may be a member's that does not take what the client sent.
        assert!(time(ENOUGH / 2, Duration::from_hours(1)) >= hour);
    }

    #[test]
    fn one_that_is_answered_meanwhile_goes_on() {
        let (mut pace, begin) = (Pace::default(), Instant::now());
        for second in 0..3600 {
            assert!(pace.is_kept(1, PATIENCE, || begin + Duration::from_secs(second)));
            if second % 50 == 0 {
                pace.begin_anew();
            }
        }
    }
}
