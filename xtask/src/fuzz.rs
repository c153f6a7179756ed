//! `cargo xtask fuzz`: the fuzz targets for long, with libFuzzer, which keeps what reached new code.
//!
//! The targets are ordinary tests, each beside what it tries; under `cargo test` they try random input for a second or few.
//! What fails here is kept where those tests look for it, and so tried first by them until it is mended.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, bail};
use clap::builder::PossibleValuesParser;

use crate::{
    progress,
    setup::{self, Need},
    workspace,
};

/// One that can be tried.
#[derive(Debug)]
struct Target {
    name: &'static str,
    package: &'static str,
    /// Of the package's test binaries, for cargo.
    binary: &'static [&'static str],
    /// The test.
    test: &'static str,
    /// The folder of its source.
    folder: &'static str,
}

const TARGETS: [Target; 5] = [
    Target {
        name: "packets",
        package: "xdp-ebpf",
        binary: &["--test", "data_path"],
        test: "fuzz::packets",
        folder: "xdp-ebpf/tests/data_path",
    },
    Target {
        name: "heads",
        package: "evenkeel",
        binary: &["--lib"],
        test: "l7::guard::fuzz::heads",
        folder: "userspace/src/l7/guard",
    },
    Target {
        name: "proxy_headers",
        package: "evenkeel",
        binary: &["--lib"],
        test: "l7::proxy_protocol::fuzz::proxy_headers",
        folder: "userspace/src/l7/proxy_protocol",
    },
    Target {
        name: "files",
        package: "evenkeel",
        binary: &["--lib"],
        test: "config::tests::any::files",
        folder: "userspace/src/config/tests",
    },
    Target {
        name: "certificates",
        package: "evenkeel",
        binary: &["--lib"],
        test: "pki::tests::any::certificates_and_keys",
        folder: "userspace/src/pki/tests",
    },
];

/// Counts what is reached and compares what is compared, for libFuzzer; bolero then links that.
const RUSTFLAGS: &str = "--cfg fuzzing --cfg fuzzing_libfuzzer -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1 \
    -Clink-dead-code -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// The targets' names, for the command line.
pub fn names() -> PossibleValuesParser {
    TARGETS.map(|target| target.name).into()
}

/// Tries one target, or all by turns, each for so many seconds.
///
/// # Errors
/// The tests do not build with what libFuzzer needs.
pub fn run(name: Option<&str>, seconds: u32) -> Result<ExitCode> {
    setup::ensure(Need::HostTest)?;
    let mut failed = Vec::new();
    for target in TARGETS.iter().filter(|target| name.is_none_or(|name| name == target.name)) {
        if !one(target, seconds)? {
            failed.push(target.name);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    progress::line("FAILED", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Whether nothing was found.
fn one(target: &Target, seconds: u32) -> Result<bool> {
    let build = workspace::target()?.join("fuzz");
    let corpus = build.join("corpus").join(target.name);
    fs::create_dir_all(&corpus)?;
    let crashes = crashes(target);
    fs::create_dir_all(&crashes)?;
    let triple = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    let mut words = vec!["test", "--package", target.package];
    words.extend(target.binary);
    let triple = format!("{triple}-unknown-linux-gnu");
    words.extend(["--profile", "fuzz", "--target", &triple, "--target-dir"]);
    let command = |last: &[&str]| {
        let mut command = Command::new(workspace::cargo());
        command.args(&words).arg(&build).args(last).current_dir(workspace::root());
        command.env("RUSTFLAGS", RUSTFLAGS).env("BOLERO_FUZZER", "libfuzzer");
        command
    };
    let built = progress::quietly("building", target.package, &mut command(&["--no-run"]))?;
    if !built.status.success() {
        bail!("{} does not build for libFuzzer:\n{}", target.package, progress::tail(&built, 40));
    }
    progress::line("trying", format_args!("{} for {seconds} s", target.name));
    let arguments = format!(
        "{} {} -artifact_prefix={}/ -max_total_time={seconds} -max_len=4096 -timeout=10 -verbosity=1 -print_final_stats=1",
        corpus.display(),
        crashes.display(),
        crashes.display(),
    );
    let mut run = command(&["--", "--exact", target.test, "--nocapture"]);
    let output = progress::quietly("trying", target.name, run.env("BOLERO_LIBFUZZER_ARGS", arguments))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let units = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    // Without any it did not run at all.
    let units: u64 = units.and_then(|units| units.trim().parse().ok()).unwrap_or_default();
    let good = output.status.success() && units > 0;
    progress::line(if good { "ok" } else { "FAILED" }, format_args!("{:<16} {units} inputs", target.name));
    if !good {
        eprintln!("{said}\n{}", String::from_utf8_lossy(&output.stdout));
    }
    // None are left if there are none.
    let _ = fs::remove_dir(&crashes);
    let _ = crashes.parent().map(fs::remove_dir);
    let _ = crashes.parent().and_then(|folder| folder.parent()).map(fs::remove_dir);
    Ok(good)
}

/// Where bolero looks for inputs that have failed, under `cargo test`.
fn crashes(target: &Target) -> PathBuf {
    workspace::root().join(target.folder).join("__fuzz__").join(target.name).join("crashes")
}
