//! Objects of the API and traces of what was done to them, at rest.
//!
//! ```text
//! here     what a store is asked: commit at a revision, list, read traces
//!   → sqlite   one file on this host                    (key: what private keys are sealed with)
//! copy         a copy of that for another day, and back
//! ```
//!
//! Architecture invariant: a store knows rows by kind and id; what is in them, only `api` knows.

pub mod copy;
mod key;
pub mod sqlite;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use thiserror::Error;
use uuid::Uuid;

/// One object at rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What kind of object: a word that `api` chose.
    pub kind: String,
    /// Its id; no two rows of a kind have the same.
    pub id: Uuid,
    /// What is known of it but its secret: text that `api` reads.
    pub body: String,
    /// What nobody else may read, such as a private key; sealed in the file.
    pub secret: Option<Vec<u8>>,
}

/// What was done, by whom and with which outcome (OTC guide, section 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its own.
    pub id: Uuid,
    /// When the request came, in milliseconds since 1970.
    pub time: u64,
    /// Its name, such as `create loadbalancer` (table 9-1).
    pub name: String,
    /// The kind of the object, such as `loadbalancer`.
    pub resource_type: String,
    /// The object, if the request came so far as to name one.
    pub resource_id: Option<Uuid>,
    /// The object's name.
    pub resource_name: String,
    /// Whose it is.
    pub project: String,
    /// Who asked.
    pub user: String,
    /// `normal`, `warning` or `incident`.
    pub rating: String,
    /// All of it, as it is shown: JSON.
    pub body: String,
}

/// What one transaction does: all of it, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Rows that are there afterwards.
    pub put: Vec<Row>,
    /// Rows that are not, by kind and id.
    pub remove: Vec<(String, Uuid)>,
    /// What is written down about it.
    pub traces: Vec<Trace>,
}

/// Which traces; whatever is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceFilter {
    /// Of this name.
    pub name: Option<String>,
    /// About this kind of object.
    pub resource_type: Option<String>,
    /// About this object.
    pub resource_id: Option<String>,
    /// About objects of this name.
    pub resource_name: Option<String>,
    /// By this user.
    pub user: Option<String>,
    /// Of this rating.
    pub rating: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Not earlier, in milliseconds since 1970.
    pub from: Option<u64>,
    /// Not later.
    pub to: Option<u64>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// Where objects and traces rest.
pub trait Store: Send {
    /// How many transactions have changed objects so far.
    fn revision(&self) -> u64;

    /// Every object, at [`Self::revision`].
    ///
    /// # Errors
    /// The store cannot be read.
    fn list(&self) -> Result<Vec<Row>, StoreError>;

    /// Makes a change if nothing else was changed since `revision`, and returns the revision that it makes. What was
    /// returned from here survives a loss of power.
    ///
    /// # Errors
    /// Something else was changed, or the store cannot be written to; nothing has changed.
    fn commit(&mut self, revision: u64, change: &Change) -> Result<u64, StoreError>;

    /// Traces, the newest first.
    ///
    /// # Errors
    /// The store cannot be read.
    fn traces(&self, filter: &TraceFilter) -> Result<Vec<Trace>, StoreError>;

    /// Forgets traces of before `time`, in milliseconds since 1970.
    ///
    /// # Errors
    /// The store cannot be written to.
    fn forget_traces(&mut self, time: u64) -> Result<(), StoreError>;
}

/// Why a store cannot be used; one line, with what to do.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file is not what a store writes, or parts of it are lost.
    #[error(
        "{path:?} is damaged: {reason}; put a copy back with `evenkeel store restore FILE`, or move it and its -wal and -shm away and begin without objects of the API"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// Another process has it.
    #[error("{path:?} is in use by a daemon; stop that first")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// Another program's database.
    #[error("{path:?} is another program's database; name another directory with --state-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later release wrote it.
    #[error(
        "{path:?} has the layout {found}, and this version knows {known}; start the later version again, or put back a copy from before"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The latest that this version knows.
        known: u32,
    },
    /// The key file is not one.
    #[error(
        "{path:?} is not the key that the store's private keys are sealed with: {reason}; put back the one that belongs to the store"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read or written.
    #[error("{path:?}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The database says no, such as for lack of room on the disk.
    #[error("the store cannot be used: {0}")]
    Database(#[from] rusqlite::Error),
    /// A secret has more bytes than the cipher takes, 2³⁸.
    #[error("a secret is too large to be sealed")]
    TooLarge,
    /// Another change came first.
    #[error("the store is at revision {found}, not {expected}: something else writes to it")]
    Revision {
        /// Where the store is.
        found: u64,
        /// Where it was thought to be.
        expected: u64,
    },
}
