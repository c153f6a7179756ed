//! How the clients of an HTTP pool stay with their members, and when a member rests.
//!
//! Read from the file by `config/picking`, put to work by `l7/pick`.

use std::time::Duration;

/// How clients stay with the member that answered them before; round robin only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What they are known by.
    pub by: StickyBy,
    /// For how long; whole minutes, 1 to 1440.
    pub time: Duration,
    /// Whether clients of a member that has weight 0 or was removed go on with it until their time ends.
    pub drain: bool,
}

/// What a client is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickyBy {
    /// A cookie that the balancer sets.
    BalancerCookie {
        /// Its name; one is made from the pool's if none is given.
        name: Option<String>,
        /// To whom the browser sends it.
        same_site: SameSite,
    },
    /// A cookie that the application sets.
    ApplicationCookie {
        /// Its name.
        name: String,
        /// Of how many values the balancer remembers the member, at least 1; the least recently used are forgotten.
        remembered: usize,
    },
}

/// Whether a browser sends a cookie with requests that other sites cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When the user follows a link.
    #[default]
    Lax,
    /// Always, but over HTTPS only.
    None,
}

impl SameSite {
    /// Every one.
    pub const ALL: [SameSite; 3] = [SameSite::Strict, SameSite::Lax, SameSite::None];

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        match self {
            SameSite::Strict => "strict",
            SameSite::Lax => "lax",
            SameSite::None => "none",
        }
    }
}

/// When a member that fails requests gets none for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// After this many failures in a row, at least 1.
    pub failures: u32,
    /// For how long the first time; each time that follows without a good answer between takes that much longer, up to
    /// ten times as long.
    pub time: Duration,
    /// How many members of a pool may rest at once, in per cent, rounded down.
    pub share: u8,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: 5, time: Duration::from_secs(10), share: 50 }
    }
}
