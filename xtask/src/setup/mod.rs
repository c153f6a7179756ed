//! `cargo xtask setup`: what the BPF programs are built with, and the programs that build, tests and demo run.
//!
//! `ways` knows the toolchains that can build for BPF, `build` tries a way on the real programs and writes what worked
//! for `userspace/loader/build.rs` to read; `crates` installs bpf-linker and cargo-deny; `programs` and `apt` are the
//! rest; `autobahn` is a suite and `openstack` a client of PyPI.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::{progress, workspace};

mod apt;
mod autobahn;
mod build;
mod crates;
mod openstack;
mod programs;
mod ways;

pub use programs::Need;

/// Sets up everything and says what was found.
///
/// # Errors
/// If the BPF programs cannot be built here.
pub fn report(all: bool) -> Result<ExitCode> {
    let missing = programs::ensure(Need::Test)?;
    openstack::ensure()?;
    let recorded = Toolchain::hold()?.find()?;
    progress::line("BPF toolchain", format_args!("{}; it builds the BPF programs", recorded.way));
    progress::line("recorded in", build::record_file()?.display());
    if missing.is_empty() {
        progress::line("programs", "all that build, demo and tests run are there");
    } else {
        progress::line("programs", format_args!("missing: {}", missing.join(", ")));
        progress::line("", programs::advice(&missing));
    }
    if all {
        extras()?;
        progress::line("for test --all", "wstest and cargo-deny are there");
    }
    progress::line("next", "cargo xtask run (the demo), cargo xtask test (every check)");
    Ok(ExitCode::SUCCESS)
}

/// Sets up what a task needs, silently if it is there.
///
/// # Errors
/// If the BPF programs cannot be built here, or if a program is missing and cannot be installed.
pub fn ensure(need: Need) -> Result<()> {
    ensure_programs(need)?;
    if need == Need::Test {
        openstack::ensure()?;
    }
    Toolchain::hold()?.find()?;
    Ok(())
}

/// Installs the programs that a task needs, silently if they are there.
///
/// # Errors
/// If one is missing and cannot be installed.
pub fn ensure_programs(need: Need) -> Result<()> {
    let missing = programs::ensure(need)?;
    if !missing.is_empty() {
        bail!("missing: {}. {}", missing.join(", "), programs::advice(&missing));
    }
    Ok(())
}

/// Fetches the package lists anew.
///
/// # Errors
/// If `apt-get` cannot be started.
pub fn update_packages() -> Result<()> {
    apt::update()
}

/// Sets up what `test --all` needs.
///
/// # Errors
/// As [`ensure`], or if wstest or cargo-deny cannot be installed.
pub fn ensure_all() -> Result<()> {
    ensure(Need::Test)?;
    extras()
}

fn extras() -> Result<()> {
    autobahn::ensure()?;
    crates::ensure(&crates::CARGO_DENY)?;
    Ok(())
}

/// What compiles the BPF programs. A build of the workspace may be started as soon as it is held: its crates compile
/// meanwhile, and those that need the BPF programs wait.
#[derive(Debug)]
pub struct Toolchain(build::Hold);

impl Toolchain {
    /// Waits for another task that holds it.
    ///
    /// # Errors
    /// If the target directory cannot be written to.
    pub fn hold() -> Result<Self> {
        build::Hold::new().map(Self)
    }

    /// The recorded toolchain if it still builds the BPF programs; else the first way that does.
    ///
    /// # Errors
    /// If the BPF programs cannot be built here.
    pub fn find(self) -> Result<build::Recorded> {
        let recorded = build::recorded()?;
        if let Some(recorded) = recorded {
            match build::attempt(&recorded) {
                Ok(()) => return Ok(recorded),
                Err(failure) if build::is_own_mistake(&failure) => bail!(
                    "the BPF programs do not compile.\n{failure}\nIf the toolchain changed instead, remove {} and run \
                     this again.",
                    build::record_file()?.display()
                ),
                Err(_) => progress::line("BPF toolchain", format_args!("{} fails now", recorded.way)),
            }
        }
        let mut log = String::new();
        let present = ways::present();
        if let Some(recorded) = self.first_that_builds(&present, &mut log)? {
            return Ok(recorded);
        }
        for install in ways::INSTALLATIONS {
            if present.iter().any(|way| way.kind == install.kind) || !install.attempt()? {
                continue;
            }
            let new: Vec<_> = ways::present().into_iter().filter(|way| way.kind == install.kind).collect();
            if let Some(recorded) = self.first_that_builds(&new, &mut log)? {
                return Ok(recorded);
            }
        }
        if log.is_empty() {
            bail!("no Rust toolchain here can build for BPF. {}", ways::ADVICE);
        }
        bail!("the BPF programs do not build here.\n{log}\n{}", ways::ADVICE)
    }

    fn first_that_builds(&self, ways: &[ways::Way], log: &mut String) -> Result<Option<build::Recorded>> {
        for way in ways {
            let linker =
                crates::ensure(&crates::BPF_LINKER).context("bpf-linker, which links the BPF programs")?;
            progress::line("BPF toolchain", format_args!("trying {}", way.name));
            let recorded = build::command(way, &linker)?;
            match build::attempt(&recorded) {
                Ok(()) => {
                    self.0.record(&recorded)?;
                    return Ok(Some(recorded));
                }
                Err(failure) => {
                    progress::line("", "it does not build them; looking further");
                    log.push_str(&format!("With {}:\n{failure}\n", way.name));
                }
            }
        }
        Ok(None)
    }
}

/// One clear line if this process is not root's.
///
/// # Errors
/// Then.
pub fn require_root(task: &str) -> Result<()> {
    if workspace::is_root() {
        return Ok(());
    }
    bail!(
        "{task} needs root, for network namespaces and XDP: run `sudo -E env \"PATH=$PATH\" cargo xtask {task}`"
    )
}
