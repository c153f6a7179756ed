//! Autobahn's WebSocket suite, in a virtual environment of Python in the target directory, where its test looks for it.

use std::process::Command;

use anyhow::{Result, bail};

use super::apt;
use crate::{progress, workspace};

const PACKAGE: &str = "autobahntestsuite==25.10.1";

/// Installs `wstest` if it is not there.
///
/// # Errors
/// If Python has no virtual environments, or the package cannot be had.
pub fn ensure() -> Result<()> {
    let environment = workspace::target()?.join("autobahn");
    if environment.join("bin/wstest").is_file() {
        return Ok(());
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    let mut made = progress::quietly("wstest", "making an environment for it", &mut make)?;
    // On Debian that is a package of its own.
    if !made.status.success() && apt::install(&["python3-venv"])? {
        made = progress::quietly("wstest", "making an environment for it", &mut make)?;
    }
    if !made.status.success() {
        bail!("`python3 -m venv` failed:\n{}", progress::tail(&made, 20));
    }
    let mut install = Command::new(environment.join("bin/pip"));
    install.args(["install", "--quiet", PACKAGE]);
    let installed = progress::quietly("wstest", &format!("installing {PACKAGE}"), &mut install)?;
    if !installed.status.success() {
        bail!("`pip install {PACKAGE}` failed:\n{}", progress::tail(&installed, 20));
    }
    Ok(())
}
