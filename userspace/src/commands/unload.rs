//! `evenkeel unload`: takes the data path off this host, with its routes, addresses and neighbours.

use anyhow::Result;
use clap::Args;
use evenkeel::{
    dataplane::{
        farewell, filter,
        network::{self, neighbours::Neighbours, owned::Owned},
        tables,
    },
    l7::metrics::{endpoint, kept},
};

use super::pins::Pins;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pins: Pins,
}

pub fn run(options: &Options) -> Result<()> {
    let pins = options.pins.directory();
    let _lock = pins.lock()?;
    let root = pins.root().display();
    if !pins.is_loaded()? {
        eprintln!("evenkeel: nothing was loaded at {root}");
        return Ok(());
    }
    // Another version's maps this one cannot read.
    let cut = farewell::reset_all(&pins).inspect_err(|error| {
        eprintln!("evenkeel: the ends of open sessions are not told: {error}");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let handle = network::connect()?;
        let owned = Owned::new(handle.clone());
        match tables::addresses(&pins) {
            Ok(addresses) => owned.remove(&addresses.vips().chain(addresses.local()).collect()).await?,
            // Another version's maps, which this one cannot read.
            Err(_) => owned.remove_all().await?,
        }
        Neighbours::new(handle).remove_all().await
    })?;
    pins.with_filter_of_any_version()?.iter().try_for_each(|name| filter::detach(name))?;
    // Last, so that an unload that failed can be repeated.
    pins.remove_all_versions()?;
    endpoint::remove(&endpoint::path(pins.root()))?;
    endpoint::remove(&kept::path(pins.root()))?;
    eprintln!("evenkeel: unloaded {root}: XDP, maps, sessions, routes, addresses and neighbours are gone");
    if let Ok(cut @ 1..) = cut {
        eprintln!("evenkeel: {cut} open TCP sessions were reset at both ends");
    }
    Ok(())
}
