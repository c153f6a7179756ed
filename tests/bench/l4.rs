//! What the Layer-4 data path costs: nanoseconds per packet above an empty program, on this machine, now.
//!
//! `rows` says what is measured, `harness` how (`BPF_PROG_TEST_RUN` of `xdp-ebpf/src/bench/`), `report` prints it.
//! `cargo xtask bench l4` runs it. It needs root.
#![allow(clippy::unwrap_used, reason = "in a benchmark as in a test, a panic is the report")]

mod format;
mod harness;
#[path = "../loaded/mod.rs"]
mod loaded;
mod report;
mod rows;

use std::path::PathBuf;

use clap::Parser;

use format::Format;
use harness::Harness;
use rows::Sessions;

/// Measures the Layer-4 data path.
#[derive(Parser)]
struct Arguments {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Compare with an earlier run, which was printed to this file with `-o json`.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Measure only rows whose name contains this.
    filter: Option<String>,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if arguments.filter.is_none() && !arguments.bench {
        // `cargo test --benches` runs benchmarks too, to see whether they still run: building it has shown enough.
        return;
    }
    let wanted = |what: &str| arguments.filter.as_deref().is_none_or(|filter| what.contains(filter));
    let mut harness = Harness::new();
    let mut measured = Vec::new();
    for sessions in [Sessions::None, Sessions::Few, Sessions::New, Sessions::Established] {
        harness.prepare(sessions);
        for row in rows::rows().into_iter().filter(|row| row.sessions == sessions && wanted(&row.what)) {
            measured.push(harness.measure(&row));
        }
    }
    report::print(arguments.output, &measured, arguments.against.as_deref());
}
