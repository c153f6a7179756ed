//! The `evenkeel-toa` command, for backends: programs there see the client's address, not the balancer's, without a
//! kernel module and without being changed. What it can do is in `commands/`.

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::Cli::parse().run().unwrap_or_else(|error| {
        eprintln!("evenkeel-toa: {error:#}");
        ExitCode::FAILURE
    })
}
