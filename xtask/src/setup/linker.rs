//! bpf-linker, in the version whose default features load the compiler's own LLVM.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

const VERSION: &str = "0.10.3";

/// Where bpf-linker is; it is built from crates.io if it is not there.
///
/// # Errors
/// If it cannot be built.
pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let mut command = Command::new(workspace::cargo());
    command.args(["install", "bpf-linker", "--version", VERSION, "--locked"]);
    let message = format!("building version {VERSION} (a minute or two)");
    let output = progress::quietly("bpf-linker", &message, &mut command)?;
    if !output.status.success() {
        bail!(
            "`cargo install bpf-linker --version {VERSION} --locked` failed:\n{}",
            progress::tail(&output, 20)
        );
    }
    find().context("cargo installed it, but not into its bin directory")
}

fn find() -> Option<PathBuf> {
    let on_path = workspace::program("bpf-linker");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let installed = home.map(|home| home.join("bin/bpf-linker"));
    on_path.into_iter().chain(installed).find(|file| is_right_version(file))
}

fn is_right_version(file: &Path) -> bool {
    let output = Command::new(file).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(VERSION))
}
