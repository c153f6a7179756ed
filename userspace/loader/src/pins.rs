//! Where programs, maps and links stay when the process that loaded them ends: a directory on a BPF file system, and in
//! it one directory `v<ABI>` for each version of what the maps hold, so that no process reads what another version
//! wrote.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use aya::maps::{MapData, MapError, MapInfo};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use thiserror::Error;

/// Whose pins a directory holds.
#[derive(Debug)]
pub struct Owner {
    /// Version of what the maps hold.
    pub abi: u32,
    /// The option that names another directory, as `--pin`.
    pub option: &'static str,
    /// What is to be said where nothing is pinned, as `nothing is loaded`.
    pub absent: &'static str,
    /// The command that pins something.
    pub start: &'static str,
    /// The place of a pin in the order in which all of them go; the lowest goes first.
    pub removal: fn(&str) -> usize,
}

/// A directory on a BPF file system.
#[derive(Clone, Debug)]
pub struct PinDir {
    root: PathBuf,
    owner: &'static Owner,
}

/// What is wrong with a directory or a pin in it.
#[derive(Debug, Error)]
pub enum PinError {
    /// Nothing can be pinned there.
    #[error(
        "{root} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a directory on \
         one with {option}"
    )]
    FileSystem {
        /// The directory.
        root: PathBuf,
        /// The option that names another.
        option: &'static str,
    },
    /// There is a BPF file system, and this process does not see it.
    #[error(
        "{root} is not on a BPF file system in this mount namespace, but it is on the host: `ip netns exec` hides it; \
         enter a network namespace with `nsenter --net=/run/netns/NAME {start}`"
    )]
    Hidden {
        /// The directory.
        root: PathBuf,
        /// The command that pins something.
        start: &'static str,
    },
    /// The file system has no such names.
    #[error("{root}: a BPF file system has no names with dots; name another directory with {option}")]
    Dot {
        /// The directory.
        root: PathBuf,
        /// The option that names another.
        option: &'static str,
    },
    /// Nothing is pinned there.
    #[error("{absent} at {root}: start it with `{start}`")]
    Absent {
        /// The directory.
        root: PathBuf,
        /// What there is none of.
        absent: &'static str,
        /// The command that pins something.
        start: &'static str,
    },
    /// The process may not look or change anything there.
    #[error("this needs root: {root} is root's")]
    Denied {
        /// The directory.
        root: PathBuf,
    },
    /// The file system refuses.
    #[error("cannot {act} {path}")]
    Io {
        /// What was to be done.
        act: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What it says.
        #[source]
        error: io::Error,
    },
    /// Not a map, or one that the kernel does not open.
    #[error("cannot open {path}")]
    Map {
        /// The pin.
        path: PathBuf,
        /// What is wrong.
        #[source]
        error: MapError,
    },
}

impl PinDir {
    /// Takes `root` as it is; see [`Self::make`].
    pub fn new(root: impl Into<PathBuf>, owner: &'static Owner) -> Self {
        Self { root: root.into(), owner }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where this version's pins are.
    pub fn version(&self) -> PathBuf {
        self.root.join(format!("v{}", self.owner.abi))
    }

    /// The pin of this name.
    pub fn path(&self, name: &str) -> PathBuf {
        self.version().join(name)
    }

    /// Names of this version's pins.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, PinError> {
        self.entries(&self.version())
    }

