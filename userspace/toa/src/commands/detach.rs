//! `evenkeel-toa detach`: removes what `run --pin` attached.

use anyhow::Result;

use super::{Pins, output::say};

pub fn run(options: &Pins) -> Result<()> {
    let pins = options.directory();
    let lock = pins.lock()?;
    pins.remove()?;
    drop(lock);
    say(format_args!("detached; the receiver at {} is gone", pins.root().display()))
}
