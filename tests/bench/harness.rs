//! How it is measured: runs of the subject and of the empty program by turns, in one process, on one CPU.

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{ProgramFd, TestRun, TestRunOptions, Xdp},
};
use evenkeel::dataplane::memory::Mapping;
use evenkeel_loader::bpf;
use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use testbed::cases::{Cast, Side};
use xdp_ebpf::{
    abi::{Common, FLAG_TOA, FREE, Half, LIVE, Plane, map},
    bench::{SUBJECT, TEMPLATE, Template},
    family::{V4, V6},
    shared::Shared,
    tcp_state::State,
    verdict::{Class, Event},
};
use zerocopy::IntoBytes;

use crate::{
    loaded::Loaded,
    rows::{self, MANY, Row, Sessions, TABLES, clients},
};

/// Runs of each program for a row; the least counts, because whatever disturbs a run only makes it longer.
const RUNS: usize = 40;
/// The share of packets that may meet another fate: not every flow gets one of the two buckets that it hashes to, nor
/// each of a local address's first ports a session.
const ASTRAY: f64 = 0.01;
/// Packets in a run.
const PACKETS: u32 = 1 << 16;

type TemplateBytes = [u8; size_of::<Template>()];

/// Whole ns per packet, of all runs.
pub struct Measured {
    pub what: String,
    pub flows: u32,
    pub target: Option<f64>,
    /// Sorted.
    pub empty: Vec<u64>,
    /// Sorted.
    pub subject: Vec<u64>,
}

/// Which program runs behind `ek_bench`.
enum Program {
    Empty,
    Evenkeel,
}

/// The programs and their tables.
pub struct Harness {
    loaded: Loaded,
    bench: Ebpf,
    subjects: ProgramArray<MapData>,
    /// `ek_empty`, and the data path.
    programs: [ProgramFd; 2],
    four: [Mapping<Half<V4>>; 2],
    six: [Mapping<Half<V6>>; 2],
    planes: Mapping<Plane>,
}

