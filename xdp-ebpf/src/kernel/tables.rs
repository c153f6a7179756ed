//! [`Tables`] over the maps and helpers.

use core::ptr::NonNull;

use aya_ebpf::{
    bindings::xdp_md, btf_maps::lpm_trie::Key, helpers::generated::bpf_jiffies64, programs::XdpContext,
};
use aya_log_ebpf::info;
use xdp_ebpf::{
    abi::{
        AccessKey, AddressBucket, Backend, BackendIndex, BackendStat, Bandwidth, Config, Fragment,
        FragmentKey, Half, Interface, Limit, Listener, ListenerIndex, ListenerStat, MappedAddress, NextHop,
        Plane, PlaneIndex, Pool, PoolIndex, ResetRate, Scratch, Service, Slot, SlotIndex, Sticky, StickyKey,
    },
    family::Family,
    shared::Shared,
    tables::{AddressBuckets, Direction, Halves, LogEntry, Route, Tables},
    verdict::Event,
};

use zerocopy::transmute;

use super::{maps, route, socket};

/// The maps of this program.
pub struct Maps {
    ctx: *mut xdp_md,
}

impl Maps {
    /// For the packet in this context: route lookups happen in its network namespace.
    pub const fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    /// For what needs no packet, or has none of XDP: it may not look up routes nor tell anything.
    pub const fn without_context() -> Self {
        Self { ctx: core::ptr::null_mut() }
    }
}

