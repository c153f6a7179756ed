//! `cargo xtask test`: every check, with its duration, and one summary.
//!
//! `checks` is the list, `tally` counts cargo's `test result:` lines, `report` is what one check found, `summary` what is
//! said in the end; `arm64` and `toa_static` are parts of checks, and so is `crate::kernels`. `repeat` runs the network tests over and over, beside `hogs`.

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    progress,
    setup::{self, Need},
    workspace,
};

mod arm64;
mod checks;
mod hogs;
mod repeat;
mod report;
mod summary;
pub mod tally;
mod toa_static;

use checks::{CHECKS, Check, Rights, When};
pub use hogs::be_one as be_hog;
pub use repeat::{Repetition, run as repeat};
pub use report::Report;
pub use summary::Summary;
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
            let start = Instant::now();
            let report = run_one(check)?;
            report.tell(check.title, start);
            sum.add(check.title, report.tally);
        }
    }
    println!("\ntook {:.0} s", start.elapsed().as_secs_f32());
    print!("{sum}");
    Ok(if sum.tally.failed == 0 && sum.need_root.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(check: &Check) -> Result<Report> {
    let mut found = Report::default();
    for arguments in check.commands {
        let mut command = std::process::Command::new(workspace::cargo());
        command.args(*arguments).current_dir(workspace::root()).envs(check.environment.iter().copied());
        let output = progress::quietly("running", check.title, &mut command)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let mut report = Report { tally: Tally::of(&stdout), notes: tally::notes(&stdout), logs: Vec::new() };
        if !output.status.success() {
            // What does not even compile, or is not well formatted, counts too.
            report.tally.failed = report.tally.failed.max(1);
            report.logs.push(tally::failures(&stdout, &String::from_utf8_lossy(&output.stderr)));
        }
        found.add(report);
    }
    if found.tally.failed == 0
        && let Some(then) = check.then
    {
        found.add(then().unwrap_or_else(|error| Report {
            tally: Tally { passed: 0, failed: 1 },
            logs: vec![format!("{error:#}")],
            ..Report::default()
        }));
    }
    Ok(found)
}
