//! How the clients of an HTTP pool stay with their members, and when a member rests.

use crate::value::{CookieMinutes, EjectionShare, Failures, Remembered, Seconds, StickyMinutes, Token};

/// For how long a client of Layer 4 stays, unless the operator says (OTC guide, section 3.5).
pub const STICKY_MINUTES: StickyMinutes = StickyMinutes::literal(20);
/// The same of a client with a cookie.
pub const COOKIE_MINUTES: CookieMinutes = CookieMinutes::literal(20);

/// How clients stay with the member that answered them before; round robin only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What they are known by.
    pub by: StickyBy,
    /// For how long.
    pub time: CookieMinutes,
    /// Whether clients of a member that has weight 0 or was removed go on with it until their time ends.
    pub drain: bool,
}

/// What a client is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StickyBy {
    /// A cookie that the balancer sets.
    BalancerCookie {
        /// Its name; one is made from the pool's if none is given.
        name: Option<Token>,
        /// The domain whose hosts the browser sends it to.
        same_site: SameSite,
    },
    /// A cookie that the application sets.
    ApplicationCookie {
        /// Its name.
        name: Token,
        /// Of how many values the balancer remembers the member; the least recently used are forgotten.
        remembered: Remembered,
    },
}

/// Of how many values of an application's cookie the member is remembered, unless the operator says.
pub const REMEMBERED: Remembered = Remembered::literal(65_536);

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
    /// After this many failures in a row.
    pub failures: Failures,
    /// For how long the first time; each time that follows without a good answer between takes that much longer, up to
    /// ten times as long.
    pub time: Seconds,
    /// How many members of a pool may rest at once, rounded down.
    pub share: EjectionShare,
}

impl Default for Ejection {
    fn default() -> Self {
        Self { failures: Failures::literal(5), time: Seconds::literal(10), share: EjectionShare::literal(50) }
    }
}
