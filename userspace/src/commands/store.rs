//! `evenkeel store`: the API's objects at rest, copied, put back, looked through.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use evenkeel::store::copy::{self, Contents};

#[derive(Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    /// The daemon's --state-dir.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/evenkeel", global = true)]
    state_dir: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Copy the store into FILE and its key into FILE.key; a daemon may run meanwhile.
    Backup {
        /// Must not be there yet.
        file: PathBuf,
    },
    /// Put FILE and FILE.key in the store's place, while no daemon runs; what was there stays as store.*.before.
    Restore {
        /// As `backup` has made it.
        file: PathBuf,
    },
    /// Look whether the store is whole and its key opens every secret; a daemon may run meanwhile.
    Check,
}

pub fn run(options: &Options) -> Result<()> {
    let directory = &options.state_dir;
    let (place, contents) = match &options.command {
        Command::Backup { file } => (file.display(), copy::backup(directory, file)?),
        Command::Restore { file } => (directory.display(), copy::restore(file, directory)?),
        Command::Check => (directory.display(), copy::check_directory(directory)?),
    };
    println!("{place}: good: {}", told(&contents));
    Ok(())
}

fn told(Contents { revision, objects }: &Contents) -> String {
    let kinds = objects.iter().map(|(kind, number)| format!(", {number} {kind}"));
    format!("revision {revision}{}", kinds.collect::<String>())
}
