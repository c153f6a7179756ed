//! The maps of a test, and how it fills them.

use core::cell::{Cell, RefCell};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    vec,
    vec::Vec,
};

use super::records::Records;
use crate::{
    abi::*,
    family::{Family, V4, V6},
    tables::{Hop, LogEntry, Route},
    verdict::Event,
    wire::Mac,
};

/// Maps of vectors, in the sizes of [`HostTables::new`].
pub struct HostTables {
    /// `ek_config`.
    pub config: Config,
    /// `ek_address`.
    pub addresses: Vec<AddressBucket<V4>>,
    /// `ek_address6`.
    pub addresses6: Vec<AddressBucket<V6>>,
    /// `ek_forward`.
    pub forward: Records<Half<V4>>,
    /// `ek_forward6`.
    pub forward6: Records<Half<V6>>,
    /// `ek_reverse`.
    pub reverse: Records<Half<V4>>,
    /// `ek_reverse6`.
    pub reverse6: Records<Half<V6>>,
    /// `ek_service`.
    pub services: BTreeMap<(MappedAddress, u16, u8), ListenerIndex>,
    /// `ek_listener`.
    pub listeners: Vec<Listener>,
    /// `ek_limit`.
    pub limits: Records<Limit>,
    /// `ek_bandwidth`.
    pub bandwidths: Records<Bandwidth>,
    /// `ek_reset_rate`.
    pub reset_rate: Records<ResetRate>,
    /// `ek_half_open`.
    pub half_open: Records<u32>,
    /// This host's own sockets: of which peer's address and port, at which of its own.
    pub sockets: BTreeSet<(MappedAddress, u16, MappedAddress, u16)>,
    /// `ek_pool`.
    pub pools: Records<Pool>,
    /// `ek_cursor`.
    pub cursors: Records<u64>,
    /// `ek_slot`.
    pub slots: Vec<Slot>,
    /// `ek_load`.
    pub loads: Records<u32>,
    /// `ek_access`: list, network, prefix length, value; in any order.
    pub access: Vec<(u32, MappedAddress, u32, u32)>,
    /// `ek_fragment`.
    pub fragments: RefCell<BTreeMap<FragmentKey, Fragment>>,
    /// `ek_scratch`.
    pub scratch: Records<Scratch>,
    /// `ek_sticky`.
    pub sticky: RefCell<BTreeMap<StickyKey, Sticky>>,
    /// `ek_backend`.
    pub backends: Vec<Backend>,
    /// `ek_plane`.
    pub planes: Records<Plane>,
    /// `ek_port`.
    pub ports: RefCell<Vec<u16>>,
    /// `ek_interface`.
    pub interfaces: Vec<Interface>,
    /// `ek_service_hint`.
    pub service_hints: Records<ListenerIndex>,
    /// `ek_next_hop`.
    pub next_hops: Records<NextHop>,
    /// How often the routing table was asked.
    pub route_lookups: Cell<u32>,
    /// The routing table: by destination.
    pub routes: BTreeMap<MappedAddress, Route>,
    /// `jiffies_64`.
    pub now: Cell<u32>,
    /// `ek_counter`.
    pub counts: RefCell<BTreeMap<&'static str, u64>>,
    /// `ek_backend_stat`, as sessions, packets in and packets out.
    pub stats: RefCell<BTreeMap<BackendIndex, [u64; 3]>>,
    /// `ek_listen_stat`.
    pub listener_stats: RefCell<BTreeMap<ListenerIndex, ListenerStat>>,
    /// What was told.
    pub log: RefCell<Vec<LogEntry>>,
}

impl HostTables {
    /// Empty tables for these local addresses with `ports` local ports from `port_base` on, one plane each, and
    /// `buckets` (a power of two) forward buckets of each family.
    pub fn new(local_addresses: &[IpAddr], port_base: u16, ports: u32, buckets: u32) -> Self {
        Self::with_planes(local_addresses, 1, port_base, ports, buckets)
    }

