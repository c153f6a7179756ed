//! `cargo xtask run`: the balancer at work, in a demo network or on this host's interfaces.
//!
//! `conditions` are what it needs of this machine, `demo` is the network and what goes on in it, `receiver`
//! shows some backends the client, `certificate` is for its HTTPS listener, `traffic` is the requests, `table` what is
//! shown.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};

use crate::{
    setup::{self, Need},
    workspace,
};

mod certificate;
mod conditions;
mod demo;
mod receiver;
mod table;
mod traffic;

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// With what this machine lacks, or what went wrong.
pub fn demo() -> Result<ExitCode> {
    conditions::check()?;
    setup::ensure(Need::Run)?;
    let program = build()?;
    demo::run(&program)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the balancer with this configuration on the host's own interfaces; it takes this process's place.
///
/// # Errors
/// With what this machine lacks, or what went wrong.
pub fn on_this_host(config: &Path) -> Result<ExitCode> {
    let config =
        config.canonicalize().with_context(|| format!("no configuration at {}", config.display()))?;
    conditions::check()?;
    setup::ensure(Need::Run)?;
    let program = build()?;
    conditions::mount_bpffs()?;
    let error = Command::new(&program).arg("run").arg("--config").arg(config).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Builds the release binaries, with cargo's own progress.
fn build() -> Result<PathBuf> {
    let mut command = Command::new(workspace::cargo());
    command.args(["build", "--release", "--package", "evenkeel", "--package", "evenkeel-toa", "--bins"]);
    let status = command.current_dir(workspace::root()).status().context("cannot run cargo")?;
    if !status.success() {
        bail!("evenkeel does not build; see above");
    }
    Ok(workspace::target()?.join("release/evenkeel"))
}
