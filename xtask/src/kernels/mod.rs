//! `cargo xtask test --kernels`: boots kernels in an emulated machine, and runs the programs in each.
//!
//! `image` is a kernel with its modules, Debian's or any other; `initramfs` is all that the machine has beside it, with
//! `init.sh` as its first process; `machine` is qemu. What is asked there is the testbed's `whole`, as of this machine.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Result;

use crate::{
    setup::{self, Need, Toolchain},
    test::{Report, Summary, tally},
};

mod image;
mod initramfs;
mod machine;

use image::Image;

/// Debian's series that are tried without others being named.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// Boots these images, or Debian's of all [`SERIES`] if there are none; fails if one of them fails.
///
/// # Errors
/// A program is missing, something does not build, or a file is no kernel.
pub fn run(images: &[PathBuf]) -> Result<ExitCode> {
    setup::ensure_programs(Need::Test)?;
    Toolchain::hold()?.find()?;
    let mut images: Vec<Image> = images.iter().map(|file| Image::new(file)).collect::<Result<_>>()?;
    if images.is_empty() {
        images = SERIES.iter().map(|series| Image::debian(series)).collect::<Result<_>>()?;
    }
    let mut sum = Summary::default();
    for image in images {
        let title = image.to_string();
        let start = Instant::now();
        let report = boot(&image)?;
        report.tell(&title, start);
        sum.add(&title, report.tally);
    }
    print!("{sum}");
    Ok(if sum.tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Boots Debian's kernel of this series.
///
/// # Errors
/// As [`run`].
pub fn check(series: &str) -> Result<Report> {
    boot(&Image::debian(series)?)
}

fn boot(image: &Image) -> Result<Report> {
    let archive = initramfs::build(image)?;
    let said = machine::boot(image, &archive)?;
    let mut tally = tally::Tally::of(&said);
    let mut logs = Vec::new();
    if tally.passed == 0 || tally.failed > 0 {
        tally.failed = tally.failed.max(1);
        logs.push(tally::failures(&said, ""));
    }
    Ok(Report { tally, notes: tally::notes(&said), logs })
}
