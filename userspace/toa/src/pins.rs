//! Where the receiver stays when this process ends: links and maps under `DIR/v<ABI>/`. What every directory of pins
//! can do is in `evenkeel-loader`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use aya::maps::Map;
use evenkeel_loader::{
    lock::{self, LockError, Patience},
    pins::{self, Owner, PinError},
};
use nix::fcntl::Flock;
use xdp_ebpf::receiver::{ABI_VERSION, map, program};

use crate::error::Error;

/// Where the receiver is pinned if nobody says otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf/evenkeel-toa";

/// Every map.
pub const MAPS: [&str; 3] = [map::CLIENT, map::TRUSTED, map::COUNTER];
/// Every link in the order in which it goes: first nothing new is read, then nothing is answered.
const LINKS: [&str; 3] = [program::READ, program::PEER4, program::PEER6];

static OWNER: Owner = Owner {
    abi: ABI_VERSION,
    option: "--pin",
    absent: "nothing is attached",
    start: "evenkeel-toa run --trusted CIDR --pin",
    removal: |name| LINKS.iter().position(|link| *link == name).unwrap_or(LINKS.len()),
};

/// The directory of the receiver.
#[derive(Clone, Debug)]
pub struct PinDir(pins::PinDir);

impl PinDir {
    /// Takes `root` as it is; see [`Self::prepare`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(pins::PinDir::new(root, &OWNER))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        self.0.root()
    }

    /// The pin of a link or map.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// Makes the directory and keeps other processes from changing it for as long as the lock lives.
    ///
    /// # Errors
    /// It is not on a BPF file system, or cannot be made.
    pub fn prepare(&self) -> Result<Lock, Error> {
        loop {
            self.0.make()?;
            match self.lock() {
                // A process that had the lock before has removed it.
                Err(Error::Pin(PinError::Absent { .. })) => {}
                locked => {
                    self.0.make()?;
                    return locked;
                }
            }
        }
    }

    /// Waits for other processes that change the directory.
    ///
    /// # Errors
    /// There is no such directory, or none any more.
    pub fn lock(&self) -> Result<Lock, Error> {
        lock::take(self.root(), Patience::Endless, |path| File::open(path)).map(Lock).map_err(|error| {
            match error {
                LockError::Open(error) => self.cannot_open(self.root(), error).into(),
                error => Error::Lock { root: self.root().to_owned(), error },
            }
        })
    }

    /// Opens a pinned map as what it is.
    ///
    /// # Errors
    /// There is none, or the process may not.
    pub fn open_map(&self, name: &str) -> Result<Map, Error> {
        Ok(Map::from_map_data(self.0.open_map(name)?)?)
    }

    /// What it means that one of the pins cannot be opened.
    pub fn cannot_open(&self, path: &Path, error: std::io::Error) -> PinError {
        self.0.cannot_open(path, error)
    }

    /// Whether a receiver of this version is attached.
    pub fn is_in_use(&self) -> bool {
        LINKS.iter().any(|name| self.path(name).exists())
    }

    /// Removes all pins, and with them the receiver.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<(), PinError> {
        self.remove_list()?;
        self.0.remove_all_versions()
    }

    /// Removes what other versions of the receiver have left.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_other_versions(&self) -> Result<(), PinError> {
        self.0.remove_other_versions()
    }

    /// Removes the list of connections, `DIR/connections`, that earlier receivers pinned: a tracing program, which many
    /// kernels refuse.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_list(&self) -> Result<(), PinError> {
        self.remove_pin(&self.root().join("connections"))
    }

    /// Removes a pin that may be gone already.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove_pin(&self, path: &Path) -> Result<(), PinError> {
        self.0.remove_pin(path)
    }
}

/// Held by the one process that changes a directory.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock is released when the file is closed")] Flock<File>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel() {
        assert!(MAPS.iter().chain(&LINKS).all(|name| name.len() <= 15));
    }

    #[test]
    fn links_go_before_maps_and_reading_before_answering() {
        let order = LINKS.map(OWNER.removal);
        assert!(order.is_sorted() && MAPS.iter().all(|map| (OWNER.removal)(map) > order[2]));
    }

    #[test]
    fn where_nothing_is_attached_there_is_nothing_to_lock() {
        let error = PinDir::new("/nowhere").lock().unwrap_err().to_string();
        assert_eq!(
            error,
            "nothing is attached at /nowhere: start it with `evenkeel-toa run --trusted CIDR --pin`"
        );
    }
}
