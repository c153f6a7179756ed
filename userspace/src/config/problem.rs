//! What is wrong with a file: gathered while it is read, then one error with one line for each problem.

use std::{cell::RefCell, error::Error, fmt};

/// Why a configuration was refused: every problem, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file's name as it was given.
    pub file: String,
    /// Never empty.
    pub problems: Vec<Problem>,
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; `None` if it is the file as a whole.
    pub line: Option<usize>,
    /// The key with its tables' names, such as `load_balancer.listener.port`; empty if it is the text itself.
    pub key: String,
    /// What is wrong and what would be right; one line.
    pub reason: String,
}

impl ConfigErrors {
    /// One problem with a file of which not a line was seen.
    pub(super) fn whole_file(file: &str, reason: String) -> Self {
        Self { file: file.into(), problems: vec![Problem { line: None, key: String::new(), reason }] }
    }
}

impl Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    /// One line per problem, no newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Problem { line, key, reason }) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.file)?;
            if let Some(line) = line {
                write!(f, "{line}:")?;
            }
            if !key.is_empty() {
                write!(f, " {key}:")?;
            }
            write!(f, " {reason}")?;
        }
        Ok(())
    }
}

/// The problems found so far in one text.
pub(super) struct Report {
    newlines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl Report {
    /// With none, for this text.
    pub(super) fn new(text: &[u8]) -> Self {
        let newlines = text.iter().enumerate().filter(|&(_, &byte)| byte == b'\n').map(|(offset, _)| offset);
        Self { newlines: newlines.collect(), problems: RefCell::default() }
    }

    /// The line, from 1, that the byte at `offset` is in.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.newlines.partition_point(|&newline| newline < offset) + 1
    }

    pub(super) fn add(&self, offset: usize, key: String, reason: impl fmt::Display) {
        let line = Some(self.line(offset));
        self.problems.borrow_mut().push(Problem { line, key, reason: reason.to_string() });
    }

    /// Whether nothing is wrong so far.
    pub(super) fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(super) fn into_errors(self, file: &str) -> ConfigErrors {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        ConfigErrors { file: file.into(), problems }
    }
}
