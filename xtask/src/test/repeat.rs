//! `cargo xtask test --repeat N`: the network tests over and over, for those that fail now and then.

use std::{collections::BTreeMap, fmt::Write, fs, process::Command, process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use comfy_table::{Table, presets};

use super::{checks::NETWORK, hogs::Hogs, tally};
use crate::{
    progress,
    setup::{self, Need},
    workspace,
};

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Repetition {
    /// Rounds.
    pub rounds: u32,
    /// Beside processes that keep the processors busy.
    pub load: bool,
    /// A part of the names of the wanted tests; of all, if empty.
    pub only: String,
}

/// Runs them and prints which failed how often; the logs of rounds with failures are kept in `target/repeat/`.
///
/// # Errors
/// This process is not root's, the tests do not build, or a log cannot be written.
pub fn run(wanted: &Repetition) -> Result<ExitCode> {
    setup::require_root("test --repeat")?;
    setup::ensure(Need::Test)?;
    let words = NETWORK.commands.first().copied().unwrap_or_default();
    let mut build = Command::new(workspace::cargo());
    build.args(words).arg("--no-run").current_dir(workspace::root());
    let built = progress::quietly("building", NETWORK.title, &mut build)?;
    if !built.status.success() {
        bail!("the network tests do not build:\n{}", progress::tail(&built, 40));
    }
    let logs = workspace::target()?.join("repeat");
    fs::create_dir_all(&logs)?;
    let hogs = wanted.load.then(Hogs::start).transpose()?;
    if let Some(hogs) = &hogs {
        progress::line("load", format_args!("{} processes that never rest", hogs.count()));
    }
    let mut failed: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for round in 1..=wanted.rounds {
        let start = Instant::now();
        let mut command = Command::new(workspace::cargo());
        command.args(words).arg("--").arg(&wanted.only).current_dir(workspace::root());
        let output = progress::quietly("round", &format!("{round} of {}", wanted.rounds), &mut command)?;
        let stdout = String::from_utf8_lossy(&output.stdout);
        let counted = tally::Tally::of(&stdout);
        if counted.passed + counted.failed == 0 && output.status.success() {
            bail!("no network test has `{}` in its name", wanted.only);
        }
        let mut names = tally::failed(&stdout);
        if names.is_empty() && !output.status.success() {
            // The whole run ended, by a signal for instance.
            names.push("(the run itself)".to_owned());
        }
        let log = logs.join(format!("round-{round}.log"));
        if names.is_empty() {
            let _ = fs::remove_file(&log);
        } else {
            let shown = tally::failures(&stdout, &String::from_utf8_lossy(&output.stderr));
            fs::write(&log, shown)?;
            progress::line("FAILED", format_args!("{} ({})", names.join(", "), log.display()));
        }
        let seconds = start.elapsed().as_secs_f32();
        progress::line("round", format_args!("{round:<3} {seconds:>6.1} s{counted}"));
        for name in names {
            failed.entry(name).or_default().push(round);
        }
    }
    drop(hogs);
    print!("{}", report(&failed, wanted.rounds));
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Which tests failed how often, and in which rounds; the most often first.
fn report(failed: &BTreeMap<String, Vec<u32>>, rounds: u32) -> String {
    let mut text = String::new();
    if !failed.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["test", "failed", "in rounds"]);
        let mut rows: Vec<_> = failed.iter().collect();
        rows.sort_by_key(|(_, failed)| std::cmp::Reverse(failed.len()));
        for (name, failed) in rows {
            let which: Vec<String> = failed.iter().map(u32::to_string).collect();
            table.add_row([name.clone(), format!("{} of {rounds}", failed.len()), which.join(", ")]);
        }
        let _ = writeln!(text, "{table}");
    }
    let _ = writeln!(text, "{rounds} rounds, {} tests failed at least once", failed.len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_most_often_stands_first() {
        let failed = [("a".to_owned(), vec![2]), ("b".to_owned(), vec![1, 3])].into();
        let text = report(&failed, 3);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["b", "2", "of", "3", "1,", "3"]);
        assert_eq!(words[2], ["a", "1", "of", "3", "2"]);
        assert_eq!(report(&BTreeMap::new(), 5), "5 rounds, 0 tests failed at least once\n");
    }
}
