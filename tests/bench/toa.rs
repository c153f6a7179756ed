//! What `evenkeel-toa` costs a backend: connections per second with it over those without it, in one run.
//!
//! One client, the balancer and nginx are all on this machine, so a rate is that of the whole path, and it goes up and
//! down with whatever else the machine does. Hence many short windows by turns, with and without, while connections
//! never stop; what counts is the ratio of two neighbours, and the median of all these ratios.
//! `cargo xtask bench toa` runs it. It needs root.
#![allow(clippy::unwrap_used, reason = "in a benchmark as in a test, a panic is the report")]

#[path = "../network/balancer.rs"]
#[allow(dead_code, reason = "the tests ask more of it")]
mod balancer;
mod format;
mod pairs;
#[path = "../network/receiver"]
mod receiver {
    #[allow(dead_code, reason = "the tests ask more of it")]
    pub mod command;
    pub mod mirror;
}

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::{
    programs::loaded_programs,
    sys::{Stats, enable_stats},
};
use clap::Parser;
use evenkeel_toa::{attach, cgroup::Cgroup, receiver::Receiver as Programs};

use balancer::{Balancer, Settings};
use format::Format;
use pairs::{Pair, Report};
use receiver::{
    command::{Receiver, TRUSTED},
    mirror::{ask, mirror},
};

/// How long connections are counted, and how long they are not after each change.
const WINDOW: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_millis(20);
/// How long the kernel measures the programs.
const MEASURED: Duration = Duration::from_secs(2);
/// One client opens so many connections that its ports come round again within seconds. Most sessions are to be gone
/// by then, and the others to have room: a SYN that finds none is sent again after a second, which is many windows.
const TIMEOUTS: &str = "time_wait = \"1s\"";
const HOST: &str = "local_addresses = [\"100.64.0.0/28\"]\nmax_sessions = 1048576";
const CLIENT_PORTS: &str = "net.ipv4.ip_local_port_range=1024 65535";
/// Connections at a time.
const CLIENTS: usize = 4;

/// Measures what the TOA receiver costs.
#[derive(Parser)]
struct Arguments {
    /// How to print.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    /// Pairs of windows; a pair takes a quarter of a second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(10..))]
    pairs: u64,
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
    let balancer = Balancer::start(Settings { host: HOST, timeouts: TIMEOUTS, ..Settings::default() });
    balancer.client(&["sysctl", "-q", "-w", CLIENT_PORTS]);
    let receiver = Receiver::new(&balancer.network.backends[0]);
    let directory = tempfile::tempdir().unwrap();
    let _server = mirror(&balancer, &receiver, directory.path());
    let bench = Bench::new(&receiver);
    let load = || {
        while !bench.ended.load(Ordering::Relaxed) {
            let outcome = if ask().is_ok() { &bench.count } else { &bench.failed };
            outcome.fetch_add(1, Ordering::Relaxed);
        }
    };
    let report = thread::scope(|scope| {
        let _end = End(&bench.ended);
        for _ in 0..CLIENTS {
            scope.spawn(|| balancer.network.client().enter(load).unwrap());
        }
        let pairs: Vec<Pair> = (0..arguments.pairs).map(|number| bench.pair(number)).collect();
        Report::new(&pairs, bench.in_the_programs(), bench.failed.load(Ordering::Relaxed))
    });
    match arguments.output {
        Format::Json => println!("{}", serde_json::to_string_pretty(&report).unwrap()),
        Format::Table => println!("{report}"),
    }
}

/// Lets the load end when the measurement does, also when that panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Bench {
    /// Loaded all the time; attached in every other window.
    programs: Programs,
    ids: Vec<u32>,
    cgroup: Cgroup,
    ended: AtomicBool,
    /// Connections that were answered.
    count: AtomicU64,
    /// Connections that were not.
    failed: AtomicU64,
}

impl Bench {
    fn new(receiver: &Receiver) -> Self {
        let others = ids();
        let mut programs = Programs::load(None).unwrap();
        programs.trusted().unwrap().replace(&[TRUSTED.parse().unwrap()]).unwrap();
        Self {
            programs,
            ids: ids().into_iter().filter(|id| !others.contains(id)).collect(),
            cgroup: Cgroup::open(&receiver.cgroup).unwrap(),
            ended: AtomicBool::new(false),
            count: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Which comes first alternates, so that a machine that gets faster or slower favours neither.
    fn pair(&self, number: u64) -> Pair {
        if number.is_multiple_of(2) {
            let without = self.window();
            Pair { without, with: self.window_with() }
        } else {
            let with = self.window_with();
            Pair { without: self.window(), with }
        }
    }

    fn window_with(&self) -> f64 {
        let seen = self.with_toa();
        let attached = attach::attach(&self.programs, &self.cgroup).unwrap();
        let rate = self.window();
        drop(attached);
        assert!(self.with_toa() > seen, "the programs saw none of {rate:.0} connections per second");
        rate
    }

    /// Connections per second.
    fn window(&self) -> f64 {
        thread::sleep(SETTLE);
        let (start, before) = (Instant::now(), self.count.load(Ordering::Relaxed));
        thread::sleep(WINDOW);
        let more = self.count.load(Ordering::Relaxed) - before;
        more as f64 / start.elapsed().as_secs_f64()
    }

    fn with_toa(&self) -> u64 {
        self.programs.counted().unwrap().with_toa
    }

    /// What the kernel measures inside the programs, in ns per connection; a busy machine does not blur it.
    fn in_the_programs(&self) -> u64 {
        let before = self.with_toa();
        let statistics = enable_stats(Stats::RunTime).unwrap();
        let attached = attach::attach(&self.programs, &self.cgroup).unwrap();
        thread::sleep(MEASURED);
        drop((attached, statistics));
        let programs = loaded_programs().map(Result::unwrap);
        let ours = programs.filter(|program| self.ids.contains(&program.id()));
        let time: Duration = ours.map(|program| program.run_time()).sum();
        time.as_nanos() as u64 / (self.with_toa() - before)
    }
}

/// The receivers' programs in the kernel, those of others too.
fn ids() -> Vec<u32> {
    let programs = loaded_programs().filter_map(Result::ok);
    let receivers =
        programs.filter(|program| program.name_as_str().is_some_and(|name| name.starts_with("ek_toa_")));
    receivers.map(|program| program.id()).collect()
}
