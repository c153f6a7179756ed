//! `evenkeel unload`: takes the data path off this host, with its routes, addresses and neighbours.

use anyhow::Result;
use clap::Args;
use evenkeel::{
    dataplane::network::{self, neighbours::Neighbours, own::Own},
    l7::metrics::endpoint,
};

use super::Pins;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pins: Pins,
}

pub fn run(options: &Options) -> Result<()> {
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    let nothing = !pins.root().exists();
    pins.remove_all_versions()?;
    endpoint::remove(&endpoint::path(pins.root()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handle = network::connect()?;
        Own::new(handle.clone()).remove_all().await?;
        Neighbours::new(handle).remove_all().await
    })?;
    let root = pins.root().display();
    match nothing {
        true => eprintln!("evenkeel: nothing was loaded at {root}"),
        false => eprintln!(
            "evenkeel: unloaded {root}: XDP, maps, sessions, routes, addresses and neighbours are gone"
        ),
    }
    Ok(())
}
