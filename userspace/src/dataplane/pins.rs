//! Where the data path is pinned: maps, links and the clock program under `<directory>/v<ABI>/`, so that they outlive
//! the process; and the lock that lets one process at a time look after them. What every directory of pins can do is
//! in `evenkeel-loader`. Next: `load`.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Seek, Write},
    path::{Path, PathBuf},
};

use aya::maps::{MapData, MapInfo};
use evenkeel_loader::{
    lock::{self, LockError, Patience},
    pins::{self, Owner, PinError},
};
use nix::fcntl::Flock;
use xdp_ebpf::abi::ABI_VERSION;

use crate::dataplane::error::{Context, Result, unfit};

/// Where the data path is pinned if nobody says otherwise.
pub const DEFAULT: &str = "/sys/fs/bpf/evenkeel";

const LINK: &str = "link_";
const EGRESS: &str = "egress_";
const FILTER: &str = "filter_";
/// bpffs keeps dots in names for itself, and interfaces such as `eth0.7` have them.
const DOT: &str = "%2E";

static OWNER: Owner = Owner {
    abi: ABI_VERSION,
    option: "--pin-dir",
    absent: "nothing is loaded",
    start: "evenkeel run --config FILE",
    // Links first: no packet shall meet a program without its maps.
    removal: |name| usize::from(!name.starts_with(LINK)),
};

/// The directory of the data path.
#[derive(Clone, Debug)]
pub struct PinDir(pins::PinDir);

impl PinDir {
    /// Takes `root` as it is; see [`Self::prepare`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(pins::PinDir::new(root, &OWNER))
    }

    /// The directory, for messages.
    pub fn root(&self) -> &Path {
        self.0.root()
    }

    /// The option that names this directory, with a blank in front; empty for the default directory.
    pub fn option(&self) -> String {
        match self.root() == Path::new(DEFAULT) {
            true => String::new(),
            false => format!(" --pin-dir {}", self.root().display()),
        }
    }

    /// The pin of a map.
    pub fn map(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    /// The pin of the link to an interface.
    pub fn link(&self, interface: &str) -> PathBuf {
        self.0.path(&format!("{LINK}{}", interface.replace('.', DOT)))
    }

    /// The pin of the link to what an interface sends.
    pub fn egress(&self, interface: &str) -> PathBuf {
        self.0.path(&format!("{EGRESS}{}", interface.replace('.', DOT)))
    }

    /// The pin of the program in the filter of what an interface sends.
    pub fn filter(&self, interface: &str) -> PathBuf {
        self.0.path(&format!("{FILTER}{}", interface.replace('.', DOT)))
    }

    /// The pin of the clock program.
    pub fn clock(&self) -> PathBuf {
        self.0.path("ek_clock")
    }

    /// The pin of the link that steers connections to Layer-7 listeners' sockets.
    pub fn steering(&self) -> PathBuf {
        self.0.path("steering")
    }

    /// Where a new link for steering is pinned until it takes the place of [`Self::steering`].
    pub fn next_steering(&self) -> PathBuf {
        self.0.path("steering_new")
    }

    /// The pin of the link that tells of frames that the kernel could not send.
    pub fn not_sent(&self) -> PathBuf {
        self.0.path("not_sent")
    }

    /// Where a new link of that kind is pinned until it takes the place of [`Self::not_sent`].
    pub fn next_not_sent(&self) -> PathBuf {
        self.0.path("not_sent_new")
    }

    /// Names of the interfaces that have a pinned link.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn linked(&self) -> Result<Vec<String>> {
        Ok(interfaces(&self.0.names()?, LINK))
    }

    /// Names of the interfaces that have a pinned link to what they send.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_egress(&self) -> Result<Vec<String>> {
        Ok(interfaces(&self.0.names()?, EGRESS))
    }

    /// The pins of all links.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn links(&self) -> Result<Vec<PathBuf>> {
        let on_interfaces = self.linked()?.into_iter().map(|name| self.link(&name));
        let egress = self.with_egress()?.into_iter().map(|name| self.egress(&name));
        let others = [self.steering(), self.not_sent()].into_iter().filter(|path| path.exists());
        Ok(on_interfaces.chain(egress).chain(others).collect())
    }

    /// Names of the interfaces that have a filter of what they send.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_filter(&self) -> Result<Vec<String>> {
        Ok(interfaces(&self.0.names()?, FILTER))
    }

    /// The same of every version.
    ///
    /// # Errors
    /// A directory cannot be read.
    pub fn with_filter_of_any_version(&self) -> Result<Vec<String>> {
        Ok(interfaces(&self.0.names_of_all_versions()?, FILTER))
    }

    /// Where a data path of another version is pinned, if one is.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn other_version(&self) -> Result<Option<PathBuf>> {
        Ok(self.0.other_versions()?.into_iter().next())
    }

    /// Whether a data path of any version is pinned.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn is_loaded(&self) -> Result<bool> {
        Ok(!self.0.versions()?.is_empty())
    }

    /// Makes the directory, if the file system is the right one.
    ///
    /// # Errors
    /// It is not on a BPF file system, or cannot be made.
    pub fn prepare(&self) -> Result<(), PinError> {
        self.0.make()
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    /// There is no such map, or the process may not.
    pub fn open_map(&self, name: &str) -> Result<MapData, PinError> {
        self.0.open_map(name)
    }

    /// The sizes of a pinned map.
    ///
    /// # Errors
    /// As [`Self::open_map`].
    pub fn map_info(&self, name: &str) -> Result<MapInfo, PinError> {
        self.0.map_info(name)
    }

    /// Removes this version's pins, and with the links' pins the program from their interfaces.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<(), PinError> {
        self.0.remove()
    }

    /// Removes the pins of every version.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_all_versions(&self) -> Result<(), PinError> {
        self.0.remove_all_versions()
    }

    /// Removes a pin that may be gone already.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove_pin(&self, path: &Path) -> Result<(), PinError> {
        self.0.remove_pin(path)
    }

    /// Keeps other processes away from this directory for as long as the lock lives.
    ///
    /// # Errors
    /// Another process has it.
    pub fn lock(&self) -> Result<Lock> {
        let name = self.root().to_string_lossy().trim_matches('/').replace('/', "-");
        let path = PathBuf::from(format!("/run/evenkeel-{name}.lock"));
        let open =
            |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = match lock::take(&path, Patience::None, open) {
            Err(LockError::Held(holder)) => unfit!(
                "another evenkeel (process {}) looks after {}: stop it first, forwarding goes on meanwhile",
                io::read_to_string(holder).with_context(|| format!("cannot read {}", path.display()))?.trim(),
                self.root().display()
            ),
            Err(LockError::Open(error)) if error.kind() == ErrorKind::PermissionDenied => {
                unfit!("this needs root: {} is not writable", path.display())
            }
            taken => taken.with_context(|| path.display().to_string())?,
        };
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "{}", std::process::id())?;
        Ok(Lock { file, path })
    }
}

/// The interfaces that pins with this prefix are for.
fn interfaces(names: &[String], prefix: &str) -> Vec<String> {
    names.iter().filter_map(|name| name.strip_prefix(prefix)).map(|name| name.replace(DOT, ".")).collect()
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
}
