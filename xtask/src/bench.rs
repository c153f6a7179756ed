//! `cargo xtask bench`: what Evenkeel costs on this machine. The benchmarks themselves are in `tests/bench/`.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
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
    /// Layer 7 beside nginx and HAProxy: rates, latencies, processor time and memory.
    L7,
    /// A change of the configuration in the engine: one weight, a thousand in a row, the whole file.
    Change,
    /// The TOA receiver at a backend: connections accepted per second, with it over without it.
    Toa,
}

/// Builds and runs the benchmark; `arguments` are its own, as `-o json`.
///
/// # Errors
/// If this process is not root's, or the benchmark does not build.
pub fn run(subject: Subject, arguments: &[String]) -> Result<ExitCode> {
    let (name, need) = match subject {
        Subject::Change => ("change", Need::Run),
        Subject::L4 => ("l4", Need::Run),
        Subject::L7 => ("l7", Need::Bench),
        Subject::Toa => ("toa", Need::Test),
    };
    if !matches!(subject, Subject::Change) {
        setup::require_root(&format!("bench {name}"))?;
    }
    setup::ensure(need)?;
    let mut command = Command::new(workspace::cargo());
    command.args(["bench", "--quiet", "--package", "testbed", "--bench", name, "--"]).args(arguments);
    let status = command.current_dir(workspace::root()).status().context("cannot run cargo")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
