//! How progress is told: one line per step, a bar while something long runs, and logs only when it failed.
//!
//! `step` is a command that runs, `draw` is what is seen of it meanwhile, `count` is how far it says that it is.

use std::{
    fmt::Display,
    io::{self, Write},
    process::{Command, Output},
    sync::LazyLock,
    time::Duration,
};

use anyhow::Result;
use indicatif::MultiProgress;

mod count;
mod draw;
mod step;

pub use step::Step;

/// All bars; several steps may run at once.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// One line on stderr, above the bars: what, and what about it.
pub fn line(what: &str, detail: impl Display) {
    // A terminal that went away must not keep anybody from cleaning up.
    let _ = BARS.suspend(|| writeln!(io::stderr(), "{what:>14}  {detail}"));
}

/// Runs a command to its end, silently but for a bar when it takes long; its output explains a failure.
///
/// # Errors
/// If it cannot be started.
pub fn quietly(what: &str, message: &str, command: &mut Command) -> Result<Output> {
    Ok(Step::start(what, message, command)?.end()?.output)
}

/// A duration for people: `48 s`, `3 min 5 s`.
pub fn seconds(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

/// The last `count` lines of a command's stderr.
pub fn tail(output: &Output, count: usize) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}
