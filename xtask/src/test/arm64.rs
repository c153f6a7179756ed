//! Does everything compile for arm64? It is not run there.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Result, bail};

use super::Report;
use crate::{progress, workspace};

const TARGET: &str = "aarch64-unknown-linux-gnu";

/// All crates and their tests compile for it. Without rustup there is no standard library for it, and nothing to say.
///
/// # Errors
/// They don't, or rustup cannot install the library.
pub fn check() -> Result<Report> {
    let Some(rustup) = workspace::program("rustup") else {
        let note = format!("left out: only rustup has Rust's library for {TARGET}");
        return Ok(Report { notes: vec![note], ..Report::default() });
    };
    let mut add = Command::new(rustup);
    add.args(["target", "add", TARGET]).current_dir(workspace::root());
    run(&format!("adding {TARGET}"), add)?;
    let mut check = Command::new(workspace::cargo());
    check.args(["check", "--workspace", "--all-targets", "--target", TARGET]).current_dir(workspace::root());
    // To compile a crate, OpenSSL's headers are enough, and those built for this machine say the same as arm64's: an
    // OpenSSL for arm64 would take as long as all the rest.
    if let Some(openssl) = openssl()? {
        let prefix = TARGET.replace('-', "_").to_uppercase();
        check.env(format!("{prefix}_OPENSSL_NO_VENDOR"), "1").env(format!("{prefix}_OPENSSL_DIR"), openssl);
    }
    run(&format!("checking for {TARGET}"), check)?;
    Ok(Report::default())
}

/// Where the build of this machine's OpenSSL left it, if it was built.
fn openssl() -> Result<Option<PathBuf>> {
    let mut found = None;
    for build in fs::read_dir(workspace::target()?.join("debug/build"))? {
        let there = build?.path().join("out/openssl-build/install");
        if there.join("include/openssl/ssl.h").exists() {
            found = Some(there);
        }
    }
    Ok(found)
}

fn run(what: &str, mut command: Command) -> Result<()> {
    let output = progress::quietly("running", what, &mut command)?;
    if !output.status.success() {
        bail!("{what}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
