//! The option that says where the data path is pinned.

use std::path::PathBuf;

use clap::Args;
use evenkeel::dataplane::pins::{self, PinDir};

/// Where the data path is pinned.
#[derive(Args)]
pub struct Pins {
    /// Directory on a BPF file system that holds the maps.
    #[arg(long, value_name = "DIR", default_value = pins::DEFAULT)]
    pin_dir: PathBuf,
}

impl Pins {
    /// The directory.
    pub fn directory(&self) -> PinDir {
        PinDir::new(&self.pin_dir)
    }
}
