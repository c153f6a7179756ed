//! The loaded program in the world of [`testbed::cases`], with the same tables as a [`HostTables`] beside it.

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, Map, MapData, PerCpuArray},
    programs::{TestRun, TestRunOptions, Xdp, XdpMode},
};
use testbed::{
    Host, Network, Size,
    cases::{BACK, BACKEND, CLIENT, FRONT, LOCAL, Side, VIP},
};
use xdp_ebpf::{
    abi::{self, AddressBucket, Config, Counters, Half, Plane, Service, map},
    host::HostTables,
    verdict::Event,
};

const PORTS: u32 = 64;
const BUCKETS: u32 = 16;
/// Rubbish in front of each packet: a test run would leave zeros there, which hide a byte that was forgotten. It
/// goes in as metadata.
const POISON: usize = 32;

/// A balancer's namespace with the program attached.
pub struct Kernel {
    programs: Ebpf,
    network: Network,
    indexes: [u32; 2],
}

/// What became of a packet: the XDP action, and the frame.
pub type Fate = (u32, Vec<u8>);

impl Kernel {
    pub fn new() -> Self {
        let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
        let balancer = &network.balancer;
        let neighbours = [("front", CLIENT, FRONT[1]), ("back", BACKEND, BACK[1])];
        for (device, address, mac) in neighbours {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let address = address.ip().to_string();
            balancer.run(&["ip", "neighbour", "replace", &address, "lladdr", &mac, "dev", device]).unwrap();
        }
        balancer.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/lo/forwarding"]).unwrap();
        let indexes = ["front", "back"].map(|device| index_of(balancer, device));
        let programs = balancer.enter(|| load(indexes)).unwrap();
        let mut kernel = Self { programs, network, indexes };
        kernel.configure();
        kernel
    }

    /// Fresh tables, in the kernel and on the host.
    pub fn reset(&mut self) -> HostTables {
        let host = self.host_tables();
        self.fill::<Half>(map::FORWARD, host.forward.iter());
        self.fill::<Half>(map::REVERSE, host.reverse.iter());
        self.fill::<u64>(map::CURSOR, host.cursors.iter());
        self.fill::<Plane>(map::PLANE, host.planes.iter());
        host
    }

    fn host_tables(&self) -> HostTables {
        let local = LOCAL.ip().octets();
        let mut host = HostTables::new(&[local], LOCAL.port(), PORTS, BUCKETS);
        for protocol in [abi::PROTOCOL_TCP, abi::PROTOCOL_UDP] {
            host.listen(protocol, VIP.ip().octets(), VIP.port(), &[(BACKEND.ip().octets(), BACKEND.port())]);
        }
        host.connect(self.indexes[0], FRONT[0], CLIENT.ip().octets(), FRONT[1]);
        host.connect(self.indexes[1], BACK[0], BACKEND.ip().octets(), BACK[1]);
        host
    }

    /// Writes what no packet changes.
    fn configure(&mut self) {
        let host = self.host_tables();
        self.fill::<Config>(map::CONFIG, [host.config]);
        self.fill::<AddressBucket>(map::ADDRESS, host.addresses.iter().copied());
        self.fill::<abi::Listener>(map::LISTENER, host.listeners.iter().copied());
        self.fill::<abi::Pool>(map::POOL, host.pools.iter());
        self.fill::<u32>(map::SLOT, host.slots.iter().copied());
        self.fill::<abi::Backend>(map::BACKEND, host.backends.iter().copied());
        self.fill::<u16>(map::PORT, host.ports.borrow().iter().copied());
        self.fill::<abi::Interface>(map::INTERFACE, host.interfaces.iter().copied());
        let mut services = HashMap::<_, Service, u32>::try_from(self.map(map::SERVICE)).unwrap();
        for (&(vip, port, protocol), index) in &host.services {
            let key = Service { vip, port, protocol, reserved: 0 };
            services.insert(key, index, 0).unwrap();
        }
    }

    fn map(&mut self, name: &str) -> &mut Map {
        self.programs.map_mut(name).unwrap()
    }

    /// Writes what differs.
    fn fill<T: Pod + PartialEq>(&mut self, name: &str, records: impl IntoIterator<Item = T>) {
        let mut array: Array<&mut MapData, T> = self.map(name).try_into().unwrap();
        for (index, record) in records.into_iter().enumerate() {
            let index = index as u32;
            if array.get(&index, 0).unwrap() != record {
                array.set(index, record, 0).unwrap();
            }
        }
    }

    /// Counters over all CPUs, in the order of [`Event::ALL`].
    pub fn counters(&mut self) -> Vec<u64> {
        let array: PerCpuArray<&mut MapData, Counters> = self.map(map::COUNTER).try_into().unwrap();
        let mut sums = vec![0; Event::ALL.len()];
        for counters in array.get(&0, 0).unwrap().iter() {
            for (sum, count) in sums.iter_mut().zip(zerocopy::transmute_ref!(counters) as &[u64; COUNTERS]) {
                *sum += count;
            }
        }
        sums
    }

    /// Runs the program on a frame from one side.
    pub fn run(&self, side: Side, frame: &[u8]) -> Fate {
        let program: &Xdp = self.programs.program("evenkeel").unwrap().try_into().unwrap();
        let input = [&[0xff; POISON], frame].concat();
        let mut output = vec![0; input.len() + 64];
        let mut ctx_out = [0; 24];
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [POISON as u32, input.len() as u32, 0, self.indexes[side as usize], 0, 0];
        let ctx_in = words.map(u32::to_ne_bytes).concat();
        let options = TestRunOptions {
            data_in: Some(&input),
            data_out: Some(&mut output),
            ctx_in: Some(&ctx_in),
            ctx_out: Some(&mut ctx_out),
            ..TestRunOptions::default()
        };
        let result = self.network.balancer.enter(|| program.test_run(options)).unwrap().unwrap();
        output.truncate(result.data_size_out as usize);
        let start = u32::from_ne_bytes(ctx_out[..4].try_into().unwrap()) as usize;
        (result.return_value, output[start..].to_vec())
    }
}

const COUNTERS: usize = size_of::<Counters>() / 8;

fn index_of(host: &Host, device: &str) -> u32 {
    let link = host.run(&["ip", "-oneline", "link", "show", "dev", device]).unwrap();
    link.split(':').next().unwrap().trim().parse().unwrap()
}

/// Loads and attaches: a test run on behalf of an interface needs its receive queue, which a virtual one only has
/// with XDP on it.
fn load(indexes: [u32; 2]) -> Ebpf {
    let mut loader = EbpfLoader::new();
    loader.override_global("AYA_LOG_LEVEL", &0u8, true);
    loader.map_max_entries(map::FORWARD, BUCKETS * abi::BUCKET);
    loader.map_max_entries(map::REVERSE, PORTS);
    loader.map_max_entries(map::PLANE, 1);
    loader.map_max_entries(map::PORT, PORTS);
    let mut programs = loader.load(evenkeel::bpf::bpf_object().expect("run `cargo xtask setup`")).unwrap();
    let mut devices = aya::maps::DevMap::try_from(programs.take_map(map::DEVICE).unwrap()).unwrap();
    for (slot, index) in indexes.into_iter().enumerate() {
        devices.set(slot as u32, index, None, 0).unwrap();
    }
    let program: &mut Xdp = programs.program_mut("evenkeel").unwrap().try_into().unwrap();
    program.load().unwrap();
    for index in indexes {
        program.attach_to_if_index(index, XdpMode::Driver).unwrap();
    }
    programs
}
