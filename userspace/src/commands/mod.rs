//! The command line: one file per command.

mod api;
mod check;
mod control;
mod counters;
mod output;
mod pins;
mod privileges;
mod run;
mod sessions;
mod status;
mod unload;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// An elastic load balancer for Linux hosts: Layer 4 in XDP.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Forward by a configuration file until SIGTERM; SIGHUP reads the file again.
    Run(run::Options),
    /// Say what is wrong with a configuration file, if anything is.
    Check(check::Options),
    /// Show pools, members, listeners, interfaces and local ports.
    Status(status::Options),
    /// Show sessions.
    Sessions(sessions::Options),
    /// Show what was counted, drops and their reasons included.
    Counters(counters::Options),
    /// Stop forwarding: drop all sessions and remove everything that Evenkeel put into this host.
    Unload(unload::Options),
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// In one line, for people.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Run(options) => run::run(&options),
            Command::Check(options) => check::run(&options),
            Command::Status(options) => status::run(&options),
            Command::Sessions(options) => sessions::run(&options),
            Command::Counters(options) => counters::run(&options),
            Command::Unload(options) => unload::run(&options),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn documents_call_it_as_it_can_be_called() {
        let refused = testbed::documents::refused("evenkeel", Cli::try_parse_from).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
