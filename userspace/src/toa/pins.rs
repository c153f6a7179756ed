//! Where the receiver stays when this process ends: links and maps under `DIR/v<ABI>/`, and the list of connections
//! as the text file `DIR/connections`.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use aya::maps::{Map, MapData, MapError};
use nix::{
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use xdp_ebpf::receiver::{ABI_VERSION, map, program};

/// Where the receiver is pinned if nobody says otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf/evenkeel-toa";

/// Every map.
pub const MAPS: [&str; 3] = [map::CLIENT, map::TRUSTED, map::COUNTER];
/// Every link in the order in which it goes: first nothing new is read, then nothing is answered.
const LINKS: [&str; 3] = [program::READ, program::PEER4, program::PEER6];

/// A directory on a BPF file system.
#[derive(Clone, Debug)]
pub struct PinDir {
    root: PathBuf,
}

impl PinDir {
    /// Takes `root` as it is; see [`Self::prepare`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pin of a link or map.
    pub fn path(&self, name: &str) -> PathBuf {
        self.version().join(name)
    }

    /// The list of connections.
    pub fn connections(&self) -> PathBuf {
        self.root.join("connections")
    }

    /// Makes the directory and keeps other processes from changing it for as long as the lock lives.
    ///
    /// # Errors
    /// It is not on a BPF file system, or cannot be made.
    pub fn prepare(&self) -> Result<Lock> {
        let existing = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        if statfs(existing)?.filesystem_type() != BPF_FS_MAGIC {
            bail!(
                "{} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a directory \
                 on one with --pin",
                self.root.display()
            );
        }
        fs::create_dir_all(self.version())
            .with_context(|| format!("cannot make {}", self.version().display()))?;
        self.lock()
    }

    /// Waits for other processes that change the directory.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn lock(&self) -> Result<Lock> {
        let directory = File::open(&self.root).map_err(|error| self.explain(error.kind(), &error))?;
        let lock = Flock::lock(directory, FlockArg::LockExclusive);
        lock.map(Lock).map_err(|(_, error)| anyhow!("cannot lock {}: {error}", self.root.display()))
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    /// There is none, or the process may not.
    pub fn open_map(&self, name: &str) -> Result<MapData> {
        MapData::from_pin(self.path(name)).map_err(|error| match &error {
            MapError::SyscallError(call) => self.explain(call.io_error.kind(), &error),
            _ => anyhow!("cannot open {}: {error}", self.path(name).display()),
        })
    }

    /// Opens a pinned map as what it is.
    ///
    /// # Errors
    /// As [`Self::open_map`].
    pub fn open_typed(&self, name: &str) -> Result<Map> {
        Ok(Map::from_map_data(self.open_map(name)?)?)
    }

    /// In one line what an error at one of the pins means.
    pub fn explain(&self, kind: ErrorKind, error: &dyn std::error::Error) -> anyhow::Error {
        match kind {
            ErrorKind::NotFound => anyhow!(
                "nothing is attached at {}: start it with `evenkeel-toa run --trusted CIDR --pin`",
                self.root.display()
            ),
            ErrorKind::PermissionDenied => {
                anyhow!("this needs root: {} is root's", self.root.display())
            }
            _ => anyhow!("cannot open what is pinned at {}: {error}", self.root.display()),
        }
    }

    /// Whether a receiver of this version is attached.
    pub fn is_in_use(&self) -> bool {
        LINKS.iter().any(|name| self.path(name).exists())
    }

    /// Removes all pins, and with them the receiver.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        unless_absent(fs::remove_file(self.connections()))
            .map_err(|error| self.explain(error.kind(), &error))?;
        for version in self.versions()? {
            remove_version(&version)?;
        }
        remove_directory(&self.root)
    }

    /// Removes what other versions of the receiver have left.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_other_versions(&self) -> Result<()> {
        let others = self.versions()?.into_iter().filter(|version| *version != self.version());
        others.into_iter().try_for_each(|version| remove_version(&version))
    }

    fn version(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    fn versions(&self) -> Result<Vec<PathBuf>> {
        let paths = entries(&self.root)?;
        Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
    }
}

/// Held by the one process that changes a directory.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock is released when the file is closed")] Flock<File>);

fn remove_version(version: &Path) -> Result<()> {
    for name in LINKS {
        remove_file(&version.join(name))?;
    }
    for path in entries(version)? {
        remove_file(&path)?;
    }
    remove_directory(version)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", directory.display()))?,
    };
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn remove_file(path: &Path) -> Result<()> {
    unless_absent(fs::remove_file(path)).with_context(|| format!("cannot remove {}", path.display()))
}

fn remove_directory(path: &Path) -> Result<()> {
    unless_absent(fs::remove_dir(path)).with_context(|| format!("cannot remove {}", path.display()))
}

fn unless_absent(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel() {
        assert!(MAPS.iter().chain(&LINKS).chain([&program::LIST]).all(|name| name.len() <= 15));
    }

    #[test]
    fn a_directory_elsewhere_is_refused_with_the_way_out() {
        let error = PinDir::new("/proc/evenkeel-toa").prepare().unwrap_err().to_string();
        assert!(error.contains("mount -t bpf"), "{error}");
    }
}
