//! The key that private keys are sealed with: XChaCha20-Poly1305, each with a nonce of its own, bound to the object that it
//! belongs to.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    AeadCore, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, OsRng, Payload},
};

use super::StoreError;

const NONCE: usize = 24;
const KEY: usize = 32;

/// Seals and opens.
pub(super) struct Key {
    cipher: XChaCha20Poly1305,
    path: PathBuf,
}

impl Key {
    /// The key in this file, which is made if it is not there: for its owner only.
    pub(super) fn at(path: &Path) -> Result<Self, StoreError> {
        let file = |error| StoreError::File { path: path.into(), error };
        let refuse = |reason: String| StoreError::Key { path: path.into(), reason };
        match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => make(path).map_err(file)?,
            Err(error) => return Err(file(error)),
            Ok(metadata) if metadata.mode() & 0o077 != 0 => {
                return Err(refuse(format!(
                    "others may read it (mode {:o}); chmod 600",
                    metadata.mode() & 0o777
                )));
            }
            Ok(_) => {}
        }
        let bytes = fs::read(path).map_err(file)?;
        let cipher = XChaCha20Poly1305::new_from_slice(&bytes)
            .map_err(|_| refuse(format!("it has {} bytes and not {KEY}", bytes.len())))?;
        Ok(Self { cipher, path: path.into() })
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What only this key opens, for what `name` stands for.
    pub(super) fn seal(&self, name: &str, secret: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce = XChaCha20Poly1305::generate_nonce(&mut OsRng);
        let sealed = self.cipher.encrypt(&nonce, Payload { msg: secret, aad: name.as_bytes() });
        Ok([nonce.as_slice(), &sealed.map_err(|_| StoreError::TooLarge)?].concat())
    }

    /// What was sealed for `name`; `None` if it was not, or by another key.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
        self.cipher.decrypt(XNonce::from_slice(nonce), Payload { msg: sealed, aad: name.as_bytes() }).ok()
    }
}

/// Makes one. It is whole or not there.
fn make(path: &Path) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&XChaCha20Poly1305::generate_key(&mut OsRng))?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
