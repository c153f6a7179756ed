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
    progress::Step,
    setup::{self, Need, Toolchain},
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
    setup::require_root("run")?;
    let program = build(Profile::Dev)?;
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
    setup::require_root("run")?;
    let program = build(Profile::Release)?;
    conditions::mount_bpffs()?;
    let error = Command::new(&program).arg("run").arg("--config").arg(config).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// How the binaries are compiled.
#[derive(Clone, Copy, Debug)]
enum Profile {
    /// Unoptimised, for the demo: compiled soonest, and the tests share what is compiled.
    Dev,
    /// Optimised.
    Release,
}

/// Builds the binaries, beside the BPF programs that they contain and what those are built with.
fn build(profile: Profile) -> Result<PathBuf> {
    setup::ensure_programs(Need::Run)?;
    let (options, directory): (&[&str], _) = match profile {
        Profile::Dev => (&[], "debug"),
        Profile::Release => (&["--release"], "release"),
    };
    let mut command = Command::new(workspace::cargo());
    command.args(["build", "--quiet", "--package", "evenkeel", "--package", "evenkeel-toa", "--bins"]);
    let toolchain = Toolchain::hold()?;
    let build = Step::start("building", "evenkeel", command.args(options).current_dir(workspace::root()))?;
    toolchain.find()?;
    let built = build.end()?;
    let log = String::from_utf8_lossy(&built.output.stderr);
    if !built.output.status.success() {
        bail!("evenkeel does not build:\n{log}");
    }
    eprint!("{log}");
    built.tell("evenkeel");
    Ok(workspace::target()?.join(directory).join("evenkeel"))
}
