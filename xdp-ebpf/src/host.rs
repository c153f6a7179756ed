//! The host's side of the two traits, for tests: a packet in a vector, maps in vectors, a clock that is set by hand.
#![allow(unsafe_code, reason = "hands out `Shared` records of vectors that never move, as maps do")]

use core::cell::{Cell, RefCell, UnsafeCell};
use core::ptr::NonNull;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    vec,
    vec::Vec,
};

use crate::{
    abi::*,
    admit::{self, Picked},
    family::{Address, Family, V4, V6},
    fragment,
    frame::{self, Kind},
    icmp, icmp_error,
    next_hop::{self, Hops},
    open,
    packet::{Header, NoHeadroom, Packet},
    refuse,
    shared::Shared,
    tables::{Direction, Hop, Mac, News, Route, Tables},
    toa, unsettled,
    verdict::{Code, Event},
};

/// A packet with poisoned headroom in front.
#[derive(Clone, Debug)]
pub struct HostPacket {
    bytes: Vec<u8>,
    start: usize,
    ingress: u32,
}

impl HostPacket {
    /// `frame` with `headroom` bytes of 0xFF in front, from interface `ingress`.
    pub fn new(frame: &[u8], headroom: usize, ingress: u32) -> Self {
        let mut bytes = vec![0xff; headroom];
        bytes.extend_from_slice(frame);
        Self { bytes, start: headroom, ingress }
    }

    /// The frame.
    pub fn frame(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl Packet for HostPacket {
    fn at<T: Header>(&self, offset: usize) -> Option<&T> {
        T::ref_from_prefix(self.bytes.get(self.start + offset..)?).ok().map(|(header, _)| header)
    }

    fn at_mut<T: Header>(&mut self, offset: usize) -> Option<&mut T> {
        T::mut_from_prefix(self.bytes.get_mut(self.start + offset..)?).ok().map(|(header, _)| header)
    }

    fn reaches(&self, bytes: usize) -> bool {
        self.frame().len() >= bytes
    }

    fn grow_head<const BY: usize>(&mut self) -> Result<(), NoHeadroom> {
        self.start = self.start.checked_sub(BY).ok_or(NoHeadroom)?;
        Ok(())
    }

    fn shrink_head<const BY: usize>(&mut self) -> Option<()> {
        self.shrink_head_by(BY)
    }

    fn shrink_head_by(&mut self, bytes: usize) -> Option<()> {
        self.start = Some(self.start + bytes).filter(|start| *start < self.bytes.len())?;
        Some(())
    }

    fn resize(&mut self, bytes: usize) -> Option<()> {
        let len = self.frame().len();
        if bytes > len {
            self.start = self.start.checked_sub(bytes - len)?;
        } else {
            self.bytes.truncate(self.start + bytes);
        }
        Some(())
    }

    fn answer_too_big<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        icmp_error::too_big::<F, Self, T>(self, tables).into()
    }

    fn make_plain<T: Tables>(&mut self, tables: &T) -> Result<Kind, Event> {
        frame::make_plain(self, tables)
    }

    fn restore<T: Tables>(&mut self, tables: &T, code: Code) -> Code {
        frame::restore(self, tables, code)
    }

    fn tag<T: Tables>(&mut self, tables: &T, slot: u8) -> Result<(), Event> {
        frame::tag(self, tables.interface(slot.into()).ok_or(Event::DropInternal)?.tags)
    }

    fn way_back<T: Tables>(&self, tables: &T) -> Code {
        frame::way_back(self, tables).into()
    }

    fn handle_fragment<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        fragment::handle::<F, Self, T>(self, tables).into()
    }

    fn strip_forged<F: Family>(&mut self, header_len: usize, syn: bool) -> Option<bool> {
        toa::strip::<F, Self>(self, header_len, syn)
    }

    fn lower_mss<F: Family>(&mut self, header_len: usize, by: u16) -> Option<()> {
        toa::lower_mss::<F, Self>(self, header_len, by)
    }

    fn handle_unsettled<F: Family, T: Tables>(&mut self, tables: &T) -> Code {
        unsettled::handle::<F, Self, T>(self, tables).into()
    }

    fn translate_icmp<F: Family, T: Tables>(&mut self, tables: &T, otherwise: Event) -> Code {
        icmp::translate::<F, Self, T>(self, tables, otherwise).into()
    }

    fn pick_member<F: Family, T: Tables>(&self, tables: &T) -> Result<Picked, Event> {
        admit::pick::<F, Self, T>(self, tables)
    }

    fn hop_to_client<F: Family, T: Tables>(&self, tables: &T) -> Result<Hop, Event> {
        next_hop::to_client::<F, Self, T>(self, tables)
    }

