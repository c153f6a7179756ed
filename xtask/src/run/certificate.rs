//! The demo's certificate, which it issues itself.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::progress;

/// Whom it is for.
pub const NAME: &str = "demo.example";

const FILE: &str = "demo.crt";
const KEY: &str = "demo.key";

/// Makes it and its key in `directory`.
///
/// # Errors
/// If `openssl` fails.
pub fn make(directory: &Path) -> Result<()> {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    command.args(["-days", "30", "-subj", "/CN=Evenkeel demo", "-addext"]);
    command.arg(format!("subjectAltName=DNS:{NAME}")).arg("-out").arg(path(directory));
    command.arg("-keyout").arg(directory.join(KEY));
    let output = command.output().context("cannot run openssl")?;
    if !output.status.success() {
        bail!("openssl makes no certificate: {}", progress::tail(&output, 5));
    }
    Ok(())
}

/// Where it is, for clients to trust it.
pub fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// What the balancer's file says of it.
pub fn configuration() -> String {
    format!("[[certificate]]\nname = \"demo\"\ncertificate = \"{FILE}\"\nkey = \"{KEY}\"\n")
}
