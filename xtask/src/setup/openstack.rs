//! OpenStack's command-line client in the target directory, where its test looks for it: nothing of it is ours.

use std::{fs, process::Command};

use anyhow::{Result, bail};

use crate::{progress, workspace};

const PACKAGES: [&str; 2] = ["python-openstackclient==10.5.0", "python-octaviaclient==3.15.0"];

/// Installs the client into a virtual environment if it is not there.
///
/// # Errors
/// There is no Python 3 that makes virtual environments, or the packages cannot be had.
pub fn ensure() -> Result<()> {
    let folder = workspace::target()?.join("openstack");
    let done = folder.join("done");
    let wanted = PACKAGES.join("\n");
    if fs::read_to_string(&done).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&folder);
    let made = progress::quietly("openstack", "making a virtual environment", &mut make)?;
    if !made.status.success() {
        bail!(
            "`python3 -m venv` failed; on Debian, python3-venv has what it needs:\n{}",
            progress::tail(&made, 20)
        );
    }
    let mut install = Command::new(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
    let installed =
        progress::quietly("openstack", &format!("installing {}", PACKAGES.join(", ")), &mut install)?;
    if !installed.status.success() {
        bail!("`pip install {}` failed:\n{}", PACKAGES.join(" "), progress::tail(&installed, 20));
    }
    // Last, so that it is there only if all is.
    fs::write(&done, wanted)?;
    Ok(())
}
