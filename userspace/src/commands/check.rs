//! `evenkeel check`: reads a configuration file and says what is wrong with it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use evenkeel::{config, dataplane::capacity::capacity};
use model::flatten::flatten;

#[derive(Args)]
pub struct Options {
    /// The file to check.
    file: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let served = flatten(&config::load(&options.file, &capacity())?.objects, None);
    let members = served.pools.values().map(|pool| pool.members.len()).sum();
    let counts = [
        count(served.vips.len(), "VIP"),
        count(served.listeners.len(), "listener"),
        count(served.pools.len(), "pool"),
        count(members, "member"),
    ];
    println!("{}: good: {}", options.file.display(), counts.join(", "));
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