    fn hop_to_backend<T: Tables>(&self, tables: &T, backend: u16) -> Result<Hop, Event> {
        next_hop::to_backend(tables, backend)
    }

    fn open_session<F: Family, T: Tables>(
        &self,
        tables: &T,
        picked: Picked,
        hops: Hops,
    ) -> Result<(), Event> {
        if picked.ipv4 {
            open::open::<F, V4, Self, T>(self, tables, picked, hops)
        } else {
            open::open::<F, V6, Self, T>(self, tables, picked, hops)
        }
    }

    fn answer_reset<F: Family>(&mut self) -> Option<()> {
        refuse::reset::<F, Self>(self)
    }

    fn tell_of_session<F: Family, T: Tables>(&self, tables: &T, opened: Result<(), Event>) {
        open::tell::<F, Self, T>(self, tables, opened);
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }
}

/// An array map: records that never move.
pub struct Records<T>(Vec<UnsafeCell<T>>);

impl<T: Copy> Records<T> {
    /// `count` copies of `record`.
    pub fn new(count: u32, record: T) -> Self {
        Self((0..count).map(|_| UnsafeCell::new(record)).collect())
    }

    /// The record at `index`.
    pub fn shared(&self, index: u32) -> Option<Shared<'_, T>> {
        let record = NonNull::new(self.0.get(index as usize)?.get())?;
        // SAFETY: aligned, alive as long as `self`, and only ever reached by `Shared`.
        Some(unsafe { Shared::new(record) })
    }

    /// Copies of all records.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.0.len() as u32).filter_map(|index| self.shared(index)).map(Shared::snapshot)
    }
}

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
    pub services: BTreeMap<([u8; 16], u16, u8), u32>,
    /// `ek_listener`.
    pub listeners: Vec<Listener>,
    /// `ek_limit`.
    pub limits: Records<Limit>,
    /// `ek_bandwidth`.
    pub bandwidths: Records<Bandwidth>,
    /// `ek_pool`.
    pub pools: Records<Pool>,
    /// `ek_cursor`.
    pub cursors: Records<u64>,
    /// `ek_slot`.
    pub slots: Vec<u32>,
    /// `ek_load`.
    pub loads: Records<u32>,
    /// `ek_access`: list, network, prefix length, value; in any order.
    pub access: Vec<(u32, [u8; 16], u32, u32)>,
    /// `ek_fragment`.
    pub fragments: RefCell<BTreeMap<FragmentKey, Fragment>>,
    /// `ek_taken`.
    pub taken: Records<Taken>,
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
    pub service_hints: Records<u32>,
    /// `ek_next_hop`.
    pub next_hops: Records<NextHop>,
    /// How often the routing table was asked.
    pub route_lookups: Cell<u32>,
    /// The routing table: by destination.
    pub routes: BTreeMap<[u8; 16], Route>,
    /// `jiffies_64`.
    pub now: Cell<u32>,
    /// `ek_counter`.
    pub counts: RefCell<BTreeMap<&'static str, u64>>,
    /// `ek_backend_stat`, as sessions, packets in and packets out.
    pub stats: RefCell<BTreeMap<u32, [u64; 3]>>,
    /// `ek_listen_stat`.
    pub listener_stats: RefCell<BTreeMap<u32, ListenerStat>>,
    /// What was told.
    pub news: RefCell<Vec<News>>,
}

