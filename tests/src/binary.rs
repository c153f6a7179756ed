//! The project's own programs, freshly built: a test of another package cannot depend on a binary, and a stale one
//! would prove nothing.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::namespace::output;

/// Where the programs are already, in a guest that has no cargo.
const BUILT: &str = "TESTBED_PROGRAMS";

/// Builds the package `name` in the profile of this test and returns the path of its binary, which has the same name.
///
/// # Errors
/// If it does not build.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(directory) = env::var_os(BUILT) {
        return Ok(Path::new(&directory).join(name));
    }
    let test = env::current_exe()?;
    // target/debug/deps/network-…
    let directory = test.parent().and_then(Path::parent).context("a test outside of any target directory")?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", name, "--bin", name]);
    if directory.ends_with("release") {
        command.arg("--release");
    }
    // `cargo xtask` asks for progress, which would be in the way in an error.
    command.env("CARGO_TERM_PROGRESS_WHEN", "never").current_dir(env!("CARGO_MANIFEST_DIR"));
    output(command)?;
    Ok(directory.join(name))
}