    /// The same with so many planes (a power of two) for each local address.
    pub fn with_planes(
        local_addresses: &[IpAddr],
        planes: u32,
        port_base: u16,
        ports: u32,
        buckets: u32,
    ) -> Self {
        let ring = ports.next_power_of_two();
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = local_addresses.iter().partition(|a| a.is_ipv4());
        let config = Config {
            seed: 0x5eed,
            forward_mask: buckets - 1,
            forward6_mask: buckets - 1,
            local_addresses: four.len() as u32,
            local_addresses6: six.len() as u32,
            plane_mask: planes - 1,
            plane_mask6: planes - 1,
            port_base: u32::from(port_base),
            port_count: ports,
            ring_mask: ring - 1,
            jiffies_hz: 250,
            min_path_mtu: 1280,
            ..Config::default()
        };
        let count = local_addresses.len() as u32 * planes;
        let mut tables = Self {
            config,
            addresses: vec![AddressBucket::default(); ADDRESS_BUCKETS as usize],
            addresses6: vec![AddressBucket::default(); ADDRESS_BUCKETS as usize],
            forward: Records::new(buckets * BUCKET, Half::default()),
            forward6: Records::new(buckets * BUCKET, Half::default()),
            reverse: Records::new(config.local_addresses * planes * ports, Half::default()),
            reverse6: Records::new(config.local_addresses6 * planes * ports, Half::default()),
            services: BTreeMap::new(),
            listeners: Vec::new(),
            limits: Records::new(16, Limit::default()),
            bandwidths: Records::new(16, Bandwidth::default()),
            reset_rate: Records::new(1, ResetRate::default()),
            half_open: Records::new(HALF_OPEN_PLACES, 0),
            sockets: BTreeSet::new(),
            pools: Records::new(
                16,
                Pool {
                    block: 0,
                    sticky: 0,
                    drain_timeout: 0,
                    state: ENTRY_ACTIVE,
                    on_down: ON_DOWN_KEEP,
                    reserved: [0; 6],
                    id: [0; 16],
                    name: [0; NAME_LEN],
                },
            ),
            cursors: Records::new(16, 0),
            slots: Vec::new(),
            loads: Records::new(16, 0),
            access: Vec::new(),
            fragments: RefCell::default(),
            scratch: Records::new(1, Scratch::default()),
            sticky: RefCell::default(),
            backends: Vec::new(),
            planes: Records::new(count, Plane { tail: ports, ..Plane::default() }),
            ports: RefCell::default(),
            interfaces: Vec::new(),
            service_hints: Records::new(SERVICE_HINTS, ListenerIndex::default()),
            next_hops: Records::new(NEXT_HOPS, NextHop::default()),
            route_lookups: Cell::new(0),
            routes: BTreeMap::new(),
            now: Cell::new(1000),
            counts: RefCell::default(),
            stats: RefCell::default(),
            listener_stats: RefCell::default(),
            log: RefCell::default(),
        };
        for addresses in [&four, &six] {
            for (index, address) in addresses.iter().enumerate() {
                tables.own(*address, ADDRESS_LOCAL, index as u32);
            }
        }
        for (index, address) in four.iter().chain(&six).enumerate() {
            for plane in 0..planes {
                if let Some(plane) = tables.planes.shared(index as u32 * planes + plane) {
                    plane.address().set(MappedAddress::from(*address));
                }
                let ring = (0..ring).map(|n| port_base.wrapping_add(n as u16));
                tables.ports.borrow_mut().extend(ring);
            }
        }
        tables
    }

    /// Adds an address to `ek_address` or `ek_address6`.
    pub fn own(&mut self, address: IpAddr, kind: u32, index: u32) {
        match address {
            IpAddr::V4(address) => own(&mut self.addresses, address.octets(), kind, index),
            IpAddr::V6(address) => own(&mut self.addresses6, address.octets(), kind, index),
        }
    }

    /// Adds a listener with a pool of its own (same index) and these backends, each once in the slots.
    pub fn listen(&mut self, protocol: u8, vip: SocketAddr, backends: &[SocketAddr]) {
        self.own(vip.ip(), ADDRESS_VIP, 0);
        let index = self.listeners.len() as u32;
        let service = Service::new(MappedAddress::from(vip.ip()), vip.port(), protocol);
        self.services.insert((service.vip, service.port, protocol), ListenerIndex::new(index));
        self.listeners.push(Listener {
            pool: PoolIndex::new(index),
            idle_timeout: 300,
            access: ACCESS_OPEN,
            access_list: index,
            bandwidth: NO_BANDWIDTH,
            service,
            state: ENTRY_ACTIVE,
            kind: LISTENER_FORWARD,
            when_down: WHEN_DOWN_DROP,
            reserved: [0; 1],
            id: [0; 16],
            load_balancer_id: [0; 16],
            name: [0; NAME_LEN],
            load_balancer: [0; NAME_LEN],
        });
        let base = SlotIndex::new(self.slots.len() as u32);
        for backend in backends {
            let backend_index = BackendIndex::new(self.backends.len() as u32);
            self.slots.push(Slot { backend: backend_index.narrow(), weight: 1 });
            self.backends.push(Backend {
                address: MappedAddress::from(backend.ip()),
                port: backend.port(),
                weight: 1,
                pool: PoolIndex::new(index),
                state: ENTRY_ACTIVE,
                health: HEALTH_UNCHECKED,
                ..Backend::default()
            });
        }
        if let Some(pool) = self.pools.shared(index) {
            pool.block().set(Pool::block_of(base, backends.len() as u32, ALGORITHM_ROUND_ROBIN));
        }
    }

    /// Adds an interface with MTU 1500 and a route to `destination` through it.
    pub fn connect(&mut self, interface: u32, mac: [u8; 6], destination: IpAddr, next_hop: [u8; 6]) {
        let known = self.interfaces.iter().position(|known| known.index == interface);
        let slot = known.unwrap_or_else(|| {
            let (index, device) = (interface, interface);
            self.interfaces.push(Interface { index, device, mtu: 1500, mac, ..Interface::default() });
            self.interfaces.len() - 1
        });
        self.routes
            .insert(MappedAddress::from(destination), Route::Via(Hop::new(slot as u8, Mac::from(next_hop))));
    }

    /// How often an event was counted.
    pub fn counted(&self, event: Event) -> u64 {
        self.counts.borrow().get(event.name()).copied().unwrap_or_default()
    }
}

fn own<F: Family>(buckets: &mut [AddressBucket<F>], address: F::Address, kind: u32, index: u32) {
    let Some(bucket) = buckets.get_mut(address_bucket(address) as usize) else { return };
    if let Some(entry) = bucket.entries.iter_mut().find(|entry| entry.kind == ADDRESS_NONE) {
        *entry = AddressEntry { address, kind, index, reserved: F::EntryPadding::default() };
    }
}
