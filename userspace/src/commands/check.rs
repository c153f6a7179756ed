//! `evenkeel check`: reads a configuration file and says what is wrong with it.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use evenkeel::config;

#[derive(Args)]
pub struct Options {
    /// The file to check.
    file: PathBuf,
}

pub fn run(options: &Options) -> Result<()> {
    let model = config::load(&options.file)?.model;
    let members = model.pools.values().map(|pool| pool.members.len()).sum();
    let counts = [
        count(model.vips.len(), "VIP"),
        count(model.listeners.len(), "listener"),
        count(model.pools.len(), "pool"),
        count(members, "member"),
    ];
    println!("{}: good: {}", options.file.display(), counts.join(", "));
    Ok(())
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
