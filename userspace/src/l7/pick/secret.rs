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
    /// From a file's contents; a newline at its end does not count.
    ///
    /// # Errors
    /// It is too short to be a secret.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
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

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use super::*;

    /// A directory that is removed when dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("evenkeel-secret-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn one_is_made_once_and_only_for_its_owner() {
        let directory = Directory::new("made");
        let path = directory.0.join("state/cookie.secret");
        let first = Secret::load_or_make(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 65);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no draft is left");
        assert!(Secret::load_or_make(&path).unwrap() == first);
        let other = Secret::load_or_make(&directory.0.join("other")).unwrap();
        assert!(other != first);
    }

    #[test]
    fn what_is_refused() {
        let directory = Directory::new("refused");
        let path = directory.0.join("secret");
        fs::write(&path, "x".repeat(31) + "\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let name = path.display();
        let short = "has 31 bytes; a secret needs 32 or more, such as `openssl rand -hex 32` prints";
        assert_eq!(Secret::load_or_make(&path).err().unwrap(), format!("{name} {short}"));
        fs::write(&path, "x".repeat(32)).unwrap();
        assert!(Secret::load_or_make(&path).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let open = format!("{name} may be read by others; chmod 600 it");
        assert_eq!(Secret::load_or_make(&path).err().unwrap(), open);
        assert!(Secret::load_or_make(&directory.0).is_err());
    }

    #[test]
    fn it_is_never_shown() {
        let secret = Secret::from_bytes(&[b'k'; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    /// RFC 4231's second test case; a change would end everybody's stickiness.
    #[test]
    fn signatures_are_hmac_sha256() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let code = Secret(key).sign(b"what do ya want for nothing?").unwrap();
        let digits: String = code.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
