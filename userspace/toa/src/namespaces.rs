//! The network namespaces of this host: the kernel lists a socket only in its own.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{NSFS_MAGIC, fstatfs};

use crate::error::Error;

/// Where namespaces have names, for `ip netns` and for programs that open sockets in one without moving there.
const NAMED: &str = "/run/netns";

/// Visits each network namespace once that a process in `/proc` is in, or that has a name in `/run/netns`. How many
/// there are besides: of processes that even root may not look into.
///
/// # Errors
/// What `visit` says, or a directory cannot be read.
pub fn each(mut visit: impl FnMut(&Path, &File) -> Result<(), Error>) -> Result<usize, Error> {
    let (mut visited, mut of_processes, mut denied) = (HashSet::new(), HashSet::new(), HashSet::new());
    for process in entries("/proc")? {
        // Each namespace has a file of its own here, and nobody is kept from it. What is no process has none.
        let Ok(device_list) = fs::metadata(process.join("net/dev")) else { continue };
        if of_processes.contains(&device_list.ino()) {
            continue;
        }
        let path = process.join("ns/net");
        match open(&path) {
            Ok(Some((number, namespace))) => {
                of_processes.insert(device_list.ino());
                visited.insert(number);
                visit(&path, &namespace)?;
            }
            Ok(None) => {}
            Err(_) => {
                denied.insert(device_list.ino());
            }
        }
    }
    for path in entries(NAMED)? {
        if let Some((number, namespace)) = open(&path).map_err(Error::io("open", &path))?
            && visited.insert(number)
        {
            visit(&path, &namespace)?;
        }
    }
    Ok(denied.difference(&of_processes).count())
}

/// What is in a directory; nothing if there is no directory.
fn entries(directory: &str) -> Result<impl Iterator<Item = PathBuf>, Error> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.map_err(Error::io("read", directory))?),
    };
    Ok(entries.into_iter().flatten().flatten().map(|entry| entry.path()))
}

/// A namespace and its number. `None` if it is gone with its process, or if the file is no namespace.
fn open(path: &Path) -> io::Result<Option<(u64, File)>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound || !path.parent().is_some_and(Path::exists) => {
            return Ok(None);
        }
        file => file?,
    };
    let is_namespace = fstatfs(&file)?.filesystem_type() == NSFS_MAGIC;
    Ok(if is_namespace { Some((file.metadata()?.ino(), file)) } else { None })
}
