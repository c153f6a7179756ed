//! Whole numbers with their bounds.

use std::ops::RangeInclusive;

use crate::invalid::Invalid;

/// A whole number that has bounds.
pub trait Number: Copy {
    /// What it is, with its article: "a weight".
    const WHAT: &'static str;
    /// The least and the greatest.
    const RANGE: RangeInclusive<u32>;

    /// The number, if it is within [`Self::RANGE`].
    ///
    /// # Errors
    /// It is not.
    fn new(number: u32) -> Result<Self, Invalid>;
}

/// Why `number`, as it was written, is none of this kind.
pub fn out_of_range<N: Number>(number: impl std::fmt::Display) -> Invalid {
    let range = N::RANGE;
    Invalid::new(format!("{number} is not {}", N::WHAT), format!("use {} to {}", range.start(), range.end()))
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($inner:ty) in $low:literal..=$high:literal, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl Number for $name {
            const WHAT: &'static str = $what;
            const RANGE: RangeInclusive<u32> = Self::BOUNDS.0..=Self::BOUNDS.1;

            fn new(number: u32) -> Result<Self, Invalid> {
                match <$inner>::try_from(number) {
                    Ok(inner) if Self::RANGE.contains(&number) => Ok(Self(inner)),
                    _ => Err(out_of_range::<Self>(number)),
                }
            }
        }

        impl $name {
            const BOUNDS: (u32, u32) = ($low, $high);

            /// The same, known to be good when this is compiled.
            pub const fn literal(number: $inner) -> Self {
                let (low, high) = Self::BOUNDS;
                assert!(number as u32 >= low && number as u32 <= high, "out of range");
                Self(number)
            }

            /// The bare number.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// A member's share of its pool; 0 takes no new connections. The OTC guide's goes to 100, Octavia's to 256.
    Weight(u16) in 0..=256, "a weight";
    /// A port of TCP or UDP.
    Port(u16) in 1..=65_535, "a port";
    /// A bandwidth, 10⁶ bits per second each.
    Megabits(u32) in 1..=1_000_000, "a number of megabits per second";
    /// Connections at the same time: as many as there can be sessions.
    MaxConnections(u32) in 1..=16_777_216, "a number of connections";
    /// New connections per second.
    ConnectionRate(u32) in 1..=1_000_000, "a number of connections";
    /// Half-open connections at the same time.
    HalfOpen(u32) in 1..=16_777_216, "a number of half-open connections";
    /// The MTU of a path.
    PathMtu(u16) in 68..=9000, "an MTU";
    /// Resets per second.
    ResetRate(u32) in 1..=1_000_000, "a number of resets";
    /// Bytes of a request's head.
    HeadBytes(u32) in 1024..=262_144, "a size for a request's head";
    /// Bytes that the heads of all requests under way on one HTTP/2 connection take.
    HeadsBytes(u32) in 65_536..=67_108_864, "a size for all heads";
    /// Header lines of a request.
    HeaderCount(u16) in 1..=256, "a number of headers";
    /// Requests at the same time on one HTTP/2 connection.
    Streams(u16) in 1..=1000, "a number of requests at the same time";
    /// For how long a client of Layer 4 stays with its member (OTC guide, section 3.5).
    StickyMinutes(u16) in 1..=60, "a number of minutes";
    /// For how long a client with a cookie stays with its member (the same).
    CookieMinutes(u16) in 1..=1440, "a number of minutes";
    /// Of how many cookie values the member is remembered.
    Remembered(u32) in 1..=16_777_216, "a number of cookies";
    /// Failures in a row.
    Failures(u32) in 1..=1000, "a number of failures";
    /// How many members of a pool may rest at once, in per cent.
    EjectionShare(u8) in 0..=100, "a share in per cent";
    /// Answers in a row that change a member's standing (OTC guide, table 5-1).
    Retries(u8) in 1..=10, "a number of retries";
    /// An HTTP status with which a request is rejected.
    RejectStatus(u16) in 400..=599, "a status to reject with";
    /// Sessions that a host has room for.
    Sessions(u32) in 1024..=16_777_216, "a number of sessions";
}

impl StickyMinutes {
    /// As a duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(60 * u64::from(self.0))
    }
}

impl CookieMinutes {
    /// As a duration.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(60 * u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds<N: Number + std::fmt::Display>(number: u32, low: u32, high: u32) -> Result<(), TestCaseError> {
        match N::new(number) {
            Ok(made) => {
                prop_assert!((low..=high).contains(&number));
                prop_assert_eq!(made.to_string(), number.to_string());
            }
            Err(error) => {
                prop_assert!(!(low..=high).contains(&number));
                let expected = format!("{number} is not {}; use {low} to {high}", N::WHAT);
                prop_assert_eq!(error.to_string(), expected);
            }
        }
        Ok(())
    }

    proptest! {
        /// The bounds as docs and the OTC guide have them, written once more.
        #[test]
        fn a_number_is_within_its_bounds_or_is_none(
            number in prop_oneof![0..300u32, 380..620u32, 1000..1500u32, 65_500..65_600u32, any::<u32>()]
        ) {
            holds::<Weight>(number, 0, 256)?;
            holds::<Port>(number, 1, 65_535)?;
            holds::<Megabits>(number, 1, 1_000_000)?;
            holds::<MaxConnections>(number, 1, 1 << 24)?;
            holds::<ConnectionRate>(number, 1, 1_000_000)?;
            holds::<HeadBytes>(number, 1 << 10, 1 << 18)?;
            holds::<HeadsBytes>(number, 64 << 10, 64 << 20)?;
            holds::<HeaderCount>(number, 1, 256)?;
            holds::<Streams>(number, 1, 1000)?;
            holds::<StickyMinutes>(number, 1, 60)?;
            holds::<CookieMinutes>(number, 1, 24 * 60)?;
            holds::<Remembered>(number, 1, 1 << 24)?;
            holds::<Failures>(number, 1, 1000)?;
            holds::<EjectionShare>(number, 0, 100)?;
            holds::<Retries>(number, 1, 10)?;
            holds::<RejectStatus>(number, 400, 599)?;
            holds::<Sessions>(number, 1 << 10, 1 << 24)?;
        }
    }
}
