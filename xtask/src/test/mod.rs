//! `cargo xtask test`: every check, with its duration, and one summary.
//!
//! `checks` is the list, `tally` counts cargo's `test result:` lines, `summary` is what is said in the end; `toa_static` is
//! part of a check. `repeat` runs the network tests over and over, beside `hogs`.

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    progress,
    setup::{self, Need},
    workspace,
};

mod checks;
mod hogs;
mod repeat;
mod summary;
mod tally;
mod toa_static;

use checks::{CHECKS, Check, Rights, When};
pub use hogs::be_one as be_hog;
pub use repeat::{Repetition, run as repeat};
use summary::Summary;
use tally::Tally;

/// Which checks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that any user can run.
    Host,
    /// Those of CI.
    Usual,
    /// All.
    All,
}

impl Scope {
    fn has(self, check: &Check) -> bool {
        match self {
            Self::Host => check.when == When::Always && check.rights == Rights::Any,
            Self::Usual => check.when == When::Always,
            Self::All => true,
        }
    }
}

/// Runs the checks; fails if one of them fails, or if one that was asked for needs root and this is not root.
///
/// # Errors
/// If the BPF programs cannot be built, or a program is missing.
pub fn run(scope: Scope) -> Result<ExitCode> {
    match scope {
        Scope::Usual if workspace::is_root() => setup::ensure(Need::Test)?,
        Scope::All if workspace::is_root() => setup::ensure_all()?,
        _ => setup::ensure(Need::HostTest)?,
    }
    let start = Instant::now();
    let mut sum = Summary::default();
    for check in CHECKS.iter().filter(|check| scope.has(check)) {
        if check.rights == Rights::Root && !workspace::is_root() {
            sum.need_root.push(check.title);
        } else {
            sum.add(check.title, run_one(check)?);
        }
    }
    println!("\ntook {:.0} s", start.elapsed().as_secs_f32());
    print!("{sum}");
    Ok(if sum.tally.failed == 0 && sum.need_root.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(check: &Check) -> Result<Tally> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut logs = Vec::new();
    let mut notes = Vec::new();
    for arguments in check.commands {
        let mut command = std::process::Command::new(workspace::cargo());
        command.args(*arguments).current_dir(workspace::root()).envs(check.environment.iter().copied());
        let output = progress::quietly("running", check.title, &mut command)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let mut counted = Tally::of(&stdout);
        notes.extend(tally::notes(&stdout));
        if !output.status.success() {
            // What does not even compile, or is not well formatted, counts too.
            counted.failed = counted.failed.max(1);
            logs.push(tally::failures(&stdout, &String::from_utf8_lossy(&output.stderr)));
        }
        tally.add(counted);
    }
    if tally.failed == 0
        && let Some(Err(error)) = check.then.map(|then| then())
    {
        tally.failed = 1;
        logs.push(format!("{error:#}"));
    }
    let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
    let seconds = start.elapsed().as_secs_f32();
    progress::line(verdict, format_args!("{:<40} {seconds:>6.1} s{tally}", check.title));
    for note in notes {
        progress::line("", note);
    }
    for log in logs {
        eprintln!("{log}");
    }
    Ok(tally)
}
