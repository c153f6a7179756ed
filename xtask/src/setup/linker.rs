//! bpf-linker, in the version whose default features load the compiler's own LLVM.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    progress::{self, Step},
    workspace,
};

const VERSION: &str = "0.10.3";

/// Nearly all of the work of linking is LLVM's, which is not compiled here.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// Where bpf-linker is; it is built from crates.io if it is not there.
///
/// # Errors
/// If it cannot be built.
pub fn ensure() -> Result<PathBuf> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let mut command = Command::new(workspace::cargo());
    command.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--quiet"]);
    command.envs(PROFILE.iter().copied());
    let built = Step::start("building", "bpf-linker", &mut command)?.end()?;
    if !built.output.status.success() {
        bail!(
            "`cargo install bpf-linker --version {VERSION} --locked` failed:\n{}",
            progress::tail(&built.output, 20)
        );
    }
    built.tell("bpf-linker");
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
