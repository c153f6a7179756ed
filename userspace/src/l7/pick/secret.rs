//! The key that the balancer's cookies are signed with. Hosts that share it honour each other's cookies.

use std::{
    fmt, fs,
    io::{ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use openssl::{hash::MessageDigest, pkey::PKey, rand, sha, sign::Signer};

/// The fewest bytes that a file must have to be a secret.
const LEAST: usize = 32;

/// A key. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// From a file's contents; white space at its end does not count.
    ///
    /// # Errors
    /// It is too short to be a secret.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.trim_ascii_end();
        if bytes.len() < LEAST {
            return Err(format!(
                "has {} bytes; a secret needs {LEAST} or more, such as `openssl rand -hex 32` prints",
                bytes.len()
            ));
        }
        Ok(Self(sha::sha256(bytes)))
    }

    /// Reads a file; if there is none, makes one that only its owner can read.
    ///
    /// # Errors
    /// One line: it cannot be read or made, others may read it, or it is too short.
    pub fn load_or_make(path: &Path) -> Result<Self, String> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.mode() & 0o077 != 0 => {
                return Err(format!("{} may be read by others; chmod 600 it", path.display()));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::from_bytes(&bytes).map_err(|reason| format!("{} {reason}", path.display()))
    }

    /// A key of its own for one purpose.
    pub(super) fn derive(&self, purpose: &str) -> Self {
        Self(self.sign(purpose.as_bytes()).unwrap_or(self.0))
    }

    /// HMAC-SHA256 of a message; `None` if OpenSSL refuses.
    pub(super) fn sign(&self, message: &[u8]) -> Option<[u8; 32]> {
        let key = PKey::hmac(&self.0).ok()?;
        let mut code = [0; 32];
        let mut signer = Signer::new(MessageDigest::sha256(), &key).ok()?;
        signer.sign_oneshot(&mut code, message).ok()?;
        Some(code)
    }
}

/// Writes a new secret beside the file's place and puts it there in one step, so that nobody reads half of one.
fn make(path: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("{} cannot be made: {error}", path.display());
    let mut bytes = [0; LEAST];
    rand::rand_bytes(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| writeln!(file, "{text}"))
        // Not `rename`: if another process was faster, its secret stays.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => linked,
        });
    let removed = fs::remove_file(&draft);
    written.and(removed).map_err(cannot)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
