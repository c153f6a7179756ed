//! `cargo xtask bench`: what the data path costs on this machine. The benchmark itself is `tests/bench/`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    setup::{self, Need},
    workspace,
};

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Subject {
    /// The Layer-4 data path: ns per packet above an empty XDP program.
    L4,
}

/// Builds and runs the benchmark; `arguments` are its own, as `-o json`.
///
/// # Errors
/// If this process is not root's, or the benchmark does not build.
pub fn run(subject: Subject, arguments: &[String]) -> Result<ExitCode> {
    if !workspace::is_root() {
        bail!("the benchmark loads BPF programs and makes network namespaces: run it as root");
    }
    setup::ensure(Need::Run)?;
    let name = match subject {
        Subject::L4 => "l4",
    };
    let mut command = Command::new(workspace::cargo());
    command.args(["bench", "--quiet", "--package", "testbed", "--bench", name, "--"]).args(arguments);
    let status = command.current_dir(workspace::root()).status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