#[inline(always)]
pub(super) fn shared<'a, T>(record: Option<*mut T>) -> Option<Shared<'a, T>> {
    // SAFETY: an array map's element: aligned by the kernel (64-byte records start on a page and have a 64-byte
    // stride), never freed while the program is loaded, and reached by `Shared` only.
    record.and_then(NonNull::new).map(|p| unsafe { Shared::new(p) })
}

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        maps::CONFIG.get(0)
    }
    #[inline(always)]
    fn generation(&self) -> u32 {
        // SAFETY: an array map's element. Volatile, so that it is read here, and once.
        self.config().map_or(0, |config| unsafe { (&raw const config.generation).read_volatile() })
    }
    #[inline(always)]
    fn addresses<F: Family>(&self, bucket: u32) -> Option<&AddressBucket<F>> {
        F::choose::<AddressBuckets<'_>>(|| maps::ADDRESS.get(bucket), || maps::ADDRESS6.get(bucket))
    }
    #[inline(always)]
    fn forward<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>> {
        F::choose::<Halves<'_>>(
            || shared(maps::FORWARD.get_ptr_mut(index)),
            || shared(maps::FORWARD6.get_ptr_mut(index)),
        )
    }
    #[inline(always)]
    fn reverse<F: Family>(&self, index: u32) -> Option<Shared<'_, Half<F>>> {
        F::choose::<Halves<'_>>(
            || shared(maps::REVERSE.get_ptr_mut(index)),
            || shared(maps::REVERSE6.get_ptr_mut(index)),
        )
    }
    #[inline(always)]
    fn service(&self, key: &Service) -> Option<ListenerIndex> {
        // SAFETY: the value is copied at once.
        unsafe { maps::SERVICE.get(key) }.copied()
    }
    #[inline(always)]
    fn service_hint(&self, index: u32) -> Option<Shared<'_, ListenerIndex>> {
        shared(maps::SERVICE_HINT.get_ptr_mut(index))
    }
    #[inline(always)]
    fn listener(&self, index: ListenerIndex) -> Option<&Listener> {
        maps::LISTENER.get(index.into())
    }
    #[inline(always)]
    fn limit(&self, index: ListenerIndex) -> Option<Shared<'_, Limit>> {
        shared(maps::LIMIT.get_ptr_mut(index.into()))
    }
    #[inline(always)]
    fn bandwidth(&self, index: u32) -> Option<Shared<'_, Bandwidth>> {
        shared(maps::BANDWIDTH.get_ptr_mut(index))
    }
    #[inline(always)]
    fn reset_rate(&self) -> Option<Shared<'_, ResetRate>> {
        shared(maps::RESET_RATE.get_ptr_mut(0))
    }
    #[inline(always)]
    fn half_open(&self, place: u16) -> Option<Shared<'_, u32>> {
        shared(maps::HALF_OPEN.get_ptr_mut(place.into()))
    }
    #[inline(always)]
    fn pool(&self, index: PoolIndex) -> Option<Shared<'_, Pool>> {
        shared(maps::POOL.get_ptr_mut(index.into()))
    }
    #[inline(always)]
    fn cursor(&self, pool: PoolIndex) -> Option<Shared<'_, u64>> {
        shared(maps::CURSOR.get_ptr_mut(pool.into()))
    }
    #[inline(always)]
    fn slot(&self, index: SlotIndex) -> Option<Slot> {
        maps::SLOT.get(index.into()).copied()
    }
    #[inline(always)]
    fn load(&self, backend: BackendIndex) -> Option<Shared<'_, u32>> {
        shared(maps::LOAD.get_ptr_mut(backend.into()))
    }
    #[inline(always)]
    fn access(&self, list: u32, address: MappedAddress) -> Option<u32> {
        /// The stack can only be accessed aligned, and a key is packed.
        #[repr(C, align(8))]
        struct Aligned(Key<AccessKey>);
        let key = Aligned(Key::new(160, AccessKey { list: list.to_be_bytes(), address }));
        maps::ACCESS.get(&key.0).copied()
    }
    #[inline(always)]
    fn sticky(&self, key: &StickyKey) -> Option<Sticky> {
        // SAFETY: the value is copied at once; another CPU's write may mix two entries of the same client.
        unsafe { maps::STICKY.get(key) }.copied()
    }
    #[inline(always)]
    fn stick(&self, key: &StickyKey, sticky: &Sticky) {
        // It can only fail if memory is short, and then the client is picked for again.
        let _ = maps::STICKY.insert(key, sticky, 0);
    }
    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        // SAFETY: the value is copied at once.
        unsafe { maps::FRAGMENT.get(key) }.copied()
    }
    #[inline(always)]
    fn remember_fragment(&self, key: &FragmentKey, fragment: &Fragment) {
        // It can only fail if memory is short, and then the later fragments are dropped by name.
        let _ = maps::FRAGMENT.insert(key, fragment, 0);
    }
    #[inline(always)]
    fn scratch(&self) -> Option<Shared<'_, Scratch>> {
        shared(maps::SCRATCH.get_ptr_mut(0))
    }
    #[inline(always)]
    fn backend(&self, index: BackendIndex) -> Option<&Backend> {
        maps::BACKEND.get(index.into())
    }
    #[inline(always)]
    fn plane(&self, index: PlaneIndex) -> Option<Shared<'_, Plane>> {
        shared(maps::PLANE.get_ptr_mut(index.into()))
    }
    #[inline(always)]
    fn port(&self, plane: PlaneIndex, position: u32, config: &Config) -> Option<u16> {
        maps::PORT.get(plane.index * (config.ring_mask + 1) + position).copied()
    }
    #[inline(always)]
    fn next_hop(&self, index: u32) -> Option<Shared<'_, NextHop>> {
        shared(maps::NEXT_HOP.get_ptr_mut(index))
    }
    #[inline(always)]
    fn interface(&self, slot: u32) -> Option<&Interface> {
        maps::INTERFACE.get(slot)
    }

    #[inline(always)]
    fn route(&self, src: MappedAddress, dst: MappedAddress) -> Route {
        let ([a, b], [c, d]): ([u64; 2], [u64; 2]) = (transmute!(src), transmute!(dst));
        route::decoded(route::ek_route(self.ctx, a, b, c, d))
    }

    #[inline(always)]
    fn has_socket<F: Family>(&self, src: F::Address, dst: F::Address, sport: u16, dport: u16) -> bool {
        socket::is_there(self.ctx, src, dst, sport, dport)
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn count(&self, event: Event) {
        let mut index = event as usize;
        // The compiler knows that an event has a counter, the verifier does not and wants to see it compared: so the
        // compiler must forget it.
        // SAFETY: moves a register onto itself.
        unsafe {
            core::arch::asm!("{0} = {0}", inout(reg) index, options(pure, nomem, nostack, preserves_flags))
        };
        if index >= Event::ALL.len() {
            return;
        }
        if let Some(counters) = maps::COUNTER.get_ptr_mut(0) {
            // SAFETY: `Counters` is one `u64` per event, in their order; this CPU's copy.
            unsafe { *counters.cast::<u64>().add(index) += 1 }
        }
    }

    #[inline(always)]
    fn count_session(&self, listener: ListenerIndex, backend: Option<BackendIndex>) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener.into()) {
            // SAFETY: this CPU's copy of an array element.
            unsafe { (*stat).sessions += 1 }
        }
        if let Some(stat) = backend.and_then(|backend| maps::BACKEND_STAT.get_ptr_mut(backend.into())) {
            // SAFETY: this CPU's copy of an array element.
            unsafe { (*stat).sessions += 1 }
        }
    }

    #[inline(always)]
    fn count_refused(&self, listener: ListenerIndex, reason: Event) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener.into()) {
            // SAFETY: this CPU's copy of an array element.
            *unsafe { &mut *stat }.refused_for(reason) += 1;
        }
    }

    #[inline(always)]
    fn count_traffic(&self, listener: ListenerIndex, direction: Direction, packets: u32, bytes: u32) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener.into()) {
            // SAFETY: this CPU's copy of an array element.
            let stat: &mut ListenerStat = unsafe { &mut *stat };
            match direction {
                Direction::In => {
                    stat.packets_in += u64::from(packets);
                    stat.bytes_in += u64::from(bytes);
                }
                Direction::Out => {
                    stat.packets_out += u64::from(packets);
                    stat.bytes_out += u64::from(bytes);
                }
            }
        }
    }

    #[inline(always)]
    fn count_packet(&self, listener: ListenerIndex, backend: BackendIndex, direction: Direction, bytes: u32) {
        self.count_traffic(listener, direction, 1, bytes);
        if let Some(stat) = maps::BACKEND_STAT.get_ptr_mut(backend.into()) {
            // SAFETY: this CPU's copy of an array element.
            let stat: &mut BackendStat = unsafe { &mut *stat };
            match direction {
                Direction::In => {
                    stat.packets_in += 1;
                    stat.bytes_in += u64::from(bytes);
                }
                Direction::Out => {
                    stat.packets_out += 1;
                    stat.bytes_out += u64::from(bytes);
                }
            }
        }
    }

    #[inline(always)]
    fn log(&self, entry: LogEntry) {
        match entry {
            // In two lines, because one with four addresses needs more stack than is left.
            LogEntry::Opened { client, vip } => {
                info!(
                    self.ctx,
                    "session opened: {:i}:{} -> {:i}:{}", client.0.bytes, client.1, vip.0.bytes, vip.1
                )
            }
            LogEntry::Joined { local, backend } => {
                info!(
                    self.ctx,
                    "session opened: {:i}:{} -> {:i}:{}", local.0.bytes, local.1, backend.0.bytes, backend.1
                )
            }
            LogEntry::Refused { client, vip, event } => {
                info!(
                    self.ctx,
                    "session refused: {:i}:{} -> {:i}:{}: {}",
                    client.0.bytes,
                    client.1,
                    vip.0.bytes,
                    vip.1,
                    event.name()
                )
            }
        }
    }
}
