//! The loaded program in the world of [`testbed::cases`], with the same tables as a [`HostTables`] beside it.

use aya::{
    maps::{HashMap, MapData},
    programs::{TestRun, TestRunOptions, Xdp},
};
use testbed::cases::Side;
use xdp_ebpf::{
    abi::{Fragment, FragmentKey, Half, Plane, map},
    family::{V4, V6},
    host::HostTables,
};

use crate::loaded::{Loaded, Tables};

const TABLES: Tables = Tables { local_addresses: 1, ports: 64, buckets: 16 };
/// Rubbish in front of each packet: a test run would leave zeros there, which hide a byte that was forgotten. It
/// goes in as metadata.
const POISON: usize = 32;

/// The program, ready for a case.
pub struct Kernel {
    loaded: Loaded,
}

/// What became of a packet: the XDP action, and the frame.
pub type Fate = (u32, Vec<u8>);

impl Kernel {
    pub fn new() -> Self {
        Self { loaded: Loaded::new(TABLES) }
    }

    /// Fresh tables, in the kernel and on the host.
    pub fn reset(&mut self) -> HostTables {
        let host = self.loaded.host_tables();
        self.loaded.fill::<Half<V4>>(map::FORWARD, host.forward.iter());
        self.loaded.fill::<Half<V6>>(map::FORWARD6, host.forward6.iter());
        self.loaded.fill::<Half<V4>>(map::REVERSE, host.reverse.iter());
        self.loaded.fill::<Half<V6>>(map::REVERSE6, host.reverse6.iter());
        self.loaded.fill::<u64>(map::CURSOR, host.cursors.iter());
        self.loaded.fill::<Plane>(map::PLANE, host.planes.iter());
        let mut fragments: HashMap<&mut MapData, FragmentKey, Fragment> =
            self.loaded.map(map::FRAGMENT).try_into().unwrap();
        let known: Vec<_> = fragments.keys().collect::<Result<_, _>>().unwrap();
        known.iter().for_each(|key| fragments.remove(key).unwrap());
        host
    }

    /// Counters over all CPUs, in the order of [`xdp_ebpf::verdict::Event::ALL`].
    pub fn counters(&mut self) -> Vec<u64> {
        self.loaded.counters()
    }

    /// Runs the program on a frame from one side.
    pub fn run(&self, side: Side, frame: &[u8]) -> Fate {
        let program: &Xdp = self.loaded.programs.program("evenkeel").unwrap().try_into().unwrap();
        let input = [&[0xff; POISON], frame].concat();
        let mut output = vec![0; input.len() + 64];
        let mut ctx_out = [0; 24];
        let ctx_in = self.loaded.context(side, POISON, input.len());
        let options = TestRunOptions {
            data_in: Some(&input),
            data_out: Some(&mut output),
            ctx_in: Some(&ctx_in),
            ctx_out: Some(&mut ctx_out),
            ..TestRunOptions::default()
        };
        let result = self.loaded.network.balancer.enter(|| program.test_run(options)).unwrap().unwrap();
        output.truncate(result.data_size_out as usize);
        let start = u32::from_ne_bytes(ctx_out[..4].try_into().unwrap()) as usize;
        (result.return_value, output[start..].to_vec())
    }
}
