//! Why a value cannot be.

use thiserror::Error;

/// What is wrong with a value and what would be right; one line when shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}; {remedy}")]
pub struct Invalid {
    /// What is wrong. It names the value.
    pub reason: String,
    /// What would be right.
    pub remedy: String,
}

impl Invalid {
    /// From both halves of the line.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}
