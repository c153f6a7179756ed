//! `evenkeel-toa` as one static file, built as its document says (docs/backend-toa): it runs on any distribution.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use super::Report;
use crate::workspace;

const TARGET: &str =
    if cfg!(target_arch = "aarch64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };

/// Arguments to cargo.
pub const BUILD: &[&str] = &["build", "--release", "--package", "evenkeel-toa", "--target", TARGET];
/// Its environment.
pub const RUSTFLAGS: &str = "-C target-feature=+crt-static -C strip=symbols";

/// The file asks for no dynamic linker, and runs.
///
/// # Errors
/// It does, or it doesn't.
pub fn check() -> Result<Report> {
    let file = workspace::target()?.join(TARGET).join("release/evenkeel-toa");
    let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
    if has_interpreter(&bytes).with_context(|| format!("{} is no ELF file of 64 bits", file.display()))? {
        bail!("{} asks for a dynamic linker", file.display());
    }
    let output = Command::new(&file).arg("--version").output()?;
    if !output.status.success() {
        bail!("{} --version: {}", file.display(), output.status);
    }
    Ok(Report::default())
}

/// Whether an ELF file of 64 bits, little endian, has a program header of the type `PT_INTERP`.
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| {
        let bytes = elf.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let mut kinds = (0..count).map(|n| number(usize::try_from(offset + n * size).ok()?, 4));
    kinds.try_fold(false, |found, kind| Some(found || kind? == u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn a_test_is_linked_dynamically() {
        let own = fs::read(env::current_exe().unwrap()).unwrap();
        assert_eq!(has_interpreter(&own), Some(true));
        assert_eq!(has_interpreter(&own[..100]), None);
        assert_eq!(has_interpreter(b"#!/bin/sh"), None);
    }
}
