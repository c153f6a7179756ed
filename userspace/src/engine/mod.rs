//! Where all sources of change meet: what is wanted, what is known of members, and the one way from there into both
//! layers.
//!
//! ```text
//! transition  what is wanted and what is served become a list of changes
//!   → layers    what both layers are asked: prepare, apply, take back      (front: what Layer 7 asks of the data path)
//!   → here      a change is made in both, or in none
//! standings   which members are well
//! ```
//!
//! A change is drafted ([`Drafter::draft`], on any thread: it checks, flattens, plans and has Layer 7 make ready), then
//! made ([`Engine::change`]). What is refused leaves everything as it was; what fails half-way is taken back, and if even
//! that fails, tried again until both layers have it ([`Engine::reconcile`]).
//!
//! Architecture invariant: nothing here knows a file, a wire format, a map or a socket; only `layers` names the layers.

pub mod front;
pub mod layers;
pub mod standings;
#[cfg(test)]
mod tests;
pub mod transition;

use std::{error::Error, fmt, net::SocketAddr, sync::Arc};

use model::{
    object::PoolId,
    plan::{Change, plan},
    served::Served,
};

use self::{
    layers::{Class, DataPath, Frontend, Preparer, Reason},
    standings::Standings,
    transition::{Desired, Transition, without},
};
use crate::health::checker::{Checker, Target};

/// A change that was not made.
#[derive(Debug)]
pub struct Refusal {
    /// What that means to the one who asked.
    pub class: Class,
    /// Why.
    pub reason: Box<dyn Error + Send + Sync>,
}

