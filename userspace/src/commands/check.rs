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
    println!(
        "{}: good: {} VIPs, {} listeners, {} pools, {} members",
        options.file.display(),
        model.vips.len(),
        model.listeners.len(),
        model.pools.len(),
        model.pools.values().map(|pool| pool.members.len()).sum::<usize>()
    );
    Ok(())
}
