//! `cargo xtask test`: every check, with its duration, and one summary.
//!
//! `checks` is the list, `tally` counts cargo's `test result:` lines.

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    progress,
    setup::{self, Need},
    workspace,
};

mod checks;
mod tally;

use checks::{CHECKS, Check, Rights};
use tally::Tally;

/// Which checks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that any user can run.
    Host,
    /// All.
    All,
}

/// Runs the checks; fails if one of them fails, or if one that was asked for needs root and this is not root.
///
/// # Errors
/// If the BPF programs cannot be built, or a program is missing.
pub fn run(scope: Scope) -> Result<ExitCode> {
    match scope {
        Scope::All if workspace::is_root() => setup::ensure(Need::Test)?,
        _ => setup::ensure(Need::Run)?,
    }
    let start = Instant::now();
    let mut sum = Tally::default();
    let mut failed = Vec::new();
    let mut skipped = Vec::new();
    for check in CHECKS.iter().filter(|check| scope == Scope::All || check.rights == Rights::Any) {
        if check.rights == Rights::Root && !workspace::is_root() {
            skipped.push(check.title);
            progress::line("skipped", check.title);
            continue;
        }
        let tally = run_one(check)?;
        if tally.failed > 0 {
            failed.push(check.title);
        }
        sum.add(tally);
    }
    summarize(sum, &failed, &skipped, start);
    Ok(if sum.failed == 0 && skipped.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_one(check: &Check) -> Result<Tally> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let mut logs = Vec::new();
    let mut notes = Vec::new();
    for arguments in check.commands {
        let mut command = std::process::Command::new(workspace::cargo());
        command.args(*arguments).current_dir(workspace::root());
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

fn summarize(sum: Tally, failed: &[&str], skipped: &[&str], start: Instant) {
    println!("\ntook {:.0} s", start.elapsed().as_secs_f32());
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    if !skipped.is_empty() {
        println!(
            "skipped: {}. They need root: run `sudo -E env \"PATH=$PATH\" cargo xtask test`, or ask for the others \
             only with `cargo xtask test --host-only`",
            skipped.join(", ")
        );
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
}
