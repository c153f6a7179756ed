//! What Layer 7 asks of what is in front of it: that connections reach its sockets, and whether one more may come. The
//! data path answers both.

use std::{os::fd::BorrowedFd, sync::Arc};

use model::served::ListenerKey;

/// Brings connections to the sockets of listeners.
pub trait Steering {
    /// Why it cannot.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Lets connections to a listener reach this socket, which listens, from now on; in place of another, if there is
    /// one.
    ///
    /// # Errors
    /// There is no room, or the kernel refuses.
    fn steer(&mut self, key: &ListenerKey, socket: BorrowedFd<'_>) -> Result<(), Self::Error>;

    /// Lets no more connections reach a listener's socket.
    ///
    /// # Errors
    /// The kernel refuses.
    fn unsteer(&mut self, key: &ListenerKey) -> Result<(), Self::Error>;

    /// Who admits a listener's connections; nobody before the data path has the listener.
    fn admission(&self, key: &ListenerKey) -> Option<Arc<dyn Admission>>;
}

/// Says whether a listener may have one more connection.
pub trait Admission: Send + Sync {
    /// Counts a connection as open; not if there are as many as may be, which is counted as well.
    fn acquire(&self) -> bool;

    /// Counts one that was acquired as closed.
    fn release(&self);
}

/// A connection that was admitted: it counts until this is dropped.
pub struct Permit(Arc<dyn Admission>);

impl Permit {
    /// For one more connection; `None` if there are as many as may be.
    pub fn acquire(admission: &Arc<dyn Admission>) -> Option<Self> {
        admission.acquire().then(|| Self(admission.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.release();
    }
}
