//! `cargo xtask`: the tasks of this repository, one file or folder each.
//!
//! `setup/` finds what the BPF programs are built with, `run/` shows the balancer at work, `test/` runs every check,
//! `bench` says what a packet or a connection costs.
//! `workspace` knows where things lie, `progress` how progress is told.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

mod bench;
mod progress;
mod run;
mod setup;
mod test;
mod workspace;

/// Evenkeel's tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what the BPF programs are built with and what the tests run; safe to repeat
    Setup,
    /// Balance connections: in a demo network, or on this host's interfaces with a configuration
    Run {
        /// Configuration for this host's own interfaces; without it, a demo network of namespaces is set up
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Formatting, lints, host tests, and as root the kernel and network tests
    Test {
        /// Leave out the kernel and network tests, which need root
        #[arg(long)]
        host_only: bool,
    },
    /// Measure what the data path, Layer 7 or the TOA receiver costs
    Bench {
        /// What
        #[arg(value_enum, default_value_t = bench::Subject::L4)]
        subject: bench::Subject,
        /// For the benchmark: `-o json`; a part of the names of l4's or l7's rows that are wanted; l7's `--rounds N`; toa's `--pairs N`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match task(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::report(),
        Task::Run { config: Some(file) } => run::on_this_host(&file),
        Task::Run { config: None } => run::demo(),
        Task::Bench { subject, arguments } => bench::run(subject, &arguments),
        Task::Test { host_only } => test::run(if host_only { test::Scope::Host } else { test::Scope::All }),
    }
}

#[cfg(test)]
mod tests {
    use std::iter;

    use clap::Parser;

    use super::Arguments;

    #[test]
    fn documents_call_it_as_it_can_be_called() {
        let commands = testbed::documents::commands("cargo xtask").unwrap();
        assert!(!commands.is_empty());
        for (place, words) in commands {
            let parsed = Arguments::try_parse_from(iter::once("cargo xtask".to_owned()).chain(words));
            assert!(parsed.is_ok(), "{place}: {}", parsed.err().unwrap());
        }
    }
}
