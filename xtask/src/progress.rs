//! How progress is told: one line per step, a spinner while something long runs, and logs only when it failed.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    process::{Command, Output},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};

/// What ends sooner needs no word.
const PATIENCE: Duration = Duration::from_secs(1);

/// One line on stderr: what, and what about it.
pub fn line(what: &str, detail: impl Display) {
    // A terminal that went away must not keep anybody from cleaning up.
    let _ = writeln!(io::stderr(), "{what:>14}  {detail}");
}

/// Runs a command to its end, silently but for a spinner when it takes long; its output is for whoever explains a
/// failure.
///
/// # Errors
/// If it cannot be started.
pub fn quietly(what: &str, message: &str, command: &mut Command) -> Result<Output> {
    thread::scope(|scope| {
        let (finished, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let spinner = spinner(what, message);
                let _ = wait.recv();
                spinner.finish_and_clear();
            }
        });
        let output = command.output();
        drop(finished);
        output.with_context(|| format!("cannot run {}", command.get_program().display()))
    })
}

fn spinner(what: &str, message: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        line(what, message);
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix:>14}  {msg} {spinner} {elapsed}");
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = style {
        spinner.set_style(style);
    }
    spinner.set_prefix(what.to_owned());
    spinner.set_message(message.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// The last `count` lines of a command's stderr.
pub fn tail(output: &Output, count: usize) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}
