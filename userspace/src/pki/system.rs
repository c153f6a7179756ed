//! The CAs that this host trusts, read once, when they are first needed.

use std::{
    fs,
    io::Write,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use openssl::x509::X509;

/// All of them. None if there is no such file where distributions have one, nor where `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` say; without the file, those of the directory. As Pingora's settings for a member have them.
pub fn authorities() -> Arc<Box<[X509]>> {
    static ALL: LazyLock<Arc<Box<[X509]>>> = LazyLock::new(|| Arc::new(read().into()));
    ALL.clone()
}

/// Path of a file with only one of them, if there is one. Pingora reads one for every listener, though whom a member is
/// trusted by goes with each connection: all of them are 2 MB and 20 ms. (Where `SSL_CERT_FILE` is set, OpenSSL still does.)
pub fn file_with_one() -> Option<String> {
    static ONE: LazyLock<Option<OwnedFd>> = LazyLock::new(|| {
        let pem = authorities().first()?.to_pem().ok()?;
        let mut file = fs::File::from(memfd_create("authority", MFdFlags::MFD_CLOEXEC).ok()?);
        file.write_all(&pem).ok()?;
        Some(file.into())
    });
    ONE.as_ref().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()))
}

fn read() -> Vec<X509> {
    let found = openssl_probe::probe();
    let files = match (found.cert_file, found.cert_dir) {
        (Some(file), _) => vec![file],
        (None, directory) => directory.map(files_of).unwrap_or_default(),
    };
    let pems = files.into_iter().filter_map(|file| fs::read(file).ok());
    pems.flat_map(|pem| X509::stack_from_pem(&pem).unwrap_or_default()).collect()
}

fn files_of(directory: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect()
}