    /// Names of the pins of all versions.
    ///
    /// # Errors
    /// A directory cannot be read, or is hidden from this process.
    pub fn names_of_all_versions(&self) -> Result<Vec<String>, PinError> {
        let names = self.versions()?.into_iter().map(|version| self.entries(&version));
        Ok(names.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Where something is pinned, one directory for each version.
    ///
    /// # Errors
    /// The directory cannot be read, or is hidden from this process.
    pub fn versions(&self) -> Result<Vec<PathBuf>, PinError> {
        let is_version =
            |name: &String| name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
        let names = self.entries(&self.root)?;
        if names.is_empty() && self.is_hidden() {
            return Err(PinError::Hidden { root: self.root.clone(), start: self.owner.start });
        }
        Ok(names.into_iter().filter(is_version).map(|name| self.root.join(name)).collect())
    }

    /// Where other versions have pinned something.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn other_versions(&self) -> Result<Vec<PathBuf>, PinError> {
        let mut versions = self.versions()?;
        versions.retain(|version| *version != self.version());
        Ok(versions)
    }

    /// Makes the directory, if the file system is the right one.
    ///
    /// # Errors
    /// It is not on a BPF file system, or cannot be made.
    pub fn make(&self) -> Result<(), PinError> {
        if !self.is_on_bpffs().map_err(|error| self.failure("look at", &self.root, error))? {
            let Owner { option, start, .. } = *self.owner;
            let root = self.root.clone();
            return Err(match self.is_hidden() {
                true => PinError::Hidden { root, start },
                false => PinError::FileSystem { root, option },
            });
        }
        let version = self.version();
        fs::create_dir_all(&version).map_err(|error| self.failure("make", &version, error))
    }

    /// Whether the directory, or the nearest one around it that exists, is on a BPF file system.
    fn is_on_bpffs(&self) -> io::Result<bool> {
        let existing = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        Ok(statfs(existing)?.filesystem_type() == BPF_FS_MAGIC)
    }

    /// Whether the directory is on a BPF file system for the host's first process and not for this one, as `ip netns exec`
    /// makes it, which mounts another /sys.
    fn is_hidden(&self) -> bool {
        let mounts = || fs::read_to_string("/proc/1/mounts").unwrap_or_default();
        !self.is_on_bpffs().unwrap_or(true) && is_below_bpffs(&self.root, &mounts())
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    /// There is no such map, or the process may not.
    pub fn open_map(&self, name: &str) -> Result<MapData, PinError> {
        MapData::from_pin(self.path(name)).map_err(|error| self.map_failure(name, error))
    }

    /// What the kernel knows of a pinned map: the sizes of its keys, of its values and of itself.
    ///
    /// # Errors
    /// There is no such map, or the process may not.
    pub fn map_info(&self, name: &str) -> Result<MapInfo, PinError> {
        MapInfo::from_pin(self.path(name)).map_err(|error| self.map_failure(name, error))
    }

    /// What it means that one of the pins cannot be opened.
    pub fn cannot_open(&self, path: &Path, error: io::Error) -> PinError {
        match error.kind() {
            ErrorKind::NotFound => self.absent(),
            _ => self.failure("open", path, error),
        }
    }

    /// Removes this version's pins, and the directory if nothing else is in it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(&self) -> Result<(), PinError> {
        self.remove_version(&self.version())?;
        match fs::remove_dir(&self.root) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(self.failure("remove", &self.root, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the pins of other versions.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_other_versions(&self) -> Result<(), PinError> {
        self.other_versions()?.iter().try_for_each(|version| self.remove_version(version))
    }

    /// Removes the pins of every version, and the directory if nothing else is in it.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove_all_versions(&self) -> Result<(), PinError> {
        self.remove_other_versions()?;
        self.remove()
    }

    /// Removes a pin that may be gone already.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_pin(&self, path: &Path) -> Result<(), PinError> {
        unless_absent(fs::remove_file(path)).map_err(|error| self.failure("remove", path, error))
    }

    fn remove_version(&self, version: &Path) -> Result<(), PinError> {
        let mut names = self.entries(version)?;
        names.sort_by_key(|name| (self.owner.removal)(name));
        for name in names {
            self.remove_pin(&version.join(name))?;
        }
        unless_absent(fs::remove_dir(version)).map_err(|error| self.failure("remove", version, error))
    }

    /// Names of what is in a directory; none if there is no directory.
    fn entries(&self, directory: &Path) -> Result<Vec<String>, PinError> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| self.failure("read", directory, error))?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(|error| self.failure("read", directory, error))
    }

    fn absent(&self) -> PinError {
        let Owner { absent, start, .. } = *self.owner;
        let root = self.root.clone();
        match self.is_hidden() {
            true => PinError::Hidden { root, start },
            false => PinError::Absent { root, absent, start },
        }
    }

    fn failure(&self, act: &'static str, path: &Path, error: io::Error) -> PinError {
        match error.kind() {
            // What it says to root, too.
            ErrorKind::PermissionDenied if self.root.to_string_lossy().contains('.') => {
                PinError::Dot { root: self.root.clone(), option: self.owner.option }
            }
            ErrorKind::PermissionDenied => PinError::Denied { root: self.root.clone() },
            _ => PinError::Io { act, path: path.to_owned(), error },
        }
    }

