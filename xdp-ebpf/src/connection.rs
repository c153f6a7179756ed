//! When a session counts as a connection: of its member from when it is opened until it is over ([`State::is_over`]) or has
//! ended, and again if it comes back from a reset; of its listener once it is no longer half-open. Until then it counts
//! with the others of its client's network ([`crate::half_open`]).
//!
//! The packets of both directions, on any CPU, and the sweeper move a session at the same moment. So its state has one
//! place, `tcp` of the forward half, which moves by compare-and-swap alone, and whoever has made a step counts it: nobody
//! else has made the same one. Whoever takes the forward half out of [`crate::abi::LIVE`] leaves [`crate::abi::ENDED`]
//! there and learns by that whether the session still counted; from there no step leads on, not even for a packet that
//! found the session before. So a count is right at any time and need never be taken anew.

use crate::{
    abi::{BackendIndex, Common, Limit, ListenerIndex, PROTOCOL_TCP},
    shared::Shared,
    tables::Tables,
    tcp_state::State,
};

/// How often a step is tried if somebody else has made one meanwhile: of the two directions, one wins and the other
/// then goes on from there.
const ATTEMPTS: u32 = 2;

/// What a session counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A connection of its member, and a half-open one of its client's network.
    HalfOpen,
    /// A connection of its member and of its listener.
    Open,
    /// Nothing.
    Over,
}

impl Standing {
    /// Of a session of this IP protocol in this state.
    #[inline(always)]
    pub const fn of(protocol: u8, state: State) -> Self {
        if state.is_over() {
            Standing::Over
        } else if protocol == PROTOCOL_TCP && state.is_half_open() {
            Standing::HalfOpen
        } else {
            Standing::Open
        }
    }
}

/// A step that was made, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The session's state before.
    pub before: State,
    /// Its state now.
    pub after: State,
}

impl Step {
    /// What whoever has made it is to [`note`], of a session of this IP protocol.
    #[inline(always)]
    pub const fn standings(self, protocol: u8) -> [Standing; 2] {
        [Standing::of(protocol, self.before), Standing::of(protocol, self.after)]
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

/// Ends a session for whoever has taken this forward half of it out of [`crate::abi::LIVE`]. What it counted as until now.
#[inline(always)]
pub fn end(forward: Shared<'_, Common>) -> Standing {
    let protocol = forward.protocol().get();
    State::from_u8(forward.end_tcp()).map_or(Standing::Over, |state| Standing::of(protocol, state))
}

/// What is to be noted of a session, in one register: whom it counts with, what it counted as and counts as now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note(u64);

impl Note {
    /// Of a session of these, which counted as `before` and counts as `after` now.
    #[inline(always)]
    pub const fn of(
        backend: BackendIndex,
        listener: ListenerIndex,
        prefix: u16,
        [before, after]: [Standing; 2],
    ) -> Self {
        let with = (backend.index as u64) << 32 | (listener.index as u64) << 16 | prefix as u64;
        Self(with | (before as u64) << 50 | (after as u64) << 48)
    }

    /// Of the session with this half.
    #[inline(always)]
    pub fn new(half: Shared<'_, Common>, standings: [Standing; 2]) -> Self {
        let (backend, listener) = (half.backend().get(), half.listener().get());
        Self::of(backend.into(), listener.into(), half.prefix().get(), standings)
    }

    /// What undoes it.
    #[inline(always)]
    pub const fn turned_round(self) -> Self {
        let [before, after] = [self.0 >> 50 & 3, self.0 >> 48 & 3];
        Self(self.0 & !(0xf << 48) | after << 50 | before << 48)
    }

    /// Whether the session counts as `what` now.
    #[inline(always)]
    pub const fn is_now(self, what: Standing) -> bool {
        (self.0 >> 48) as u32 & 3 == what as u32
    }

    /// As a function of the program takes it, and back.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// See [`Note::number`].
    #[inline(always)]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// Its member.
    #[inline(always)]
    pub const fn backend(self) -> BackendIndex {
        BackendIndex::new((self.0 >> 32) as u32 & 0xffff)
    }

    /// Its listener.
    #[inline(always)]
    pub const fn listener(self) -> ListenerIndex {
        ListenerIndex::new((self.0 >> 16) as u32 & 0xffff)
    }

    /// Where its half-open sessions are counted.
    #[inline(always)]
    pub const fn prefix(self) -> u16 {
        self.0 as u16
    }

    /// How many more those are that count as `what`: one, none, or one less, which wraps.
    #[inline(always)]
    const fn more(self, what: Standing) -> u32 {
        let [before, after] = [(self.0 >> 50) as u32 & 3, (self.0 >> 48) as u32 & 3];
        ((after == what as u32) as u32).wrapping_sub((before == what as u32) as u32)
    }

    /// Whether a handshake is complete by this, which needs a place among its listener's connections.
    #[inline(always)]
    pub const fn completes(self) -> bool {
        const COMPLETES: u64 = (Standing::HalfOpen as u64) << 2 | Standing::Open as u64;
        self.0 >> 48 == COMPLETES
    }

    /// Writes it into its member's, its listener's and its client's network's count. Without branches, which the verifier
    /// follows.
    #[inline(always)]
    pub fn write(self, load: Shared<'_, u32>, limit: Shared<'_, Limit>, half_open: Shared<'_, u32>) {
        load.value().add(self.more(Standing::Over).wrapping_neg());
        limit.connections().add(self.more(Standing::Open));
        half_open.value().add(self.more(Standing::HalfOpen));
    }
}

/// Writes a note into the maps.
#[inline(always)]
pub fn note<T: Tables>(tables: &T, note: Note) {
    if let Some(load) = tables.load(note.backend())
        && let Some(limit) = tables.limit(note.listener())
        && let Some(half_open) = tables.half_open(note.prefix())
    {
        note.write(load, limit, half_open);
    }
}
