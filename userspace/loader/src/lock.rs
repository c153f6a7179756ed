//! One process at a time: a lock on a file or directory that its holder may remove.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use thiserror::Error;

/// What to do while another process holds the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Give up.
    None,
    /// Wait until it lets go.
    Endless,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// The file cannot be opened.
    #[error("cannot open the file to lock")]
    Open(#[source] io::Error),
    /// Another process holds it; here is the file.
    #[error("another process holds the lock")]
    Held(File),
    /// The kernel refuses.
    #[error("cannot lock the file")]
    Refused(#[source] Errno),
}

/// Locks what is at `path` when the lock is taken, for as long as the result lives. `open` opens what is there; it is
/// asked again if the last holder has removed that in the meantime, for nobody else would see a lock on it.
///
/// # Errors
/// What `open` says; another process has the lock and there is no patience; the kernel refuses.
pub fn take(
    path: &Path,
    patience: Patience,
    mut open: impl FnMut(&Path) -> io::Result<File>,
) -> Result<Flock<File>, LockError> {
    let how = match patience {
        Patience::None => FlockArg::LockExclusiveNonblock,
        Patience::Endless => FlockArg::LockExclusive,
    };
    loop {
        let file = open(path).map_err(LockError::Open)?;
        match Flock::lock(file, how) {
            Ok(lock) if is_at(path, &lock) => return Ok(lock),
            Ok(_) | Err((_, Errno::EINTR)) => {}
            Err((file, Errno::EWOULDBLOCK)) => return Err(LockError::Held(file)),
            Err((_, error)) => return Err(LockError::Refused(error)),
        }
    }
}

fn is_at(path: &Path, file: &File) -> bool {
    let (there, ours) = (fs::metadata(path), file.metadata());
    there.is_ok_and(|there| ours.is_ok_and(|ours| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let lock = take(directory.path(), Patience::None, |path| File::open(path)).unwrap();
        let second = take(directory.path(), Patience::None, |path| File::open(path));
        assert!(matches!(second, Err(LockError::Held(_))), "{second:?}");
        drop(lock);
        take(directory.path(), Patience::Endless, |path| File::open(path)).unwrap();
    }

    #[test]
    fn what_the_last_holder_removed_is_not_locked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let mut opened = 0;
        let lock = take(&path, Patience::Endless, |path| {
            let file = File::create(path)?;
            opened += 1;
            if opened == 1 {
                fs::remove_file(path)?;
            }
            Ok(file)
        });
        assert!(is_at(&path, &lock.unwrap()));
        assert_eq!(opened, 2);
        let gone = take(&path, Patience::Endless, |path| {
            let file = File::open(path)?;
            fs::remove_file(path)?;
            Ok(file)
        });
        assert!(matches!(gone, Err(LockError::Open(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
