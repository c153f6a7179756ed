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
mod stats;
mod status;
mod store;
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
    /// Copy the objects of the API, put a copy back, or look whether they are whole.
    Store(store::Options),
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
            Command::Store(options) => store::run(&options),
            Command::Unload(options) => unload::run(&options),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The lines of all source files below, without comments and tests.
    fn lines(directory: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                lines.extend(self::lines(&entry.path()));
            } else {
                let text = fs::read_to_string(entry.path()).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines();
                lines.extend(code.filter(|line| !line.trim_start().starts_with("//")).map(str::to_owned));
            }
        }
        lines
    }

    /// Whoever reads a message types what it says.
    #[test]
    fn messages_call_it_as_it_can_be_called() {
        let lines = lines(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        let quoted = lines.iter().flat_map(|line| line.split("`evenkeel ").skip(1));
        let commands: Vec<_> = quoted.filter_map(|rest| rest.split_once('`')).map(|(call, _)| call).collect();
        assert!(commands.len() >= 4, "{commands:?}");
        for command in commands {
            let call = command.replace("{option}", " --pin-dir /there").replace("{}", " --pin-dir /there");
            let words = ["evenkeel"].into_iter().chain(call.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "`evenkeel {command}`");
        }
    }

    #[test]
    fn documents_call_it_as_it_can_be_called() {
        let refused = testbed::documents::refused("evenkeel", Cli::try_parse_from).unwrap();
        assert!(refused.is_empty(), "{refused:?}");
    }
}
