//! The cgroup whose processes get the client's address.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::fd::{AsFd, BorrowedFd},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};
use thiserror::Error;

/// Why there is no cgroup to attach to.
#[derive(Debug, Error)]
pub enum CgroupError {
    /// No file has this path.
    #[error("there is no cgroup {0}")]
    Absent(PathBuf),
    /// Something else has.
    #[error("{0} is not a directory of cgroup2")]
    NotCgroup(PathBuf),
    /// It cannot be looked at.
    #[error("cannot open the cgroup {path}")]
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
    /// The kernel does not tell what is mounted.
    #[error("cannot read /proc/mounts")]
    Mounts(#[source] io::Error),
    /// There are no cgroups at all.
    #[error(
        "cgroup2 is not mounted: mount it with `mount -t cgroup2 cgroup2 /sys/fs/cgroup`, or name a directory of it \
         with --cgroup"
    )]
    NotMounted,
}

/// A cgroup of cgroup2, open.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    directory: File,
    id: u64,
}

impl Cgroup {
    /// Opens the cgroup at `path`.
    ///
    /// # Errors
    /// It is not one.
    pub fn open(path: &Path) -> Result<Self, CgroupError> {
        let unreadable = |error| CgroupError::Unreadable { path: path.to_owned(), error };
        let directory = File::open(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => CgroupError::Absent(path.to_owned()),
            _ => unreadable(error),
        })?;
        let metadata = directory.metadata().map_err(unreadable)?;
        let file_system = fstatfs(&directory).map_err(|error| unreadable(error.into()))?;
        if file_system.filesystem_type() != CGROUP2_SUPER_MAGIC || !metadata.is_dir() {
            return Err(CgroupError::NotCgroup(path.to_owned()));
        }
        Ok(Self { path: path.to_owned(), directory, id: metadata.ino() })
    }

    /// Opens the root: every process of the host, those in containers included.
    ///
    /// # Errors
    /// cgroup2 is not mounted.
    pub fn root() -> Result<Self, CgroupError> {
        Self::open(&root()?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kernel's number for it.
    pub fn id(&self) -> u64 {
        self.id
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The path of the cgroup with this number, if it can be found.
pub fn path_of(id: u64) -> Option<PathBuf> {
    let mut left = vec![root().ok()?];
    while let Some(path) = left.pop() {
        if fs::metadata(&path).is_ok_and(|metadata| metadata.ino() == id) {
            return Some(path);
        }
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        left.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    None
}

fn root() -> Result<PathBuf, CgroupError> {
    let mounts = fs::read_to_string("/proc/mounts").map_err(CgroupError::Mounts)?;
    mount_point(&mounts).ok_or(CgroupError::NotMounted)
}

/// The first mount of cgroup2. Mount points with blanks are escaped in the list; cgroup2's have none.
fn mount_point(mounts: &str) -> Option<PathBuf> {
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.find_map(|fields| match fields[..] {
        [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_beside_version_1() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        assert_eq!(mount_point(hybrid).unwrap(), Path::new("/sys/fs/cgroup/unified"));
        assert_eq!(mount_point("proc /proc proc rw 0 0\n"), None);
    }

    #[test]
    fn other_directories_are_refused() {
        let error = Cgroup::open(Path::new("/proc")).unwrap_err().to_string();
        assert_eq!(error, "/proc is not a directory of cgroup2");
        let error = Cgroup::open(Path::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(error, "there is no cgroup /nowhere");
    }
}