impl HostTables {
    /// Empty tables for these local addresses with `ports` local ports from `port_base` on, one plane each, and
    /// `buckets` (a power of two) forward buckets of each family.
    pub fn new(local_addresses: &[IpAddr], port_base: u16, ports: u32, buckets: u32) -> Self {
        let ring = ports.next_power_of_two();
        let (four, six): (Vec<IpAddr>, Vec<IpAddr>) = local_addresses.iter().partition(|a| a.is_ipv4());
        let config = Config {
            seed: 0x5eed,
            forward_mask: buckets - 1,
            forward6_mask: buckets - 1,
            local_addresses: four.len() as u32,
            local_addresses6: six.len() as u32,
            port_base: u32::from(port_base),
            port_count: ports,
            ring_mask: ring - 1,
            jiffies_hz: 250,
            ..Config::default()
        };
        let count = local_addresses.len() as u32;
        let mut tables = Self {
            config,
            addresses: vec![AddressBucket::default(); ADDRESS_BUCKETS as usize],
            addresses6: vec![AddressBucket::default(); ADDRESS_BUCKETS as usize],
            forward: Records::new(buckets * BUCKET, Half::default()),
            forward6: Records::new(buckets * BUCKET, Half::default()),
            reverse: Records::new(config.local_addresses * ports, Half::default()),
            reverse6: Records::new(config.local_addresses6 * ports, Half::default()),
            services: BTreeMap::new(),
            listeners: Vec::new(),
            limits: Records::new(16, Limit::default()),
            bandwidths: Records::new(16, Bandwidth::default()),
            pools: Records::new(
                16,
                Pool {
                    block: 0,
                    sticky: 0,
                    drain_timeout: 0,
                    state: ENTRY_ACTIVE,
                    reserved: [0; 7],
                    name: [0; NAME_LEN],
                },
            ),
            cursors: Records::new(16, 0),
            slots: Vec::new(),
            loads: Records::new(16, 0),
            access: Vec::new(),
            fragments: RefCell::default(),
            taken: Records::new(1, Taken::default()),
            sticky: RefCell::default(),
            backends: Vec::new(),
            planes: Records::new(count, Plane { tail: ports, ..Plane::default() }),
            ports: RefCell::default(),
            interfaces: Vec::new(),
            service_hints: Records::new(SERVICE_HINTS, 0),
            next_hops: Records::new(NEXT_HOPS, NextHop::default()),
            route_lookups: Cell::new(0),
            routes: BTreeMap::new(),
            now: Cell::new(1000),
            counts: RefCell::default(),
            stats: RefCell::default(),
            listener_stats: RefCell::default(),
            news: RefCell::default(),
        };
        for addresses in [&four, &six] {
            for (index, address) in addresses.iter().enumerate() {
                tables.own(*address, ADDRESS_LOCAL, index as u32);
            }
        }
        for (index, address) in four.iter().chain(&six).enumerate() {
            if let Some(plane) = tables.planes.shared(index as u32) {
                plane.address().set(wide(*address));
            }
            let ring = (0..ring).map(|n| port_base.wrapping_add(n as u16));
            tables.ports.borrow_mut().extend(ring);
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
        let service = Service::new(wide(vip.ip()), vip.port(), protocol);
        self.services.insert((service.vip, service.port, protocol), index);
        self.listeners.push(Listener {
            pool: index,
            idle_timeout: 300,
            access: ACCESS_OPEN,
            access_list: index,
            bandwidth: NO_BANDWIDTH,
            service,
            state: ENTRY_ACTIVE,
            kind: LISTENER_FORWARD,
            when_down: WHEN_DOWN_DROP,
            reserved: [0; 1],
            name: [0; NAME_LEN],
            load_balancer: [0; NAME_LEN],
        });
        let base = self.slots.len() as u32;
        for backend in backends {
            self.slots.push(slot_of(self.backends.len() as u16, 1));
            self.backends.push(Backend {
                address: wide(backend.ip()),
                port: backend.port(),
                weight: 1,
                pool: index,
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
        self.routes.insert(wide(destination), Route::Via(Hop::new(slot as u8, Mac::from(next_hop))));
    }

    /// How often an event was counted.
    pub fn counted(&self, event: Event) -> u64 {
        self.counts.borrow().get(event.name()).copied().unwrap_or_default()
    }
}

/// The 16 bytes of the cold records.
pub fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.octets().wide(),
        IpAddr::V6(address) => address.octets().wide(),
    }
}

fn own<F: Family>(buckets: &mut [AddressBucket<F>], address: F::Address, kind: u32, index: u32) {
    let Some(bucket) = buckets.get_mut(address_bucket(address) as usize) else { return };
    if let Some(entry) = bucket.entries.iter_mut().find(|entry| entry.kind == ADDRESS_NONE) {
        *entry = AddressEntry { address, kind, index, reserved: F::EntryPadding::default() };
    }
}

impl Tables for HostTables {
    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }
    fn generation(&self) -> u32 {
        self.config.generation
    }
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket<V4>> {
        self.addresses.get(bucket as usize)
    }
    fn addresses6(&self, bucket: u32) -> Option<&AddressBucket<V6>> {
        self.addresses6.get(bucket as usize)
    }
    fn forward(&self, index: u32) -> Option<Shared<'_, Half<V4>>> {
        self.forward.shared(index)
    }
    fn forward6(&self, index: u32) -> Option<Shared<'_, Half<V6>>> {
        self.forward6.shared(index)
    }
    fn reverse(&self, index: u32) -> Option<Shared<'_, Half<V4>>> {
        self.reverse.shared(index)
    }
    fn reverse6(&self, index: u32) -> Option<Shared<'_, Half<V6>>> {
        self.reverse6.shared(index)
    }
    fn service(&self, key: &Service) -> Option<u32> {
        self.services.get(&(key.vip, key.port, key.protocol)).copied()
    }
    fn service_hint(&self, index: u32) -> Option<Shared<'_, u32>> {
        self.service_hints.shared(index)
    }
    fn listener(&self, index: u32) -> Option<&Listener> {
        self.listeners.get(index as usize)
    }
    fn limit(&self, index: u32) -> Option<Shared<'_, Limit>> {
        self.limits.shared(index)
    }
    fn bandwidth(&self, index: u32) -> Option<Shared<'_, Bandwidth>> {
        self.bandwidths.shared(index)
    }
    fn pool(&self, index: u32) -> Option<Shared<'_, Pool>> {
        self.pools.shared(index)
    }
    fn cursor(&self, pool: u32) -> Option<Shared<'_, u64>> {
        self.cursors.shared(pool)
    }
    fn slot(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).copied()
    }
    fn load(&self, backend: u32) -> Option<Shared<'_, u32>> {
        self.loads.shared(backend)
    }
    fn access(&self, list: u32, address: [u8; 16]) -> Option<u32> {
        let covers = |network: [u8; 16], len: u32| {
            let differing = u128::from_be_bytes(network) ^ u128::from_be_bytes(address);
            differing.checked_shr(128 - len).unwrap_or(0) == 0
        };
        let of_list =
            self.access.iter().filter(|(of, network, len, _)| *of == list && covers(*network, *len));
        of_list.max_by_key(|(.., len, _)| *len).map(|(.., value)| *value)
    }
    fn sticky(&self, key: &StickyKey) -> Option<Sticky> {
        self.sticky.borrow().get(key).copied()
    }
    fn stick(&self, key: &StickyKey, sticky: &Sticky) {
        self.sticky.borrow_mut().insert(*key, *sticky);
    }
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.fragments.borrow().get(key).copied()
    }
    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment) {
        self.fragments.borrow_mut().insert(*key, *fragment);
    }
    fn taken(&self) -> Option<Shared<'_, Taken>> {
        self.taken.shared(0)
    }
    fn backend(&self, index: u32) -> Option<&Backend> {
        self.backends.get(index as usize)
    }
    fn plane(&self, index: u32) -> Option<Shared<'_, Plane>> {
        self.planes.shared(index)
    }
    fn port(&self, plane: u32, position: u32, config: &Config) -> Option<u16> {
        self.ports.borrow().get((plane * (config.ring_mask + 1) + position) as usize).copied()
    }
    fn next_hop(&self, index: u32) -> Option<Shared<'_, NextHop>> {
        self.next_hops.shared(index)
    }
    fn interface(&self, slot: u32) -> Option<&Interface> {
        static UNUSED: Interface =
            Interface { index: 0, device: 0, mtu: 0, tags: [0; 2], mac: [0; 6], reserved: [0; 2] };
        (slot < MAX_INTERFACES).then(|| self.interfaces.get(slot as usize).unwrap_or(&UNUSED))
    }
    fn route(&self, _src: [u8; 16], dst: [u8; 16]) -> Route {
        self.route_lookups.set(self.route_lookups.get() + 1);
        self.routes.get(&dst).copied().unwrap_or(Route::None)
    }
    fn jiffies(&self) -> u64 {
        self.now.get().into()
    }
    fn count(&self, event: Event) {
        *self.counts.borrow_mut().entry(event.name()).or_default() += 1;
    }
    fn count_session(&self, listener: u32, backend: u32) {
        self.listener_stats.borrow_mut().entry(listener).or_default().sessions += 1;
        self.stats.borrow_mut().entry(backend).or_default()[0] += 1;
    }
    fn count_refused(&self, listener: u32, reason: Event) {
        *self.listener_stats.borrow_mut().entry(listener).or_default().refused_for(reason) += 1;
    }
    fn count_packet(&self, listener: u32, backend: u32, direction: Direction, bytes: u32) {
        self.count_traffic(listener, direction, 1, bytes);
        let column = if direction == Direction::In { 1 } else { 2 };
        self.stats.borrow_mut().entry(backend).or_default()[column] += 1;
    }
    fn count_traffic(&self, listener: u32, direction: Direction, packets: u32, bytes: u32) {
        let mut listeners = self.listener_stats.borrow_mut();
        let stat = listeners.entry(listener).or_default();
        let (packets_sum, bytes_sum) = match direction {
            Direction::In => (&mut stat.packets_in, &mut stat.bytes_in),
            Direction::Out => (&mut stat.packets_out, &mut stat.bytes_out),
        };
        *packets_sum += u64::from(packets);
        *bytes_sum += u64::from(bytes);
    }
    fn tell(&self, news: News) {
        self.news.borrow_mut().push(news);
    }
}
