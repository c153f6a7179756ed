//! What the API's threads and the daemon's loop share.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use model::{id::ListenerId, object::PoolId};
use tokio::sync::{mpsc, oneshot};

use super::{
    error::Fault,
    state::State,
    stats::{Counted, Stats},
    view::Health,
    write::Write,
};
use crate::store::{Store, StoreError};

/// What the daemon's loop is asked.
pub enum Message {
    /// To make a change.
    Write(Write),
    /// What is known of the members of these pools.
    Health(Vec<PoolId>, oneshot::Sender<Health>),
    /// What these listeners have had to do; or why that cannot be said.
    Stats(HashSet<ListenerId>, oneshot::Sender<Result<Counted, String>>),
}

/// How many writes may wait.
pub const WAITING: usize = 1024;

/// What the threads share.
pub struct Shared {
    state: ArcSwap<State>,
    messages: mpsc::Sender<Message>,
    store: Mutex<Box<dyn Store>>,
}

impl Shared {
    /// Beginning with this state; the loop takes the messages.
    pub fn new(state: State, store: Box<dyn Store>) -> (Arc<Self>, mpsc::Receiver<Message>) {
        let (messages, receiver) = mpsc::channel(WAITING);
        (Arc::new(Self { state: ArcSwap::from_pointee(state), messages, store: Mutex::new(store) }), receiver)
    }

    /// What is true now.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Something else is true now.
    pub fn set_state(&self, state: Arc<State>) {
        self.state.store(state);
    }

    /// Does something with the store. It waits for the disk: not on a thread that has other things to do.
    ///
    /// # Errors
    /// The store's.
    pub fn with_store<T>(
        &self,
        act: impl FnOnce(&mut dyn Store) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        act(&mut **self.store.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the loop a message.
    ///
    /// # Errors
    /// So many wait that another has no room, or the daemon is ending.
    pub(super) fn send(&self, message: Message) -> Result<(), Fault> {
        self.messages.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Fault::unavailable("Too many requests wait; try again."),
            mpsc::error::TrySendError::Closed(_) => Fault::unavailable("The daemon is ending."),
        })
    }

    /// What is known of the members of these pools.
    ///
    /// # Errors
    /// The daemon is ending.
    pub(super) async fn health(&self, pools: Vec<PoolId>) -> Result<Health, Fault> {
        if pools.is_empty() {
            return Ok(Health::new());
        }
        let (reply, answer) = oneshot::channel();
        self.send(Message::Health(pools, reply))?;
        answer.await.map_err(|_| Fault::unavailable("The daemon is ending."))
    }

    /// What these listeners have had to do together.
    ///
    /// # Errors
    /// The counters cannot be read, or the daemon is ending.
    pub(super) async fn stats(&self, listeners: HashSet<ListenerId>) -> Result<Stats, Fault> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Stats(listeners, reply))?;
        let counted = answer.await.map_err(|_| Fault::unavailable("The daemon is ending."))?;
        let counted =
            counted.map_err(|reason| Fault::unavailable(format!("Counters cannot be read: {reason}.")))?;
        let mut sum = Stats::default();
        counted.values().for_each(|stats| sum.add(stats));
        Ok(sum)
    }
}
