//! Packages on Debian and what is made of it.

use std::process::Command;

use anyhow::Result;

use crate::{progress, workspace};

/// Whether packages can be installed: `apt-get` is there and this process is root's.
pub fn available() -> bool {
    workspace::is_root() && workspace::program("apt-get").is_some()
}

/// Fetches the package lists. Old ones may do, so it is not the end if that fails.
///
/// # Errors
/// If `apt-get` cannot be started.
pub fn update() -> Result<()> {
    let mut update = Command::new("apt-get");
    update.arg("update");
    progress::quietly("apt-get", "fetching package lists", &mut update).map(drop)
}

/// Installs packages, after fetching the package lists. Whether all of them are installed now; `false` also where
/// that is not possible.
///
/// # Errors
/// If `apt-get` cannot be started.
pub fn install(packages: &[&str]) -> Result<bool> {
    if !available() {
        return Ok(false);
    }
    update()?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    let output = progress::quietly("apt-get", &format!("installing {}", packages.join(" ")), &mut install)?;
    if !output.status.success() {
        progress::line("", format_args!("apt-get failed:\n{}", progress::tail(&output, 4)));
    }
    Ok(output.status.success())
}
