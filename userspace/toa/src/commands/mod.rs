//! The command line: one file per command.

mod detach;
mod lookup;
mod output;
mod run;
mod status;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use evenkeel_toa::pins::{self, PinDir};

/// The client's address at a backend: accept() and getpeername() answer with the address in the TCP option TOA.
#[derive(Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Attach: until SIGINT or SIGTERM, or with --pin until `detach`, also after this process has ended.
    Run(run::Options),
    /// Show what is attached and what was counted.
    Status(output::View),
    /// Show the clients of open connections.
    Lookup(lookup::Options),
    /// Remove what `run --pin` attached.
    #[command(alias = "--detach")]
    Detach(Pins),
}

/// Where the receiver is pinned.
#[derive(Args)]
struct Pins {
    /// Directory that `run --pin` was given.
    #[arg(long = "pin", value_name = "DIR", default_value = pins::DEFAULT)]
    directory: PathBuf,
}

impl Pins {
    fn directory(&self) -> PinDir {
        PinDir::new(&self.directory)
    }
}

impl Cli {
    /// Does what was asked for.
    ///
    /// # Errors
    /// In one line, for people.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(options) => run::run(&options)?,
            Command::Status(options) => status::run(&options)?,
            Command::Lookup(options) => return lookup::run(&options),
            Command::Detach(options) => detach::run(&options)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};
    use evenkeel_toa::total::Total;
    use testbed::documents;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn documents_call_it_as_it_can_be_called() {
        let refused = documents::refused("evenkeel-toa", Cli::try_parse_from).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }

    #[test]
    fn documents_explain_every_counter() {
        let rows = documents::read("docs/backend-toa.md").unwrap().rows().into_iter();
        let there: Vec<_> = rows.filter(|row| row.heading == "Counters").map(|row| row.cells).collect();
        let counted = Total::default().rows();
        assert_eq!(there, counted.map(|(name, _, meaning)| vec![format!("`{name}`"), meaning.to_owned()]));
    }
}
