//! Private keys from PEM. No error here says anything of a key but its kind.

use openssl::pkey::{PKey, Private};

use super::{
    error::PkiError,
    pem::{self, Block},
};

/// The private keys of a PEM file, of which there is at least one: RSA, PKCS#8 or EC, not encrypted.
///
/// # Errors
/// Why the file is not such; one line.
pub fn private_keys(file: &[u8]) -> Result<Vec<PKey<Private>>, PkiError> {
    let mut keys = Vec::new();
    for block in pem::blocks(file)? {
        match block.label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => keys.push(key(&block)?),
            "ENCRYPTED PRIVATE KEY" => return Err(PkiError::EncryptedKey { line: block.line }),
            "CERTIFICATE" | "EC PARAMETERS" => {}
            other => return Err(PkiError::NotAKey { label: other.into(), line: block.line }),
        }
    }
    if keys.is_empty() {
        return Err(PkiError::NoKey);
    }
    Ok(keys)
}

fn key(block: &Block<'_>) -> Result<PKey<Private>, PkiError> {
    if block.text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Err(PkiError::EncryptedKey { line: block.line });
    }
    // Without the callback, a key that is encrypted after all would be asked for on the terminal.
    let parsed = PKey::private_key_from_pem_callback(block.text.as_bytes(), |_| Ok(0));
    parsed.map_err(|_| PkiError::DamagedKey { label: block.label.into(), line: block.line })
}