impl Harness {
    pub fn new() -> Self {
        pin_to_this_cpu();
        let mut loaded = Loaded::new(TABLES);
        for cast in [Cast::IPV4, Cast::IPV6] {
            let network = format!("{}/{}", clients(&cast).ip(), if cast.client.is_ipv4() { 15 } else { 48 });
            let route =
                ["ip", "route", "add", &network, "via", &cast.client.ip().to_string(), "dev", "front"];
            loaded.network.balancer.run(&route).unwrap();
        }
        let mut bench = EbpfLoader::new().load(bpf::bench().expect("run `cargo xtask setup`")).unwrap();
        for name in ["ek_bench", "ek_empty"] {
            let program: &mut Xdp = bench.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        let fd = |programs: &Ebpf, name| {
            let program: &Xdp = programs.program(name).unwrap().try_into().unwrap();
            program.fd().unwrap().try_clone().unwrap()
        };
        let programs = [fd(&bench, "ek_empty"), fd(&loaded.programs, "evenkeel")];
        let subjects = bench.take_map(SUBJECT).unwrap().try_into().unwrap();
        let (forward, reverse) = (TABLES.forward_len(), TABLES.reverse_len());
        let four = [(map::FORWARD, forward), (map::REVERSE, reverse)];
        let four = four.map(|(name, len)| mapping(&mut loaded, name, len));
        let six = [(map::FORWARD6, forward), (map::REVERSE6, reverse)];
        let six = six.map(|(name, len)| mapping(&mut loaded, name, len));
        let planes = mapping(&mut loaded, map::PLANE, TABLES.planes());
        Self { loaded, bench, subjects, programs, four, six, planes }
    }

    /// Brings the session tables into this state.
    pub fn prepare(&mut self, sessions: Sessions) {
        for cast in [Cast::IPV4, Cast::IPV6] {
            match sessions {
                Sessions::None => self.forget_sessions(&cast),
                Sessions::New => {
                    self.forget_sessions(&cast);
                    self.open_sessions(&cast);
                    self.each_live_half(&cast, |half| {
                        half.tcp().set(State::Established as u8);
                        half.flags().set(FLAG_TOA);
                    });
                }
                Sessions::Established => self.each_live_half(&cast, |half| half.flags().set(0)),
            }
        }
    }

    fn forget_sessions(&self, cast: &Cast) {
        self.each_live_half(cast, |half| half.publish_state(FREE));
        let of_four = self.planes.entries() / 2;
        for (_, plane) in self.planes.iter().filter(|(index, _)| (*index < of_four) == cast.client.is_ipv4())
        {
            plane.head().publish(0);
        }
    }

    /// Both directions of the sessions of a cast's family.
    fn each_live_half(&self, cast: &Cast, change: impl Fn(Shared<'_, Common>)) {
        let change = |half: Shared<'_, Common>| {
            if half.state().get() == LIVE {
                change(half);
            }
        };
        if cast.client.is_ipv4() {
            self.four.iter().flat_map(Mapping::iter).for_each(|(_, half)| change(*half));
        } else {
            self.six.iter().flat_map(Mapping::iter).for_each(|(_, half)| change(*half));
        }
    }

    /// The program itself opens them.
    fn open_sessions(&mut self, cast: &Cast) {
        let frame = rows::frame(Side::Front, &rows::syn(cast));
        self.set_template(&frame, MANY, rows::vary_source(cast));
        self.run(Program::Evenkeel, Side::Front, &frame, MANY);
    }

    /// Runs both programs by turns, and sees to it that every packet met its fate.
    pub fn measure(&mut self, row: &Row) -> Measured {
        self.set_template(&row.frame, row.flows, row.vary);
        let before = self.loaded.counters();
        let (mut empty, mut subject) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            if row.sessions == Sessions::None {
                self.forget_sessions(&row.cast);
            }
            empty.push(self.run(Program::Empty, row.side, &row.frame, PACKETS).0);
            let (time, action) = self.run(Program::Evenkeel, row.side, &row.frame, PACKETS);
            assert_eq!(action, row.fate as u32, "{}", row.what);
            subject.push(time);
        }
        let after = self.loaded.counters();
        for (event, (before, after)) in Event::ALL.iter().zip(before.into_iter().zip(after)) {
            let share = (after - before) as f64 / f64::from(PACKETS) / RUNS as f64;
            let astray = match row.counted == Some(*event) {
                true => 1.0 - share,
                false if event.class() == Class::Note => 0.0,
                false => share,
            };
            assert!(astray < ASTRAY, "{}: {} for {share} of all packets", row.what, event.name());
        }
        empty.sort_unstable();
        subject.sort_unstable();
        Measured { what: row.what.clone(), flows: row.flows, target: row.target, empty, subject }
    }

    fn set_template(&mut self, frame: &[u8], flows: u32, vary: u32) {
        let mut template =
            Template { flow_mask: flows - 1, length: frame.len() as u32, vary, ..Template::default() };
        template.ethernet.as_mut_bytes()[..14].copy_from_slice(&frame[..14]);
        let words = template.words.as_mut_bytes();
        words.copy_from_slice(&frame[14..14 + words.len()]);
        let bytes: TemplateBytes = zerocopy::transmute!(template);
        let mut map: Array<&mut MapData, TemplateBytes> =
            self.bench.map_mut(TEMPLATE).unwrap().try_into().unwrap();
        map.set(0, bytes, 0).unwrap();
    }

    /// The mean time for one of `packets`, and the last one's action.
    fn run(&mut self, program: Program, side: Side, frame: &[u8], packets: u32) -> (u64, u32) {
        self.subjects.set(0, &self.programs[program as usize], 0).unwrap();
        let entry: &Xdp = self.bench.program("ek_bench").unwrap().try_into().unwrap();
        let ctx_in = self.loaded.context(side, 0, frame.len());
        let test_run = || {
            let options = TestRunOptions {
                data_in: Some(frame),
                ctx_in: Some(&ctx_in),
                repeat: packets,
                ..TestRunOptions::default()
            };
            entry.test_run(options).unwrap()
        };
        // The kernel's own figure: before and after the packets, the call waits for things of its own.
        let result = self.loaded.network.balancer.enter(test_run).unwrap();
        (result.duration.as_nanos() as u64, result.return_value)
    }
}

fn mapping<T: Pod>(loaded: &mut Loaded, name: &str, len: u32) -> Mapping<T> {
    use std::os::fd::AsFd;
    let Map::Array(data) = loaded.map(name) else { panic!("{name} is no array") };
    Mapping::of_map(data.fd().as_fd(), len).unwrap()
}

/// The threads that are started later stay there too.
fn pin_to_this_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(nix::sched::sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
}
