//! The loaded program, attached in a balancer's namespace, with tables as a [`HostTables`] has them. The kernel
//! tests and the benchmark run it there, packet by packet (`BPF_PROG_TEST_RUN`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, DevMap, HashMap, Map, MapData, PerCpuArray},
    programs::{Xdp, XdpMode},
};
use testbed::{
    Host, Network, Size,
    cases::{BACK, Cast, FRONT, Side},
};
use xdp_ebpf::{
    abi::{self, AddressBucket, Config, Counters, ListenerIndex, Plane, Service, map},
    family::{V4, V6},
    host::HostTables,
    verdict::Event,
};

const COUNTERS: usize = size_of::<Counters>() / 8;

/// The size of the tables of each family.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// Local addresses, from [`Cast::local`] on.
    pub local_addresses: u8,
    /// Local ports of each, from [`Cast::local`]'s on.
    pub ports: u32,
    /// Buckets of the forward table.
    pub buckets: u32,
}

impl Tables {
    /// Entries of a forward table.
    pub fn forward_len(self) -> u32 {
        self.buckets * abi::BUCKET
    }

    /// Entries of a reverse table.
    pub fn reverse_len(self) -> u32 {
        u32::from(self.local_addresses) * self.ports
    }

    /// Planes of both families, IPv4's first.
    pub fn planes(self) -> u32 {
        2 * u32::from(self.local_addresses)
    }
}

/// A balancer's namespace with the program attached.
pub struct Loaded {
    pub programs: Ebpf,
    pub network: Network,
    tables: Tables,
    indexes: [u32; 2],
}

impl Loaded {
    /// With a TCP and a UDP listener for every [`Cast`], whose pools have one member, and with neighbours and routes to
    /// match.
    pub fn new(tables: Tables) -> Self {
        let network = Network::new(Size { clients: 1, backends: 1 }).unwrap();
        let balancer = &network.balancer;
        for cast in [Cast::IPV4, Cast::IPV6] {
            for (device, address, mac) in [("front", cast.client, FRONT[1]), ("back", cast.backend, BACK[1])]
            {
                let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
                let address = address.ip().to_string();
                let neighbour = ["ip", "neighbour", "replace", &address, "lladdr", &mac, "dev", device];
                balancer.run(&neighbour).unwrap();
            }
        }
        for family in ["ipv4", "ipv6"] {
            let forwarding = format!("echo 1 > /proc/sys/net/{family}/conf/lo/forwarding");
            balancer.run(&["sh", "-c", &forwarding]).unwrap();
        }
        let indexes = ["front", "back"].map(|device| index_of(balancer, device));
        let programs = balancer.enter(|| load(tables, indexes)).unwrap();
        let mut loaded = Self { programs, network, tables, indexes };
        loaded.configure();
        loaded
    }

    /// The same tables on the host, before the first packet.
    pub fn host_tables(&self) -> HostTables {
        let local_addresses: Vec<IpAddr> = [Cast::IPV4.local.ip(), Cast::IPV6.local.ip()]
            .into_iter()
            .flat_map(|first| (0..self.tables.local_addresses).map(move |n| later(first, n.into())))
            .collect();
        let port_base = Cast::IPV4.local.port();
        let mut host = HostTables::new(&local_addresses, port_base, self.tables.ports, self.tables.buckets);
        for cast in Cast::ALL {
            for protocol in [abi::PROTOCOL_TCP, abi::PROTOCOL_UDP] {
                host.listen(protocol, cast.vip, &[cast.backend]);
            }
            host.connect(self.indexes[0], FRONT[0], cast.client.ip(), FRONT[1]);
            host.connect(self.indexes[1], BACK[0], cast.backend.ip(), BACK[1]);
        }
        host
    }

    /// Writes all but the sessions.
    fn configure(&mut self) {
        let host = self.host_tables();
        self.fill::<Config>(map::CONFIG, [host.config]);
        self.fill::<AddressBucket<V4>>(map::ADDRESS, host.addresses.iter().copied());
        self.fill::<AddressBucket<V6>>(map::ADDRESS6, host.addresses6.iter().copied());
        self.fill::<abi::Listener>(map::LISTENER, host.listeners.iter().copied());
        self.fill::<abi::Pool>(map::POOL, host.pools.iter());
        self.fill::<abi::Slot>(map::SLOT, host.slots.iter().copied());
        self.fill::<abi::Backend>(map::BACKEND, host.backends.iter().copied());
        self.fill::<Plane>(map::PLANE, host.planes.iter());
        self.fill::<u16>(map::PORT, host.ports.borrow().iter().copied());
        self.fill::<abi::Interface>(map::INTERFACE, host.interfaces.iter().copied());
        let mut services = HashMap::<_, Service, ListenerIndex>::try_from(self.map(map::SERVICE)).unwrap();
        for (&(vip, port, protocol), &index) in &host.services {
            let key = Service::new(vip, port, protocol);
            services.insert(key, index, 0).unwrap();
        }
    }

    /// A map of the program.
    pub fn map(&mut self, name: &str) -> &mut Map {
        self.programs.map_mut(name).unwrap()
    }

    /// Writes what differs.
    pub fn fill<T: Pod + PartialEq>(&mut self, name: &str, records: impl IntoIterator<Item = T>) {
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

    /// The `ctx_in` of a test run: `metadata` bytes in front of the frame, `length` bytes together, in from `side`.
    pub fn context(&self, side: Side, metadata: usize, length: usize) -> Vec<u8> {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex.
        let words = [metadata as u32, length as u32, 0, self.indexes[side as usize], 0, 0];
        words.map(u32::to_ne_bytes).concat()
    }
}

/// The address that comes `n` after another.
pub fn later(address: IpAddr, n: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() + n).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() + u128::from(n)).into(),
    }
}

fn index_of(host: &Host, device: &str) -> u32 {
    let link = host.run(&["ip", "-oneline", "link", "show", "dev", device]).unwrap();
    link.split(':').next().unwrap().trim().parse().unwrap()
}

/// Loads and attaches: a test run on behalf of an interface needs its receive queue, which a virtual one only has
/// with XDP on it.
fn load(tables: Tables, indexes: [u32; 2]) -> Ebpf {
    let mut loader = EbpfLoader::new();
    loader.override_global("AYA_LOG_LEVEL", &0u8, true);
    for (name, entries) in [
        (map::FORWARD, tables.forward_len()),
        (map::FORWARD6, tables.forward_len()),
        (map::REVERSE, tables.reverse_len()),
        (map::REVERSE6, tables.reverse_len()),
        (map::PLANE, tables.planes()),
        (map::PORT, tables.planes() * tables.ports.next_power_of_two()),
    ] {
        loader.map_max_entries(name, entries);
    }
    let mut programs =
        loader.load(evenkeel_loader::bpf::data_path().expect("run `cargo xtask setup`")).unwrap();
    let mut devices = DevMap::try_from(programs.take_map(map::DEVICE).unwrap()).unwrap();
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
