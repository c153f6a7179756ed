//! What the kernel says of a program that it does not take, in one line: the verifier's log is pages long.

use std::error::Error;

use aya::programs::ProgramError;
use thiserror::Error;

/// The kernel does not take a program.
#[derive(Debug, Error)]
#[error("the kernel refuses the BPF program {program}: {reason}")]
pub struct Refusal {
    program: String,
    reason: String,
    /// All that the verifier says, if it was the verifier.
    pub log: Option<String>,
}

impl Refusal {
    /// What loading `program` ended with.
    pub fn new(program: impl Into<String>, error: &ProgramError) -> Self {
        let program = program.into();
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                let reason = match verdict(&log) {
                    Some(verdict) => format!("{io_error} ({verdict})"),
                    None => io_error.to_string(),
                };
                Self { program, reason, log: Some(log) }
            }
            error => Self { program, reason: one_line(error), log: None },
        }
    }
}

/// What the lines begin with that end the verifier's log whatever it has found (`print_verification_stats` of
/// `kernel/bpf/verifier.c`).
const STATISTICS: [&str; 3] = ["verification time ", "stack depth ", "processed "];

/// The verifier's last line but for its statistics.
fn verdict(log: &str) -> Option<&str> {
    let is_statistic = |line: &str| STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().rev().find(|line| !line.trim().is_empty() && !is_statistic(line))
}

/// The first line of an error and of its causes, without what is said twice.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let text = cause.to_string();
        let first = text.lines().next().unwrap_or_default();
        if !line.contains(first) {
            let joint = if line.is_empty() { "" } else { ": " };
            line = format!("{line}{joint}{first}");
        }
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use aya::{maps::MapError, sys::SyscallError};

    use super::*;

    #[test]
    fn an_error_and_its_causes_are_one_line() {
        let io_error = io::Error::new(io::ErrorKind::OutOfMemory, "no room\nat all");
        let call = SyscallError { call: "bpf_map_create", io_error };
        assert_eq!(one_line(&MapError::SyscallError(call)), "`bpf_map_create` failed: no room");
    }

    #[test]
    fn the_verdict_is_the_last_line_that_is_one() {
        let log = "0: R1=ctx()\ninvalid access to packet\n\nverification time 1639 usec\nstack depth 0+304\n\
                   processed 7 insns (limit 1000000)\n";
        assert_eq!(verdict(log), Some("invalid access to packet"));
        assert_eq!(verdict("\n"), None);
    }
}
