//! What the maps of a test answer.

use super::tables::HostTables;
use crate::{
    abi::*,
    address::Address,
    family::Family,
    shared::Shared,
    tables::{AddressBuckets, Direction, Halves, LogEntry, Route, Tables},
    verdict::Event,
};

impl Tables for HostTables {
    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }
    fn generation(&self) -> u32 {
        self.config.generation
    }
    fn addresses<F: Family>(&self, bucket: u32) -> Option<&AddressBucket<F>> {
        let bucket = bucket as usize;
        F::choose::<AddressBuckets<'_>>(|| self.addresses.get(bucket), || self.addresses6.get(bucket))
    }
    fn forward<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>> {
        F::choose::<Halves<'_>>(|| self.forward.shared(index), || self.forward6.shared(index))
    }
    fn reverse<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>> {
        F::choose::<Halves<'_>>(|| self.reverse.shared(index), || self.reverse6.shared(index))
    }
    fn service(&self, key: &Service) -> Option<ListenerIndex> {
        self.services.get(&(key.vip, key.port, key.protocol)).copied()
    }
    fn service_hint(&self, index: u32) -> Option<Shared<'_, ListenerIndex>> {
        self.service_hints.shared(index)
    }
    fn listener(&self, index: ListenerIndex) -> Option<&Listener> {
        self.listeners.get(index.index as usize)
    }
    fn limit(&self, index: ListenerIndex) -> Option<Shared<'_, Limit>> {
        self.limits.shared(index.into())
    }
    fn bandwidth(&self, index: u32) -> Option<Shared<'_, Bandwidth>> {
        self.bandwidths.shared(index)
    }
    fn reset_rate(&self) -> Option<Shared<'_, ResetRate>> {
        self.reset_rate.shared(0)
    }
    fn half_open(&self, place: u16) -> Option<Shared<'_, u32>> {
        self.half_open.shared(place.into())
    }
    fn pool(&self, index: PoolIndex) -> Option<Shared<'_, Pool>> {
        self.pools.shared(index.into())
    }
    fn cursor(&self, pool: PoolIndex) -> Option<Shared<'_, u64>> {
        self.cursors.shared(pool.into())
    }
    fn slot(&self, index: SlotIndex) -> Option<Slot> {
        self.slots.get(index.index as usize).copied()
    }
    fn load(&self, backend: BackendIndex) -> Option<Shared<'_, u32>> {
        self.loads.shared(backend.into())
    }
    fn access(&self, list: u32, address: MappedAddress) -> Option<u32> {
        let covers = |network: MappedAddress, len: u32| {
            let differing = u128::from_be_bytes(network.bytes) ^ u128::from_be_bytes(address.bytes);
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
    fn scratch(&self) -> Option<Shared<'_, Scratch>> {
        self.scratch.shared(0)
    }
    fn backend(&self, index: BackendIndex) -> Option<&Backend> {
        self.backends.get(index.index as usize)
    }
    fn plane(&self, index: PlaneIndex) -> Option<Shared<'_, Plane>> {
        self.planes.shared(index.into())
    }
    fn port(&self, plane: PlaneIndex, position: u32, config: &Config) -> Option<u16> {
        self.ports.borrow().get((plane.index * (config.ring_mask + 1) + position) as usize).copied()
    }
    fn next_hop(&self, index: u32) -> Option<Shared<'_, NextHop>> {
        self.next_hops.shared(index)
    }
    fn interface(&self, slot: u32) -> Option<&Interface> {
        static UNUSED: Interface =
            Interface { index: 0, device: 0, mtu: 0, tags: [0; 2], mac: [0; 6], reserved: [0; 2] };
        (slot < MAX_INTERFACES).then(|| self.interfaces.get(slot as usize).unwrap_or(&UNUSED))
    }
    fn route(&self, _src: MappedAddress, dst: MappedAddress) -> Route {
        self.route_lookups.set(self.route_lookups.get() + 1);
        self.routes.get(&dst).copied().unwrap_or(Route::None)
    }
    fn has_socket<F: Family>(&self, src: F::Address, dst: F::Address, sport: u16, dport: u16) -> bool {
        self.sockets.contains(&(src.mapped(), sport, dst.mapped(), dport))
    }
    fn jiffies(&self) -> u64 {
        self.now.get().into()
    }
    fn count(&self, event: Event) {
        *self.counts.borrow_mut().entry(event.name()).or_default() += 1;
    }
    fn count_session(&self, listener: ListenerIndex, backend: Option<BackendIndex>) {
        self.listener_stats.borrow_mut().entry(listener).or_default().sessions += 1;
        if let Some(backend) = backend {
            self.stats.borrow_mut().entry(backend).or_default()[0] += 1;
        }
    }
    fn count_refused(&self, listener: ListenerIndex, reason: Event) {
        *self.listener_stats.borrow_mut().entry(listener).or_default().refused_for(reason) += 1;
    }
    fn count_packet(&self, listener: ListenerIndex, backend: BackendIndex, direction: Direction, bytes: u32) {
        self.count_traffic(listener, direction, 1, bytes);
        let column = if direction == Direction::In { 1 } else { 2 };
        self.stats.borrow_mut().entry(backend).or_default()[column] += 1;
    }
    fn count_traffic(&self, listener: ListenerIndex, direction: Direction, packets: u32, bytes: u32) {
        let mut listeners = self.listener_stats.borrow_mut();
        let stat = listeners.entry(listener).or_default();
        let (packets_sum, bytes_sum) = match direction {
            Direction::In => (&mut stat.packets_in, &mut stat.bytes_in),
            Direction::Out => (&mut stat.packets_out, &mut stat.bytes_out),
        };
        *packets_sum += u64::from(packets);
        *bytes_sum += u64::from(bytes);
    }
    fn log(&self, entry: LogEntry) {
        self.log.borrow_mut().push(entry);
    }
}
