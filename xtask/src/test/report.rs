//! What one check found.

use std::time::Instant;

use super::tally::Tally;
use crate::progress;

/// What one check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Tests that passed and failed.
    pub tally: Tally,
    /// Lines for people.
    pub notes: Vec<String>,
    /// What explains a failure.
    pub logs: Vec<String>,
}

impl Report {
    /// Adds what another part of the check found.
    pub fn add(&mut self, other: Self) {
        self.tally.add(other.tally);
        self.notes.extend(other.notes);
        self.logs.extend(other.logs);
    }

    /// Prints it, below one line with the title and the time since `start`.
    pub fn tell(&self, title: &str, start: Instant) {
        let (tally, seconds) = (self.tally, start.elapsed().as_secs_f32());
        let verdict = if tally.failed == 0 { "ok" } else { "FAILED" };
        progress::line(verdict, format_args!("{title:<40} {seconds:>6.1} s{tally}"));
        for note in &self.notes {
            progress::line("", note);
        }
        for log in &self.logs {
            eprintln!("{log}");
        }
    }
}
