//! Programs that cargo builds from crates.io.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

/// One of them, in the only version that will do.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    version: &'static str,
    /// How long it takes, for people.
    takes: &'static str,
}

/// What links BPF programs, in the version whose default features load the compiler's own LLVM.
pub const BPF_LINKER: Program = Program { name: "bpf-linker", version: "0.10.3", takes: "a minute or two" };
/// Checks licences and sources of dependencies.
pub const CARGO_DENY: Program = Program { name: "cargo-deny", version: "0.20.2", takes: "several minutes" };

/// Where a program is; it is built from crates.io if it is not there.
///
/// # Errors
/// If it cannot be built.
pub fn ensure(program: &Program) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    let Program { name, version, takes } = program;
    let mut command = Command::new(workspace::cargo());
    command.args(["install", name, "--version", version, "--locked"]);
    let output = progress::quietly(name, &format!("building version {version} ({takes})"), &mut command)?;
    if !output.status.success() {
        bail!("`cargo install {name} --version {version} --locked` failed:\n{}", progress::tail(&output, 20));
    }
    find(program).context("cargo installed it, but not into its bin directory")
}

fn find(program: &Program) -> Option<PathBuf> {
    let on_path = workspace::program(program.name);
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    let installed = home.map(|home| home.join("bin").join(program.name));
    on_path.into_iter().chain(installed).find(|file| is_right_version(file, program.version))
}

fn is_right_version(file: &Path, version: &str) -> bool {
    let output = Command::new(file).arg("--version").output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim().ends_with(version))
}
