//! How it is measured: runs of the empty program, the floor and the subject by turns, in one process, on one CPU. Each
//! run of a row with many established sessions sees every one of them, in another order than they were opened in.

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
    bench::{FLOOR, FLOOR_ENTRIES, FLOOR_PROBES, Floor, PORT_BITS, SUBJECT, TEMPLATE, Template, VARY_SOURCE},
    family::{V4, V6},
    shared::Shared,
    tcp_state::State,
    verdict::{Action, Class, Event},
};
use zerocopy::IntoBytes;

use crate::{
    loaded::Loaded,
    rows::{self, APART, FEW, MANY, Row, Sessions, TABLES, Target, clients},
};

/// Runs of each program for a row.
const RUNS: usize = 40;
/// The same where each sees [`MANY`] flows.
const LONG_RUNS: usize = 12;
/// The share of packets that may meet another fate: not every flow gets one of the two buckets that it hashes to, nor
/// each of a local address's first ports a session.
const ASTRAY: f64 = 0.01;
/// Packets in a run, unless there are more flows.
const PACKETS: u32 = 1 << 16;
/// Orders of flows: that in which sessions are opened, and that in which they are measured.
const OPENED: u32 = 31;
const MEASURED: u32 = 9;

type TemplateBytes = [u8; size_of::<Template>()];

/// Whole ns per packet, of all runs.
pub struct Measured {
    pub what: String,
    pub flows: u32,
    pub target: Option<Target>,
    /// Sorted.
    pub empty: Vec<u64>,
    /// Sorted; empty if the floor cannot do it.
    pub floor: Vec<u64>,
    /// Sorted.
    pub subject: Vec<u64>,
}

/// Which program runs behind `ek_bench`.
enum Program {
    Empty,
    Floor,
    Evenkeel,
}

/// The programs and their tables.
pub struct Harness {
    loaded: Loaded,
    bench: Ebpf,
    subjects: ProgramArray<MapData>,
    /// `ek_empty`, `ek_floor`, and the data path.
    programs: [ProgramFd; 3],
    floor: Mapping<Floor>,
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
        for name in ["ek_bench", "ek_empty", "ek_floor"] {
            let program: &mut Xdp = bench.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        let fd = |programs: &Ebpf, name| {
            let program: &Xdp = programs.program(name).unwrap().try_into().unwrap();
            program.fd().unwrap().try_clone().unwrap()
        };
        let programs = [fd(&bench, "ek_empty"), fd(&bench, "ek_floor"), fd(&loaded.programs, "evenkeel")];
        let subjects = bench.take_map(SUBJECT).unwrap().try_into().unwrap();
        let floor = mapping(bench.map_mut(FLOOR).unwrap(), FLOOR_ENTRIES);
        let (forward, reverse) = (TABLES.forward_len(), TABLES.reverse_len());
        let four = [(map::FORWARD, forward), (map::REVERSE, reverse)];
        let four = four.map(|(name, len)| mapping(loaded.map(name), len));
        let six = [(map::FORWARD6, forward), (map::REVERSE6, reverse)];
        let six = six.map(|(name, len)| mapping(loaded.map(name), len));
        let planes = mapping(loaded.map(map::PLANE), TABLES.planes());
        Self { loaded, bench, subjects, programs, floor, four, six, planes }
    }