impl Refusal {
    fn new(reason: impl Reason) -> Self {
        Self { class: reason.class(), reason: Box::new(reason) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

/// The engine with its two layers.
pub struct Engine<D, L> {
    /// Layer 4.
    pub data_path: D,
    /// Layer 7.
    pub frontend: L,
    desired: Desired,
    served: Arc<Served>,
    standings: Standings,
    checker: Checker,
    /// How many changes were made. A draft is good for the next one only.
    revision: u64,
    /// Whether the data path may serve something else than both layers are to: before the first change what an earlier
    /// process had it serve, later what could not be taken back, which is tried again.
    is_behind: bool,
}

/// Drafts the next change.
pub struct Drafter<P> {
    now: Desired,
    served: Arc<Served>,
    preparer: P,
    revision: u64,
}

/// A change that can be made, if no other is made before.
pub struct Draft<P> {
    transition: Transition,
    prepared: P,
    revision: u64,
}

impl<P: Preparer> Drafter<P> {
    /// Drafts the first change, before there is a data path. `now` is this machine's settings without objects.
    pub fn first(now: Desired, preparer: P) -> Self {
        Self { now, served: Arc::default(), preparer, revision: 0 }
    }

    /// What is wanted now.
    pub fn now(&self) -> &Desired {
        &self.now
    }

    /// Works out how to get to `desired`, which was checked, and has Layer 7 make ready for it. May take long.
    ///
    /// # Errors
    /// Layer 7 cannot serve it.
    pub fn draft(self, desired: Desired) -> Result<Draft<P::Prepared>, Refusal> {
        let transition = Transition::new(&self.now.objects, self.served, desired);
        let prepared = self.preparer.prepare(&transition).map_err(Refusal::new)?;
        Ok(Draft { transition, prepared, revision: self.revision })
    }
}

impl<P> Draft<P> {
    /// How many steps it has.
    pub fn changes(&self) -> usize {
        self.transition.changes.len()
    }

    /// What shall be served.
    pub fn served(&self) -> &Served {
        &self.transition.after
    }
}

impl<D: DataPath, L: Frontend> Engine<D, L> {
    /// An engine over layers that serve nothing yet, or, the data path, what an earlier process had it serve. To be
    /// followed by the first change.
    pub fn new(data_path: D, frontend: L, desired: Desired, checker: Checker) -> Self {
        let standings = Standings::remembered(data_path.remembered());
        let served = Arc::new(data_path.served().clone());
        Self { data_path, frontend, desired, served, standings, checker, revision: 0, is_behind: true }
    }

    /// Drafts the next change.
    pub fn drafter(&self) -> Drafter<L::Preparer> {
        Drafter {
            now: self.desired.clone(),
            served: self.served.clone(),
            preparer: self.frontend.preparer(),
            revision: self.revision,
        }
    }

    /// Whether no other change was made since this one was drafted.
    pub fn accepts(&self, draft: &Draft<L::Prepared>) -> bool {
        draft.revision == self.revision
    }

    /// Makes a change in both layers, or in none. Returns how many steps that took.
    ///
    /// # Errors
    /// Another change was made since the draft, or a layer refuses or fails; all is as before.
    pub async fn change(&mut self, draft: Draft<L::Prepared>) -> Result<usize, Refusal> {
        self.change_after(draft, async { Ok(()) }).await
    }

    /// As [`Self::change`], once both layers are ready and `commit` has succeeded. If a layer fails after that, who has
    /// committed has to take it back.
    ///
    /// # Errors
    /// As [`Self::change`], or `commit` fails; all is as before.
    pub async fn change_after(
        &mut self,
        draft: Draft<L::Prepared>,
        commit: impl Future<Output = Result<(), Refusal>>,
    ) -> Result<usize, Refusal> {
        if !self.accepts(&draft) {
            return Err(Refusal {
                class: Class::Conflict,
                reason: "another change came first; try again".into(),
            });
        }
        let Draft { transition, prepared, revision: _ } = draft;
        let missing: Vec<Change>;
        let changes = match self.is_behind {
            true => {
                missing = plan(self.data_path.served(), &transition.after);
                &missing
            }
            false => &transition.changes,
        };
        self.data_path.prepare(&transition, changes).await.map_err(Refusal::new)?;
        commit.await?;
        let mut standings = self.standings.clone();
        let (asked, over) = standings.apply(&transition.changes);
        // First the sockets, then the packets for them.
        let applied = self.frontend.apply(prepared, &mut self.data_path).map_err(Refusal::new)?;
        if let Err(reason) = self.data_path.apply(&transition.desired, changes, &standings).await {
            self.frontend.undo(applied, &mut self.data_path);
            self.is_behind = true;
            self.reconcile().await;
            return Err(Refusal::new(reason));
        }
        self.frontend.commit(applied, &standings, &mut self.data_path);
        self.standings = standings;
        over.iter().for_each(|target| self.checker.stop(target));
        asked.into_iter().for_each(|(target, standing)| self.checker.start(target, standing));
        let steps = changes.len();
        self.is_behind = false;
        self.desired = transition.desired;
        self.served = transition.after;
        self.revision += 1;
        Ok(steps)
    }

    /// Has the data path serve what is to be served, if it does not: what could not be taken back is tried again. Whether
    /// it does now.
    pub async fn reconcile(&mut self) -> bool {
        if self.is_behind {
            let changes = plan(self.data_path.served(), &self.served);
            match self.data_path.apply(&self.desired, &changes, &self.standings).await {
                Ok(()) => self.is_behind = false,
                Err(error) => {
                    let error = Refusal::new(error);
                    tracing::error!("the data path is not as configured, and will be tried again: {error}");
                }
            }
        }
        !self.is_behind
    }

    /// Ends listeners that have drained, and brings the data path to where it is to be.
    pub async fn end_drained(&mut self) {
        let drained = self.frontend.drained();
        if !drained.is_empty() {
            self.served = Arc::new(without(&self.desired.objects, &self.served, &drained));
            self.revision += 1;
            self.is_behind = true;
        }
        self.reconcile().await;
    }

    /// Follows what the health checker has found out about these targets.
    ///
    /// # Errors
    /// The data path finds no room for a pool's new slots; that is tried again.
    pub fn note(&mut self, targets: &[Target]) -> Result<(), Refusal> {
        let members: Vec<(PoolId, SocketAddr)> = targets
            .iter()
            .flat_map(|target| {
                let standing = self.checker.standing(target).unwrap_or_default();
                self.standings.note(target, standing)
            })
            .collect();
        self.frontend.note(&members, &self.standings);
        self.data_path.note(&members, &self.standings).map_err(Refusal::new)
    }

    /// Whether every member that is checked has been.
    pub fn knows_health(&self) -> bool {
        self.standings.knows_all()
    }

    /// Has the data path do something by what is known of the members.
    pub fn with_standings<T>(&mut self, act: impl FnOnce(&mut D, &Standings) -> T) -> T {
        act(&mut self.data_path, &self.standings)
    }

    /// What is wanted.
    pub fn desired(&self) -> &Desired {
        &self.desired
    }

    /// What is served.
    pub fn served(&self) -> &Served {
        &self.served
    }
}
