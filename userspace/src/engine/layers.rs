//! What the engine asks of the two layers. Neither knows the other, or where changes come from.

use std::{error::Error, net::SocketAddr};

use model::{
    object::PoolId,
    plan::Change,
    served::{ListenerKey, Served},
};

use super::{
    front::Steering,
    standings::{MemberHealth, Standings},
    transition::{Desired, Transition},
};

/// Why a layer cannot do something.
pub trait Reason: Error + Send + Sync + 'static {
    /// What that means to the one who asked.
    fn class(&self) -> Class;
}

/// What a refusal means to the one who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What was asked for can never be: it has to be something else (HTTP 400).
    Invalid,
    /// What was asked for contradicts something that is there (HTTP 409).
    Conflict,
    /// There is no room now, or the kernel refuses: it may be later (HTTP 503).
    Unavailable,
}

/// Layer 4: the data path.
pub trait DataPath: Steering<Error = <Self as DataPath>::Reason> {
    /// Why it cannot.
    type Reason: Reason;

    /// What the data path serves.
    fn served(&self) -> &Served;

    /// What it knows of members from before: its copy of an earlier process's standings.
    fn remembered(&self) -> Vec<(PoolId, SocketAddr, MemberHealth)>;

    /// Looks whether a transition can be made, and gets ready for it. `changes` are the steps from what [`Self::served`]
    /// says to what shall be.
    ///
    /// # Errors
    /// It cannot; nothing that packets see has changed.
    fn prepare(
        &mut self,
        transition: &Transition,
        changes: &[Change],
    ) -> impl Future<Output = Result<(), <Self as DataPath>::Reason>>;

    /// Makes these steps. Of members, `standings` know.
    ///
    /// # Errors
    /// The kernel refuses; [`Self::served`] says how far it came.
    fn apply(
        &mut self,
        desired: &Desired,
        changes: &[Change],
        standings: &Standings,
    ) -> impl Future<Output = Result<(), <Self as DataPath>::Reason>>;

    /// Takes note of members of which something else is known now.
    ///
    /// # Errors
    /// There is no room for new slots; that is tried again later.
    fn note(
        &mut self,
        members: &[(PoolId, SocketAddr)],
        standings: &Standings,
    ) -> Result<(), <Self as DataPath>::Reason>;
}

/// Layer 7: listeners that speak HTTP.
pub trait Frontend {
    /// Why it cannot.
    type Reason: Reason;
    /// What makes a transition ready, on any thread.
    type Preparer: Preparer<Reason = Self::Reason, Prepared = Self::Prepared> + Send + 'static;
    /// A transition that can be made.
    type Prepared: Send + 'static;
    /// A transition that was made and can be taken back.
    type Applied;

    /// What makes a transition ready, which must be the next one.
    fn preparer(&self) -> Self::Preparer;

    /// Makes a transition: new requests go by it from now on. Connections of listeners that go are still accepted.
    ///
    /// # Errors
    /// The kernel refuses something; all is as before.
    fn apply<S: Steering>(
        &mut self,
        prepared: Self::Prepared,
        steering: &mut S,
    ) -> Result<Self::Applied, Self::Reason>;

    /// The transition holds: listeners that go begin to drain, and new ones accept connections.
    fn commit<S: Steering>(&mut self, applied: Self::Applied, standings: &Standings, steering: &mut S);

    /// Takes a transition back.
    fn undo<S: Steering>(&mut self, applied: Self::Applied, steering: &mut S);

    /// Takes note of members of which something else is known now.
    fn note(&self, members: &[(PoolId, SocketAddr)], standings: &Standings);

    /// Listeners of which nothing drains any more, since the last call.
    fn drained(&mut self) -> Vec<ListenerKey>;
}

/// Makes a transition of Layer 7 ready: reads keys, builds tables, opens logs and sockets.
pub trait Preparer {
    /// Why it cannot.
    type Reason: Reason;
    /// What it makes.
    type Prepared;

    /// Makes ready all that a transition needs.
    ///
    /// # Errors
    /// What is missing or wrong; nothing has changed.
    fn prepare(self, transition: &Transition) -> Result<Self::Prepared, Self::Reason>;
}
