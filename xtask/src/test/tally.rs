//! Reading what `cargo test` printed.

use std::fmt;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Passed.
    pub passed: u64,
    /// Failed.
    pub failed: u64,
}

impl Tally {
    /// The sum of the `test result:` lines.
    pub fn of(output: &str) -> Self {
        let mut sum = Self::default();
        for line in output.lines().filter_map(|line| line.strip_prefix("test result: ")) {
            sum.passed += count(line, "passed");
            sum.failed += count(line, "failed");
        }
        sum
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// For the end of a line; nothing if nothing was counted.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { passed: 0, failed: 0 } => Ok(()),
            Self { passed, failed: 0 } => write!(f, "  {passed} passed"),
            Self { passed, failed } => write!(f, "  {passed} passed, {failed} failed"),
        }
    }
}

/// The number before `what`.
fn count(line: &str, what: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches([';', '.'])).collect();
    let pair = words.windows(2).find(|pair| pair[1] == what);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or_default()
}

/// Lines that passing tests print for people: the verifier's instruction counts.
pub fn notes(output: &str) -> Vec<String> {
    let lines = output
        .lines()
        .map(str::trim)
        .filter(|line| line.contains("verified") && line.contains("instructions"));
    lines.map(str::to_owned).collect()
}

/// The names of the tests that failed.
pub fn failed(output: &str) -> Vec<String> {
    let names = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    names.map(|name| name.trim_end_matches(" - should panic").to_owned()).collect()
}

/// What explains a failure: everything but passed tests and progress.
pub fn failures(stdout: &str, stderr: &str) -> String {
    let progress =
        ["Compiling", "Checking", "Finished", "Running", "Doc-tests", "Blocking", "Locking", "Downloaded"];
    let stderr =
        stderr.lines().filter(|line| !progress.iter().any(|word| line.trim_start().starts_with(word)));
    let stdout = stdout.lines().filter(|line| !(line.starts_with("test ") && line.ends_with(" ok")));
    let lines: Vec<&str> = stderr.chain(stdout).filter(|line| !line.trim().is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 3 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nwhy\n\n\
        test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n\
        test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 1.20s\n";

    #[test]
    fn results_add_up_over_binaries() {
        assert_eq!(Tally::of(OUTPUT), Tally { passed: 17, failed: 2 });
    }

    #[test]
    fn failed_tests_have_names() {
        assert_eq!(failed(OUTPUT), ["b"]);
    }

    #[test]
    fn a_failure_shows_its_reason_and_no_passed_test() {
        let shown = failures(OUTPUT, "   Compiling x\nerror: no\n");
        assert!(shown.contains("why") && shown.contains("error: no"), "{shown}");
        assert!(!shown.contains("test a") && !shown.contains("Compiling"), "{shown}");
    }
}
