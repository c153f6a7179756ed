//! What is said in the end.

use std::fmt;

use super::tally::Tally;

/// All checks together.
#[derive(Debug, Default)]
pub struct Summary {
    /// Tests, and checks that are no tests if they failed.
    pub tally: Tally,
    /// Titles of checks that failed.
    pub failed: Vec<String>,
    /// Titles of checks that were left out because they need root.
    pub need_root: Vec<&'static str>,
}

impl Summary {
    /// A check has run.
    pub fn add(&mut self, title: &str, tally: Tally) {
        if tally.failed > 0 {
            self.failed.push(title.to_owned());
        }
        self.tally.add(tally);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.failed.is_empty() {
            writeln!(f, "failed: {}", self.failed.join(", "))?;
        }
        if !self.need_root.is_empty() {
            writeln!(
                f,
                "skipped: {}. They need root: run `sudo -E env \"PATH=$PATH\" cargo xtask test`, or ask for the \
                 others only with `cargo xtask test --host-only`",
                self.need_root.join(", ")
            )?;
        }
        writeln!(f, "{} passed, {} failed", self.tally.passed, self.tally.failed)
    }
}