    fn map_failure(&self, name: &str, error: MapError) -> PinError {
        match error {
            MapError::SyscallError(call) => self.cannot_open(&self.path(name), call.io_error),
            error => PinError::Map { path: self.path(name), error },
        }
    }
}

/// Whether a path is below a BPF file system of these mounts, as `/proc/<pid>/mounts` lists them.
fn is_below_bpffs(path: &Path, mounts: &str) -> bool {
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next(), fields.next());
        kind == Some("bpf") && point.is_some_and(|point| path.starts_with(point))
    })
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner {
        abi: 7,
        option: "--pins",
        absent: "nothing is there",
        start: "evenkeel-test start",
        removal: |name| usize::from(!name.starts_with("link_")),
    };

    /// An ordinary directory, in which files stand for pins.
    fn with_versions(versions: &[&str]) -> (tempfile::TempDir, PinDir) {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("pins");
        for version in versions {
            fs::create_dir_all(root.join(version)).unwrap();
            for name in ["ek_map", "link_eth0"] {
                fs::write(root.join(version).join(name), "").unwrap();
            }
        }
        (directory, PinDir::new(root, &OWNER))
    }

    #[test]
    fn a_directory_elsewhere_is_refused_with_the_way_out() {
        let error = PinDir::new("/proc/evenkeel", &OWNER).make().unwrap_err().to_string();
        assert_eq!(
            error,
            "/proc/evenkeel is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or name a \
             directory on one with --pins"
        );
    }

    #[test]
    fn what_another_mount_namespace_has_is_told_from_what_nobody_has() {
        let mounts = "sysfs /sys sysfs rw 0 0\nbpf /sys/fs/bpf bpf rw,relatime 0 0\n";
        assert!(is_below_bpffs(Path::new("/sys/fs/bpf/evenkeel"), mounts));
        assert!(!is_below_bpffs(Path::new("/sys/fs/bpf2"), mounts));
        assert!(!is_below_bpffs(Path::new("/sys/evenkeel"), mounts));
        assert!(!is_below_bpffs(Path::new("/sys/fs/bpf/evenkeel"), "none /sys/fs/bpf tmpfs rw 0 0\n"));
    }

    #[test]
    fn what_is_not_there_is_said_with_the_way_to_it() {
        let pins = PinDir::new("/nowhere", &OWNER);
        let error = pins.cannot_open(&pins.path("ek_map"), ErrorKind::NotFound.into());
        assert_eq!(error.to_string(), "nothing is there at /nowhere: start it with `evenkeel-test start`");
        let error = pins.cannot_open(&pins.path("ek_map"), ErrorKind::PermissionDenied.into());
        assert_eq!(error.to_string(), "this needs root: /nowhere is root's");
        assert!(pins.names().unwrap().is_empty() && pins.versions().unwrap().is_empty());
        pins.remove_all_versions().unwrap();
    }

    #[test]
    fn versions_are_told_from_other_directories() {
        let (_directory, pins) = with_versions(&["v7", "v8", "vlan", "lost+found"]);
        let mut names = pins.names().unwrap();
        names.sort();
        assert_eq!(names, ["ek_map", "link_eth0"]);
        assert_eq!(pins.other_versions().unwrap(), [pins.root().join("v8")]);
        pins.remove_other_versions().unwrap();
        assert_eq!(pins.versions().unwrap(), [pins.version()]);
        pins.remove_all_versions().unwrap();
        assert!(pins.versions().unwrap().is_empty());
        assert!(pins.root().join("vlan/ek_map").exists(), "what others have put there stays");
    }

    #[test]
    fn the_directory_goes_with_the_last_version() {
        let (_directory, pins) = with_versions(&["v7", "v8"]);
        pins.remove().unwrap();
        assert!(pins.root().exists());
        pins.remove_all_versions().unwrap();
        assert!(!pins.root().exists());
    }

    /// A directory stands for a pin that cannot be removed: what has gone before it was in front.
    #[test]
    fn pins_go_in_their_owners_order() {
        let (_directory, pins) = with_versions(&["v7"]);
        fs::create_dir(pins.path("a_map")).unwrap();
        assert!(
            matches!(pins.remove(), Err(PinError::Io { act: "remove", path, .. }) if path == pins.path("a_map"))
        );
        assert!(!pins.path("link_eth0").exists());
    }
}
