//! Times in whole seconds.

use std::{fmt, time::Duration};

use crate::invalid::Invalid;

/// Reads a time such as `300s`, `5m` or `1h`.
fn read(text: &str) -> Result<Duration, Invalid> {
    humantime::parse_duration(text).map_err(|_| no_time(&format!("{text:?}")))
}

fn no_time(shown: &str) -> Invalid {
    Invalid::new(
        format!("{shown} is not a time in whole seconds from 1s to 1day"),
        "use one such as \"300s\", \"5m\" or \"1h\"",
    )
}

macro_rules! times {
    ($($(#[$doc:meta])* $name:ident up to $most:literal, $refuse:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u32);

        impl $name {
            /// The longest, in seconds; the shortest is one second.
            pub const MOST: u32 = $most;

            /// Whole seconds.
            ///
            /// # Errors
            /// It is none, has a fraction, or is longer than [`Self::MOST`].
            pub fn new(time: Duration) -> Result<Self, Invalid> {
                match u32::try_from(time.as_secs()) {
                    Ok(seconds @ 1..=$most) if time.subsec_nanos() == 0 => Ok(Self(seconds)),
                    _ => Err($refuse(time)),
                }
            }

            /// From its text, such as `300s` or `5m`.
            ///
            /// # Errors
            /// It is no time, or what [`Self::new`] says.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let time = read(text)?;
                Seconds::new(time).map_err(|_| no_time(&format!("{text:?}")))?;
                Self::new(time)
            }

            /// The same, known to be good when this is compiled.
            pub const fn literal(seconds: u32) -> Self {
                assert!(seconds >= 1 && seconds <= $most, "out of range");
                Self(seconds)
            }

            /// How many.
            pub const fn get(self) -> u32 {
                self.0
            }

            /// As a duration.
            pub const fn duration(self) -> Duration {
                Duration::from_secs(self.0 as u64)
            }
        }

        impl fmt::Display for $name {
            /// As the configuration has it, such as `5m`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                humantime::format_duration(self.duration()).fmt(f)
            }
        }
    )*};
}

times! {
    /// One second to one day.
    Seconds up to 86_400, |time| no_time(&humantime::format_duration(time).to_string());
    /// The interval or the timeout of a health check, 1 s to 50 s (OTC guide, table 5-1).
    CheckTime up to 50, |time: Duration| {
        let remedy = "use \"1s\" to \"50s\"";
        if time > Duration::from_secs(Self::MOST.into()) {
            return Invalid::new("longer than a health check may have", remedy);
        }
        Invalid::new(format!("{} is not a time in whole seconds", humantime::format_duration(time)), remedy)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_within_the_bounds() {
        let day = Duration::from_hours(24);
        let second = Duration::from_secs(1);
        for (time, good) in [
            (Duration::ZERO, false),
            (second / 2, false),
            (second, true),
            (second * 3 / 2, false),
            (day, true),
            (day + second, false),
            (Duration::MAX, false),
        ] {
            assert_eq!(Seconds::new(time).is_ok(), good, "{time:?}");
        }
        assert_eq!(Seconds::literal(300).to_string(), "5m");
        assert!(CheckTime::new(50 * second).is_ok());
        assert!(CheckTime::new(51 * second).is_err());
        assert!(CheckTime::new(Duration::ZERO).is_err());
        assert_eq!(Seconds::parse("5min"), Ok(Seconds::literal(300)));
        for (text, seconds, check) in [
            ("2days", "\"2days\" is not a time in whole seconds", "\"2days\" is not a time in whole seconds"),
            ("1ms", "\"1ms\" is not a time in whole seconds", "\"1ms\" is not a time in whole seconds"),
            ("soon", "\"soon\" is not a time in whole seconds", "\"soon\" is not a time in whole seconds"),
            ("51s", "", "longer than a health check may have"),
        ] {
            let said =
                |made: Result<(), Invalid>| made.map_or_else(|invalid| invalid.reason, |()| String::new());
            assert!(said(Seconds::parse(text).map(drop)).starts_with(seconds), "{text}");
            assert!(said(CheckTime::parse(text).map(drop)).starts_with(check), "{text}");
        }
    }
}
