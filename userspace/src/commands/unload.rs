//! `evenkeel unload`: takes the data path off this host, with its routes and neighbours.

use anyhow::Result;
use clap::Args;
use evenkeel::dataplane::network::{self, neighbours::Neighbours, routes::Routes};

use super::Pins;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pins: Pins,
}

pub fn run(options: &Options) -> Result<()> {
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    pins.remove_all_versions()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handle = network::connect()?;
        Routes::new(handle.clone()).remove_all().await?;
        Neighbours::new(handle).remove_all().await
    })
}
