//! The data path's clock: jiffies, by a test run of the program `ek_clock`.

use std::time::{Duration, Instant};

use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya_obj::programs::XdpAttachType;

use super::pins::PinDir;
use crate::dataplane::error::{Context, Result, unfit};

/// What kernels are built with.
const RATES: [u32; 4] = [100, 250, 300, 1000];
/// How long to watch the clock: long enough to tell 250 from 300.
const CALIBRATION: Duration = Duration::from_millis(200);
/// The kernel wants at least an Ethernet header as input.
const FRAME: [u8; 64] = [0; 64];

/// The clock program.
pub struct Clock(Xdp);

impl Clock {
    /// Opens the pinned clock.
    ///
    /// # Errors
    /// There is none, or the process may not.
    pub fn open(pins: &PinDir) -> Result<Self> {
        let program = Xdp::from_pin(pins.clock(), XdpAttachType::Interface)
            .with_context(|| format!("cannot open {}", pins.clock().display()))?;
        Ok(Self(program))
    }

    /// The low 32 bits of jiffies.
    ///
    /// # Errors
    /// The kernel refuses the test run.
    pub fn now(&self) -> Result<u32> {
        let options = TestRunOptions { data_in: Some(&FRAME), repeat: 1, ..TestRunOptions::new() };
        Ok(self.0.test_run(options).context("cannot read the clock")?.return_value)
    }

    /// Jiffies per second, measured against the monotonic clock; takes a fifth of a second.
    ///
    /// # Errors
    /// The clock cannot be read, or stands.
    pub fn measure_rate(&self) -> Result<u32> {
        let (first, start) = (self.now()?, Instant::now());
        std::thread::sleep(CALIBRATION);
        let jiffies = self.now()?.wrapping_sub(first);
        nearest_rate(jiffies, start.elapsed())
    }
}

fn nearest_rate(jiffies: u32, elapsed: Duration) -> Result<u32> {
    let measured = f64::from(jiffies) / elapsed.as_secs_f64();
    let nearest = RATES.into_iter().min_by(|a, b| {
        let off = |rate: &u32| (measured / f64::from(*rate)).ln().abs();
        off(a).total_cmp(&off(b))
    });
    match nearest {
        Some(rate) if jiffies > 0 => Ok(rate),
        _ => unfit!("the kernel's clock stands: {jiffies} jiffies in {elapsed:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_from_a_fifth_of_a_second_give_or_take_a_jiffy() {
        for rate in RATES {
            for off in [-1i32, 0, 1] {
                let jiffies = (rate / 5).wrapping_add_signed(off);
                assert_eq!(nearest_rate(jiffies, CALIBRATION).unwrap(), rate);
                assert_eq!(nearest_rate(2 * jiffies, 2 * CALIBRATION).unwrap(), rate, "a late wake-up");
            }
        }
        assert!(nearest_rate(0, CALIBRATION).is_err());
    }
}
