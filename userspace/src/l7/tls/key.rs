//! Private keys from PEM. No error here says anything of a key but its kind.

use anyhow::{Result, anyhow, bail};
use openssl::pkey::{PKey, Private};

use super::pem::{self, Block};

/// The private keys of a PEM file, of which there is at least one: RSA, PKCS#8 or EC, not encrypted.
///
/// # Errors
/// Why the file is not such; one line.
pub fn private_keys(file: &[u8]) -> Result<Vec<PKey<Private>>> {
    let mut keys = Vec::new();
    for block in pem::blocks(file)? {
        match block.label {
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => keys.push(key(&block)?),
            "ENCRYPTED PRIVATE KEY" => return Err(encrypted(&block)),
            "CERTIFICATE" | "EC PARAMETERS" => {}
            other => bail!(
                "a {other} on line {}; use a PRIVATE KEY (PKCS#8), RSA PRIVATE KEY or EC PRIVATE KEY",
                block.line
            ),
        }
    }
    if keys.is_empty() {
        bail!("has no private key; name the file that the key of the certificate is in");
    }
    Ok(keys)
}

fn key(block: &Block<'_>) -> Result<PKey<Private>> {
    if block.text.lines().any(|line| line.starts_with("Proc-Type:") && line.contains("ENCRYPTED")) {
        return Err(encrypted(block));
    }
    // Without the callback, a key that is encrypted after all would be asked for on the terminal.
    let parsed = PKey::private_key_from_pem_callback(block.text.as_bytes(), |_| Ok(0));
    parsed.map_err(|_| {
        anyhow!("the {} on line {} is damaged or of an unknown kind; copy it again", block.label, block.line)
    })
}

fn encrypted(block: &Block<'_>) -> anyhow::Error {
    anyhow!(
        "the private key on line {} is encrypted, and nobody is there to be asked for the passphrase; store it \
         without one: `openssl pkey -in ENCRYPTED -out KEY`",
        block.line
    )
}
