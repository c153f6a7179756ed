//! The machine: qemu, which emulates the processor, so that it runs wherever this does.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::image::Image;
use crate::progress;

/// Seconds after which a machine that hangs is switched off.
const PATIENCE: &str = "900";

/// Boots it until it switches itself off; all that it printed.
///
/// # Errors
/// qemu cannot be started.
pub fn boot(image: &Image, archive: &Path) -> Result<String> {
    let mut command = Command::new("timeout");
    command.args([PATIENCE, "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max"]);
    command.args(["-smp", "2", "-m", "2G", "-display", "none", "-serial", "stdio", "-nic", "none"]);
    command.args(["-no-reboot", "-append", "console=ttyS0 quiet panic=-1"]);
    command.arg("-kernel").arg(&image.file).arg("-initrd").arg(archive);
    let output = progress::quietly("emulating", &image.to_string(), &mut command)?;
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(format!("{said}{errors}"))
}
