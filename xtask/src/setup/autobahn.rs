//! Autobahn's WebSocket suite in the target directory, where its test looks for it.
//!
//! It is a program for Python 2.7, its newest release (25.10.1) too, though that can be installed by Python 3.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

const PACKAGE: &str = "autobahntestsuite==0.8.2";

/// Installs `wstest` if it is not there.
///
/// # Errors
/// There is no Python 2.7 with pip, or the package cannot be had.
pub fn ensure() -> Result<()> {
    let folder = workspace::target()?.join("autobahn");
    let wstest = folder.join("bin/wstest");
    if wstest.is_file() {
        return Ok(());
    }
    let python = python().context(
        "Autobahn's WebSocket suite needs Python 2.7 with pip, which Debian has no package of: put python2.7 on the path, \
         or install it by pyenv",
    )?;
    let packages = folder.join("packages");
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&packages).arg(PACKAGE);
    let installed = progress::quietly("wstest", &format!("installing {PACKAGE}"), &mut install)?;
    if !installed.status.success() {
        bail!("`pip install {PACKAGE}` failed:\n{}", progress::tail(&installed, 20));
    }
    let script = format!(
        "#!{python}\nimport site, sys\nsite.addsitedir({packages:?})\nfrom autobahntestsuite.wstest import run\nsys.exit(run())\n",
        packages = packages.display(),
        python = python.display(),
    );
    // Last, so that it is there only if all is.
    fs::create_dir_all(folder.join("bin"))?;
    fs::write(&wstest, script)?;
    fs::set_permissions(&wstest, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// A Python 2.7 that works, on the path or among pyenv's.
fn python() -> Option<PathBuf> {
    let root = env::var_os("PYENV_ROOT").map(PathBuf::from);
    let root = root.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv")));
    let versions = root.and_then(|root| fs::read_dir(root.join("versions")).ok());
    let of_pyenv = versions.into_iter().flatten().flatten().map(|entry| entry.path().join("bin/python2.7"));
    let works = |python: &PathBuf| {
        let output = Command::new(python).args(["-m", "pip", "--version"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    workspace::program("python2.7").into_iter().chain(of_pyenv.filter(|file| file.is_file())).find(works)
}
