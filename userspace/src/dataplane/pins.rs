//! Where the data path is pinned: maps, links and the clock program under `<directory>/v<ABI>/`, so that they outlive
//! the process; and the lock that lets one process at a time look after them. Next: `load`.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read, Seek, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use aya::maps::{MapData, MapError};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};
use xdp_ebpf::abi::ABI_VERSION;

/// Where the data path is pinned if nobody says otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf/evenkeel";

const LINK: &str = "link_";
const EGRESS: &str = "egress_";
/// bpffs keeps dots in names for itself, and interfaces such as `eth0.7` have them.
const DOT: &str = "%2E";

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

    /// The directory, for messages.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The option that names this directory, with a blank in front; empty for the default directory.
    pub fn option(&self) -> String {
        match self.root == Path::new(DEFAULT) {
            true => String::new(),
            false => format!(" --pin-dir {}", self.root.display()),
        }
    }

    /// Where this version's pins are.
    pub fn version(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.version().join(name)
    }

    /// The pin of the link to an interface.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.version().join(format!("{LINK}{}", interface.replace('.', DOT)))
    }

    /// The pin of the link to what an interface sends.
    pub fn egress(&self, interface: &str) -> PathBuf {
        self.version().join(format!("{EGRESS}{}", interface.replace('.', DOT)))
    }

    /// The pin of the clock program.
    pub fn clock(&self) -> PathBuf {
        self.version().join("ek_clock")
    }

    /// The pin of the link that steers connections to Layer-7 listeners' sockets.
    pub fn steering(&self) -> PathBuf {
        self.version().join("steering")
    }

    /// Names of the interfaces that have a pinned link.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn linked(&self) -> Result<Vec<String>> {
        self.interfaces(LINK)
    }

    /// Names of the interfaces that have a pinned link to what they send.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_egress(&self) -> Result<Vec<String>> {
        self.interfaces(EGRESS)
    }

    fn interfaces(&self, prefix: &str) -> Result<Vec<String>> {
        let names = self.names()?;
        let names = names.iter().filter_map(|name| name.strip_prefix(prefix));
        Ok(names.map(|name| name.replace(DOT, ".")).collect())
    }

    /// Where a data path of another version is pinned, if one is.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn other_version(&self) -> Result<Option<PathBuf>> {
        let ours = self.version();
        Ok(self.versions()?.into_iter().find(|version| *version != ours))
    }

    /// Whether a data path of any version is pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn is_loaded(&self) -> Result<bool> {
        Ok(!self.versions()?.is_empty())
    }

    fn versions(&self) -> Result<Vec<PathBuf>> {
        let is_version =
            |name: &String| name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
        let names = directory(&self.root)?;
        Ok(names.into_iter().filter(is_version).map(|name| self.root.join(name)).collect())
    }

    /// Makes the directory, if the file system is the right one.
    ///
    /// # Errors
    /// It is not on a BPF file system, or cannot be made.
    pub fn prepare(&self) -> Result<()> {
        let existing = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let file_system =
            statfs(existing).with_context(|| format!("cannot look at {}", existing.display()))?;
        if file_system.filesystem_type() != BPF_FS_MAGIC {
            bail!(
                "{} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a directory on one with --pin-dir",
                self.root.display()
            );
        }
        let version = self.version();
        fs::create_dir_all(&version).with_context(|| format!("cannot make {}", version.display()))
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    /// There is no such map, or the process may not.
    pub fn open_map(&self, name: &str) -> Result<MapData> {
        MapData::from_pin(self.map(name)).map_err(|error| match &error {
            MapError::SyscallError(call) if call.io_error.kind() == ErrorKind::NotFound => anyhow::anyhow!(
                "nothing is loaded at {}: start it with `evenkeel run --config FILE`",
                self.root.display()
            ),
            MapError::SyscallError(call) if call.io_error.kind() == ErrorKind::PermissionDenied => {
                anyhow::anyhow!("this needs root: the maps at {} are root's", self.root.display())
            }
            _ => anyhow::anyhow!("cannot open {}: {error}", self.map(name).display()),
        })
    }

    /// Removes this version's pins, and with the links' pins the program from their interfaces.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<()> {
        remove_pins(&self.version())?;
        match fs::remove_dir(&self.root) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(error).with_context(|| format!("cannot remove {}", self.root.display()))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pins of every version.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_all_versions(&self) -> Result<()> {
        self.versions()?.iter().try_for_each(|version| remove_pins(version))?;
        self.remove()
    }

    /// Keeps other processes away from this directory for as long as the lock lives.
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self) -> Result<Lock> {
        let name = self.root.to_string_lossy().trim_matches('/').replace('/', "-");
        let path = PathBuf::from(format!("/run/evenkeel-{name}.lock"));
        loop {
            let lock = self.try_lock(&path)?;
            // The last holder may have removed the file after we opened it; then nobody else sees our lock.
            if fs::metadata(&path)
                .is_ok_and(|there| lock.metadata().is_ok_and(|ours| ours.ino() == there.ino()))
            {
                return Ok(Lock { file: lock, path });
            }
        }
    }

    fn try_lock(&self, path: &Path) -> Result<Flock<File>> {
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = match open {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("this needs root: {} is not writable", path.display())
            }
            open => open.with_context(|| format!("cannot open {}", path.display()))?,
        };
        let mut holder = String::new();
        file.read_to_string(&mut holder).with_context(|| format!("cannot read {}", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                lock.rewind()?;
                write!(lock, "{}", std::process::id())?;
                Ok(lock)
            }
            Err((_, Errno::EWOULDBLOCK)) => bail!(
                "another evenkeel (process {}) looks after {}: stop it first, forwarding goes on meanwhile",
                holder.trim(),
                self.root.display()
            ),
            Err((_, error)) => bail!("cannot lock {}: {error}", path.display()),
        }
    }

    fn names(&self) -> Result<Vec<String>> {
        directory(&self.version())
    }
}

/// Held by the one process that looks after a directory; its file goes with it.
pub struct Lock {
    #[allow(dead_code, reason = "the lock is released when the file is closed")]
    file: Flock<File>,
    path: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn directory(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", path.display()))?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes a pin that may be gone already.
///
/// # Errors
/// It cannot be removed.
pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn remove_pins(version: &Path) -> Result<()> {
    let mut names = directory(version)?;
    // Links first: no packet shall meet a program without its maps.
    names.sort_by_key(|name| !name.starts_with(LINK));
    for name in names {
        remove_if_there(&version.join(name))?;
    }
    match fs::remove_dir(version) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", version.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let pins = PinDir::new(format!("/nowhere/evenkeel-test-{}", std::process::id()));
        let Ok(lock) = pins.lock() else { return };
        let Err(error) = pins.lock() else { panic!("locked twice") };
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
        drop(lock);
        assert!(pins.lock().is_ok());
        assert!(
            !Path::new(&format!("/run/evenkeel-nowhere-evenkeel-test-{}.lock", std::process::id())).exists()
        );
    }

    #[test]
    fn map_names_fit_the_kernel() {
        assert!(xdp_ebpf::abi::map::ALL.iter().all(|name| name.len() <= 15));
    }

    #[test]
    fn a_directory_elsewhere_is_refused_with_the_way_out() {
        let error = PinDir::new("/proc/evenkeel").prepare().unwrap_err().to_string();
        assert!(error.contains("mount -t bpf"), "{error}");
    }
}
