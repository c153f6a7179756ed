//! How far a command is, by what it prints: cargo's progress on stderr, results of tests on stdout.

/// How far a command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Units that cargo has built.
    pub built: u64,
    /// Units that it has to build; 0 if it has not said so.
    pub units: u64,
    /// Tests that passed.
    pub passed: u64,
}

impl Count {
    /// Takes a piece of stderr, which ends at a line feed or a carriage return. Whether it was progress, and so is not
    /// part of the log.
    pub fn stderr(&mut self, piece: &str) -> bool {
        let Some((built, units)) = progress(piece) else { return false };
        (self.built, self.units) = (built, units);
        true
    }

    /// Takes a line of stdout.
    pub fn stdout(&mut self, line: &str) {
        self.passed += u64::from(line.starts_with("test ") && line.trim_end().ends_with(" ok"));
    }
}

/// `    Building [====>     ] 12/290: tokio, …`; with `--quiet` the first word is missing.
fn progress(piece: &str) -> Option<(u64, u64)> {
    let piece = piece.trim_start();
    let (bar, rest) = piece.strip_prefix("Building ").unwrap_or(piece).strip_prefix('[')?.split_once("] ")?;
    if !bar.chars().all(|character| "=> ".contains(character)) {
        return None;
    }
    let (built, rest) = rest.split_once('/')?;
    let digits = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    Some((built.parse().ok()?, rest.get(..digits)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_says_how_far_it_is_with_and_without_quiet() {
        assert_eq!(
            progress("    Building [====>     ] 12/290: tokio, anyhow(build.rs)    "),
            Some((12, 290))
        );
        assert_eq!(progress("[======================>      ] 4/5: p(bin)"), Some((4, 5)));
        assert_eq!(progress("[==========================> ] 290/290"), Some((290, 290)));
    }

    #[test]
    fn the_rest_is_the_log() {
        let mut count = Count::default();
        for line in ["   Compiling tokio v1.54.1", "[workspace] 1/2", "error: [=> ] x/y", "", "[= ] 1/"] {
            assert!(!count.stderr(line), "{line}");
        }
        assert_eq!(count, Count::default());
    }

    #[test]
    fn passed_tests_are_counted() {
        let mut count = Count::default();
        for line in ["running 2 tests", "test a ... ok", "test b ... FAILED", "test result: ok. 2 passed", ""]
        {
            count.stdout(line);
        }
        assert_eq!(count.passed, 1);
    }
}