    /// Brings the session tables into this state.
    pub fn prepare(&mut self, sessions: Sessions) {
        for cast in [Cast::IPV4, Cast::IPV6] {
            match sessions {
                Sessions::None => self.forget_sessions(&cast),
                Sessions::Few => self.establish_sessions(&cast, FEW, APART, 0),
                Sessions::New => self.establish_sessions(&cast, MANY, 0, FLAG_TOA),
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

    /// Opens sessions, which the program itself does, and has them established with these flags.
    fn establish_sessions(&mut self, cast: &Cast, flows: u32, spread: u32, flags: u8) {
        self.forget_sessions(cast);
        let frame = rows::frame(Side::Front, &rows::syn(cast));
        let vary = rows::vary_source(cast);
        self.set_template(
            &frame,
            Template { flow_mask: flows - 1, spread, vary, order: OPENED, ..Template::default() },
        );
        self.run(Program::Evenkeel, Side::Front, &frame, flows);
        self.each_live_half(cast, |half| {
            half.tcp().set(State::Established as u8);
            half.flags().set(flags);
        });
    }

    /// Runs the programs by turns, each over the same packets, and sees to it that every packet met its fate.
    pub fn measure(&mut self, row: &Row) -> Measured {
        let template = Template {
            flow_mask: row.flows - 1,
            spread: row.spread,
            vary: row.vary,
            order: MEASURED,
            ..Template::default()
        };
        let template = template_of(&row.frame, template);
        if row.has_floor() {
            self.fill_floor(&template);
        }
        let (runs, packets) = match row.sessions {
            Sessions::None => (RUNS, PACKETS),
            _ if row.flows > PACKETS => (LONG_RUNS, row.flows),
            _ => (RUNS, PACKETS),
        };
        let before = self.loaded.counters();
        let (mut empty, mut floor, mut subject) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            if row.sessions == Sessions::None {
                self.forget_sessions(&row.cast);
            }
            self.put_template(&template);
            empty.push(self.run(Program::Empty, row.side, &row.frame, packets).0);
            if row.has_floor() {
                self.put_template(&template);
                let (time, action) = self.run(Program::Floor, row.side, &row.frame, packets);
                assert_eq!(action, Action::Tx as u32, "the floor, {}", row.what);
                floor.push(time);
            }
            self.put_template(&template);
            let (time, action) = self.run(Program::Evenkeel, row.side, &row.frame, packets);
            assert_eq!(action, row.fate as u32, "{}", row.what);
            subject.push(time);
        }
        let after = self.loaded.counters();
        for (event, (before, after)) in Event::ALL.iter().zip(before.into_iter().zip(after)) {
            let share = (after - before) as f64 / f64::from(packets) / runs as f64;
            let astray = match row.counted == Some(*event) {
                true => 1.0 - share,
                false if event.class() == Class::Note => 0.0,
                false => share,
            };
            assert!(astray < ASTRAY, "{}: {} for {share} of all packets", row.what, event.name());
        }
        for times in [&mut empty, &mut floor, &mut subject] {
            times.sort_unstable();
        }
        Measured { what: row.what.clone(), flows: row.flows, target: row.target, empty, floor, subject }
    }

    /// Has the floor know the template's flows.
    fn fill_floor(&self, template: &Template) {
        self.floor.iter().for_each(|(_, entry)| entry.state().set(0));
        let [source, destination, ports] = [3, 4, 5].map(|at| u32::from_be(template.words[at]));
        for packets in 0..=template.flow_mask {
            let flow = Template { packets, ..*template }.next_flow();
            let (address, port) = (flow >> PORT_BITS, flow & ((1 << PORT_BITS) - 1));
            let (source, destination, ports) = match template.vary {
                VARY_SOURCE => (source + address, destination, ports + (port << 16)),
                _ => (source, destination + address, ports + port),
            };
            let [source, destination, ports] = [source, destination, ports].map(u32::to_be);
            let place = Floor::place(source, destination, ports);
            let mut near =
                (0..FLOOR_PROBES).filter_map(|probe| self.floor.get((place + probe) % FLOOR_ENTRIES));
            let Some(entry) = near.find(|entry| entry.state().get() == 0) else { continue };
            entry.write(Floor {
                source,
                destination,
                ports,
                state: 1,
                new_source: destination,
                new_destination: source,
                new_ports: ports.rotate_left(16),
                longest: u16::MAX,
                ..Floor::default()
            });
        }
    }

    fn set_template(&mut self, frame: &[u8], template: Template) {
        self.put_template(&template_of(frame, template));
    }

    fn put_template(&mut self, template: &Template) {
        let template = *template;
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

/// The template with this frame in it.
fn template_of(frame: &[u8], template: Template) -> Template {
    let mut template = Template { length: frame.len() as u32, ..template };
    template.ethernet.as_mut_bytes()[..14].copy_from_slice(&frame[..14]);
    let words = template.words.as_mut_bytes();
    words.copy_from_slice(&frame[14..14 + words.len()]);
    template
}

fn mapping<T: Pod>(map: &Map, len: u32) -> Mapping<T> {
    use std::os::fd::AsFd;
    let Map::Array(data) = map else { panic!("no array") };
    Mapping::of_map(data.fd().as_fd(), len).unwrap()
}

/// The threads that are started later stay there too.
fn pin_to_this_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(nix::sched::sched_getcpu().unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &cpus).unwrap();
}
