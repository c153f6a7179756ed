//! When a session counts as a connection of its member and of its listener: from when it is opened until it is over
//! ([`State::is_over`]) or has ended, and again if it comes back from a reset.
//!
//! The packets of both directions, on any CPU, and the sweeper move a session at the same moment. So its state has one
//! place, `tcp` of the forward half, which moves by compare-and-swap alone, and whoever has made a step counts it: nobody
//! else has made the same one. Whoever takes the forward half out of [`crate::abi::LIVE`] leaves [`crate::abi::ENDED`]
//! there and learns by that whether the session still counted; from there no step leads on, not even for a packet that
//! found the session before. So a count is right at any time and need never be taken anew.

use crate::{
    abi::{Common, Limit},
    shared::Shared,
    tcp_state::State,
};

/// How often a step is tried if somebody else has made one meanwhile: of the two directions, one wins and the other
/// then goes on from there.
const ATTEMPTS: u32 = 2;
/// What [`count`] adds for a connection more.
pub const MORE: u32 = 1;
/// … and for one less: it wraps.
pub const LESS: u32 = u32::MAX;

/// A step that was made, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The session's state before.
    pub before: State,
    /// Its state now.
    pub after: State,
}

impl Step {
    /// What whoever has made it is to [`count`].
    #[inline(always)]
    pub const fn change(self) -> Option<u32> {
        match (self.before.is_over(), self.after.is_over()) {
            (false, true) => Some(LESS),
            (true, false) => Some(MORE),
            _ => None,
        }
    }
}

/// Moves a session, by its forward half, to where `next` leads from its state. `None` if it has ended, or
/// others moved it each time.
#[inline(always)]
pub fn step(forward: Shared<'_, Common>, next: impl Fn(State) -> State) -> Option<Step> {
    for _ in 0..ATTEMPTS {
        let before = State::from_u8(forward.tcp().get())?;
        let after = next(before);
        if before == after || forward.swap_tcp_if(before as u8, after as u8) {
            return Some(Step { before, after });
        }
    }
    None
}

/// Ends a session for whoever has taken this forward half of it out of [`crate::abi::LIVE`]. Whether it still counted:
/// then it is to be counted off.
#[inline(always)]
pub fn end(forward: Shared<'_, Common>) -> bool {
    State::from_u8(forward.end_tcp()).is_some_and(|state| !state.is_over())
}

/// Adds to what the member and the listener of a session have.
#[inline(always)]
pub fn count(load: Option<Shared<'_, u32>>, limit: Option<Shared<'_, Limit>>, change: u32) {
    if let Some(load) = load {
        load.value().add(change);
    }
    if let Some(limit) = limit {
        limit.connections().add(change);
    }
}
