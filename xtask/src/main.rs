//! `cargo xtask`: the tasks of this repository, one file or folder each.
//!
//! `setup/` finds what the BPF programs are built with, `run/` shows the balancer at work, `test/` runs every check,
//! `kernels` runs the programs on other kernels, `fuzz` looks for input that breaks something, `bench` says what a packet or a
//! connection costs.
//! `workspace` knows where things lie, `progress` how progress is told.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

mod bench;
mod fuzz;
mod kernels;
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
    Setup {
        /// What `test --all` needs, too
        #[arg(long)]
        all: bool,
    },
    /// Balance connections: in a demo network, or on this host's interfaces with a configuration
    Run {
        /// Configuration for this host's own interfaces; without it, a demo network of namespaces is set up
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Formatting, dependencies, lints, documentation, host tests, and as root the kernel and network tests
    Test {
        /// Leave out the kernel and network tests, which need root
        #[arg(long)]
        host_only: bool,
        /// Also what takes long or needs what is not on Debian: other kernels, Autobahn's WebSocket suite, cargo-deny with advisories
        #[arg(long, conflicts_with = "host_only")]
        all: bool,
        /// Boot these kernels in an emulated machine (without any, Debian's 6.1 and 6.12), run the programs there, and nothing else
        #[arg(long, value_name = "IMAGE", num_args = 0.., conflicts_with_all = ["host_only", "all", "repeat"])]
        kernels: Option<Vec<PathBuf>>,
        /// Run the network tests so often and nothing else, and say which failed how often
        #[arg(long, value_name = "N", conflicts_with_all = ["host_only", "all"], value_parser = clap::value_parser!(u32).range(1..))]
        repeat: Option<u32>,
        /// Beside two busy processes for each processor
        #[arg(long, requires = "repeat")]
        load: bool,
        /// Only those with this in their names
        #[arg(long, value_name = "TEXT", requires = "repeat", default_value_t)]
        only: String,
    },
    /// Look for input that breaks something, with libFuzzer
    Fuzz {
        /// One of the targets; without it, all by turns
        #[arg(value_parser = fuzz::names())]
        target: Option<String>,
        /// For each target
        #[arg(long, value_name = "N", default_value_t = 60)]
        seconds: u32,
    },
    /// Keep a processor busy until `parent` ends
    #[command(hide = true)]
    Hog {
        /// A process
        parent: u32,
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
        Task::Setup { all } => setup::report(all),
        Task::Run { config: Some(file) } => run::on_this_host(&file),
        Task::Run { config: None } => run::demo(),
        Task::Bench { subject, arguments } => bench::run(subject, &arguments),
        Task::Test { repeat: Some(rounds), load, only, .. } => {
            test::repeat(&test::Repetition { rounds, load, only })
        }
        Task::Test { kernels: Some(images), .. } => kernels::run(&images),
        Task::Test { host_only: true, .. } => test::run(test::Scope::Host),
        Task::Test { all: true, .. } => test::run(test::Scope::All),
        Task::Test { .. } => test::run(test::Scope::Usual),
        Task::Fuzz { target, seconds } => fuzz::run(target.as_deref(), seconds),
        Task::Hog { parent } => test::be_hog(parent),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[test]
    fn documents_call_it_as_it_can_be_called() {
        let refused = testbed::documents::refused("cargo xtask", Arguments::try_parse_from).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
