//! Programs that cargo builds from crates.io.

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

/// One of them, in the only version that will do.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    version: &'static str,
}

/// Their own work is little: nearly all of linking is LLVM's, which is not compiled here.
const PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "false"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
];

/// What links BPF programs, in the version whose default features load the compiler's own LLVM.
pub const BPF_LINKER: Program = Program { name: "bpf-linker", version: "0.10.3" };
/// Checks licences and sources of dependencies.
pub const CARGO_DENY: Program = Program { name: "cargo-deny", version: "0.20.2" };

/// Where a program is; it is built from crates.io if it is not there.
///
/// # Errors
/// If it cannot be built.
pub fn ensure(program: &Program) -> Result<PathBuf> {
    if let Some(found) = find(program) {
        return Ok(found);
    }
    let Program { name, version } = program;
    let mut command = Command::new(workspace::cargo());
    command.args(["install", name, "--version", version, "--locked", "--quiet"]);
    command.envs(PROFILE.iter().copied());
    let built = Step::start("building", name, &mut command)?.end()?;
    if !built.output.status.success() {
        bail!(
            "`cargo install {name} --version {version} --locked` failed:\n{}",
            progress::tail(&built.output, 20)
        );
    }
    built.tell(name);
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
