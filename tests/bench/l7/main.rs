//! What Layer 7 costs, beside nginx and HAProxy: the three of them between the same client and the same backends, one
//! load after the other, by turns.
//!
//! Client, balancers and backends share this machine with whatever else it does, so a figure alone says little. Each
//! round puts the load on all three, one after the other; what counts is the ratio within a round, and the median of
//! all these ratios. The processor time that a balancer takes for a request is steadier than the rate.
//!
//! `subjects` is the three balancers and their settings, `load` what the client does, `group` what a balancer's
//! processes take, `idle` what a connection takes on which nothing happens, `report` prints it.
//! `cargo xtask bench l7` runs it. It needs root.
#![allow(clippy::unwrap_used, reason = "in a benchmark as in a test, a panic is the report")]

#[path = "../../network/balancer.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod balancer;
#[path = "../../network/l7/certificates.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod certificates;
#[path = "../format.rs"]
mod format;
mod group;
mod idle;
mod load;
#[path = "../../network/l7/relay.rs"]
mod relay;
mod report;
mod subjects;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use format::Format;
use load::{LOADS, Load};
use report::{Better, Row};
use subjects::{Setup, Subject};

/// Compares Layer 7 with nginx and HAProxy.
#[derive(Parser)]
struct Arguments {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// How often each load is put on each balancer.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Measure only rows whose name contains this.
    filter: Option<String>,
    /// `cargo bench` says so.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        // `cargo test --benches` runs benchmarks too: building it has shown enough.
        return;
    }
    // Descriptors for idle connections, of this process and those that it starts.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let wanted = |what: &str| arguments.filter.as_deref().is_none_or(|filter| what.contains(filter));
    let mut rows = Vec::new();
    for kind in idle::KINDS.into_iter().filter(|kind| wanted(kind.what)) {
        // Memory that was used before and is free again would hide what connections take.
        let setup = Setup::start();
        let mut row = Row::new(kind.what, "KB", Better::Less, &setup.subjects);
        row.note(setup.subjects.iter().map(|subject| idle::kilobytes(&setup, subject, &kind)).collect());
        rows.push(row);
    }
    let loads: Vec<&Load> = LOADS.iter().filter(|load| wanted(load.what)).collect();
    if !loads.is_empty() {
        let setup = Setup::start();
        for load in loads {
            rows.extend(measure(&setup, load, arguments.rounds));
        }
    }
    report::print(arguments.output, &rows);
}

/// A load by turns; who is first alternates.
fn measure(setup: &Setup, load: &Load, rounds: u64) -> Vec<Row> {
    let row =
        |what: &str, unit, better| Row::new(&format!("{}{what}", load.what), unit, better, &setup.subjects);
    let mut rate = row("", "/s", Better::More);
    let mut processor = row(", processor time", "µs", Better::Less);
    let mut half = row(", p50", "ms", Better::Less);
    let mut most = row(", p99", "ms", Better::Less);
    let run = |subject: &Subject| {
        let before = subject.group.processor_time();
        let done = load.run(setup, subject);
        (done, (subject.group.processor_time() - before).as_secs_f64() * 1e6)
    };
    for subject in &setup.subjects {
        // Connections to backends, caches.
        run(subject);
    }
    for round in 0..rounds {
        let count = setup.subjects.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.rotate_left(round as usize % count);
        let mut done: Vec<_> = order.iter().map(|&index| (index, run(&setup.subjects[index]))).collect();
        done.sort_by_key(|(index, _)| *index);
        rate.note(done.iter().map(|(_, (done, _))| done.rate).collect());
        processor.note(done.iter().map(|(_, (done, time))| time / done.count).collect());
        if let Some(latencies) = done.iter().map(|(_, (done, _))| done.latency).collect::<Option<Vec<_>>>() {
            half.note(latencies.iter().map(|(half, _)| *half).collect());
            most.note(latencies.iter().map(|(_, most)| *most).collect());
        }
    }
    [rate, processor, half, most].into_iter().filter(|row| !row.is_empty()).collect()
}
