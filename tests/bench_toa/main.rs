//! What `evenkeel-toa` costs a backend: connections per second with and without it, side by side in one run.
//!
//! One client, the balancer and nginx, all on this machine, so that the rate is that of the whole path; what counts is
//! the ratio. It needs root: `cargo bench -p testbed --bench toa`.
#![allow(clippy::unwrap_used, reason = "in a benchmark as in a test, a panic is the report")]

#[path = "../network/balancer.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod balancer;
#[path = "../network/receiver"]
mod receiver {
    #[allow(dead_code, reason = "the tests ask more of it")]
    pub mod command;
    pub mod mirror;
}

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};

use balancer::{Balancer, DEADLINE, Settings};
use receiver::{
    command::{Receiver, TRUSTED},
    mirror::{ask, mirror},
};
use testbed::wait_for;

/// Pairs of windows, one with and one without.
const PAIRS: usize = 30;
/// Connections in a window, and before it.
const WINDOW: usize = 2000;
const WARM_UP: usize = 1000;
/// Connections at a time.
const CLIENTS: usize = 4;

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        // `cargo test --benches` runs benchmarks too: building it has shown enough.
        return;
    }
    let balancer = Balancer::start(Settings::default());
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());
    let (ended, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let load = || {
        while !ended.load(Ordering::Relaxed) {
            ask().unwrap();
            count.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| balancer.network.client().enter(load).unwrap());
        }
        report((0..PAIRS).map(|number| pair(&receiver, &count, number)).collect());
        in_the_programs(&receiver, &count);
        ended.store(true, Ordering::Relaxed);
    });
}

/// What the kernel measured inside the receiver's programs: that a busy machine does not blur.
fn in_the_programs(receiver: &Receiver, count: &AtomicUsize) {
    let running = || {
        let programs = loaded_programs().filter_map(Result::ok);
        programs.filter(|program| program.name_as_str().is_some_and(|name| name.starts_with("ek_toa_")))
    };
    let others: Vec<u32> = running().map(|program| program.id()).collect();
    let _statistics = enable_stats(Stats::RunTime).unwrap();
    receiver.attach(TRUSTED);
    window(count);
    let ours: Duration =
        running().filter(|program| !others.contains(&program.id())).map(|program| program.run_time()).sum();
    let connections = receiver.total("with_toa");
    println!("in its programs: {} ns per connection", ours.as_nanos() / u128::from(connections));
}

/// Connections per second without and with the receiver; which comes first alternates.
fn pair(receiver: &Receiver, count: &AtomicUsize, number: usize) -> (f64, f64) {
    let with = || {
        receiver.attach(TRUSTED);
        let rate = window(count);
        receiver.detach();
        rate
    };
    if number.is_multiple_of(2) {
        (window(count), with())
    } else {
        let with = with();
        (window(count), with)
    }
}

fn window(count: &AtomicUsize) -> f64 {
    let wait = |more: usize| {
        let goal = count.load(Ordering::Relaxed) + more;
        wait_for("connections", DEADLINE, || count.load(Ordering::Relaxed) >= goal).unwrap();
    };
    wait(WARM_UP);
    let (start, before) = (Instant::now(), count.load(Ordering::Relaxed));
    wait(WINDOW);
    (count.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64()
}

fn report(pairs: Vec<(f64, f64)>) {
    let quartiles = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
    };
    let [low, middle, high] = quartiles(pairs.iter().map(|(without, with)| with / without).collect());
    let rate = |pick: fn(&(f64, f64)) -> f64| quartiles(pairs.iter().map(pick).collect())[1];
    println!(
        "connections per second: {:.0} without, {:.0} with (medians)",
        rate(|pair| pair.0),
        rate(|pair| pair.1)
    );
    println!("with over without: {middle:.3} (half of {PAIRS} pairs are within {low:.3} to {high:.3})");
}
