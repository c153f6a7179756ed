//! [`Tables`] over the maps and helpers.

use core::{mem::MaybeUninit, ptr::NonNull};

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibLookup, xdp_md},
    btf_maps::lpm_trie::Key,
    helpers::generated::{bpf_fib_lookup, bpf_jiffies64},
    programs::XdpContext,
};
use aya_log_ebpf::info;
use xdp_ebpf::{
    abi::{
        AccessKey, AddressBucket, Backend, BackendStat, Bandwidth, Config, Half, Interface, Limit, Listener,
        ListenerStat, Plane, Pool, Service, Sticky, StickyKey,
    },
    shared::Shared,
    tables::{Direction, Mac, News, Route, Tables},
    verdict::Event,
};

use super::maps;

/// The interface index of `lo` in every network namespace. Routes are looked up as for a packet that the host
/// itself sends: that needs `net.ipv4.conf.lo.forwarding` and leaves forwarding off on the real interfaces.
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;

/// The maps of this program.
pub struct Maps {
    ctx: *mut xdp_md,
}

impl Maps {
    /// For the packet in this context: route lookups happen in its network namespace.
    pub const fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }
}

#[inline(always)]
fn shared<'a, T>(record: Option<*mut T>) -> Option<Shared<'a, T>> {
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
    fn addresses(&self, bucket: u32) -> Option<&AddressBucket> {
        maps::ADDRESS.get(bucket)
    }
    #[inline(always)]
    fn forward(&self, index: u32) -> Option<Shared<'_, Half>> {
        shared(maps::FORWARD.get_ptr_mut(index))
    }
    #[inline(always)]
    fn reverse(&self, index: u32) -> Option<Shared<'_, Half>> {
        shared(maps::REVERSE.get_ptr_mut(index))
    }
    #[inline(always)]
    fn service(&self, key: &Service) -> Option<u32> {
        // SAFETY: the value is copied at once.
        unsafe { maps::SERVICE.get(key) }.copied()
    }
    #[inline(always)]
    fn listener(&self, index: u32) -> Option<&Listener> {
        maps::LISTENER.get(index)
    }
    #[inline(always)]
    fn limit(&self, index: u32) -> Option<Shared<'_, Limit>> {
        shared(maps::LIMIT.get_ptr_mut(index))
    }
    #[inline(always)]
    fn bandwidth(&self, index: u32) -> Option<Shared<'_, Bandwidth>> {
        shared(maps::BANDWIDTH.get_ptr_mut(index))
    }
    #[inline(always)]
    fn pool(&self, index: u32) -> Option<Shared<'_, Pool>> {
        shared(maps::POOL.get_ptr_mut(index))
    }
    #[inline(always)]
    fn cursor(&self, pool: u32) -> Option<Shared<'_, u64>> {
        shared(maps::CURSOR.get_ptr_mut(pool))
    }
    #[inline(always)]
    fn slot(&self, index: u32) -> Option<u32> {
        maps::SLOT.get(index).copied()
    }
    #[inline(always)]
    fn load(&self, backend: u32) -> Option<Shared<'_, u32>> {
        shared(maps::LOAD.get_ptr_mut(backend))
    }
    #[inline(always)]
    fn access(&self, list: u32, address: [u8; 4]) -> Option<u32> {
        let key = Key::new(64, AccessKey { list: list.to_be_bytes(), address });
        maps::ACCESS.get(&key).copied()
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
    fn backend(&self, index: u32) -> Option<&Backend> {
        maps::BACKEND.get(index)
    }
    #[inline(always)]
    fn plane(&self, index: u32) -> Option<Shared<'_, Plane>> {
        shared(maps::PLANE.get_ptr_mut(index))
    }
    #[inline(always)]
    fn port(&self, plane: u32, position: u32, config: &Config) -> Option<u16> {
        maps::PORT.get(plane * (config.ring_mask + 1) + position).copied()
    }
    #[inline(always)]
    fn interface(&self, slot: u32) -> Option<&Interface> {
        maps::INTERFACE.get(slot)
    }

    #[inline(always)]
    fn route(&self, src: [u8; 4], dst: [u8; 4]) -> Route {
        // As words, so that the compiler clears it in aligned pieces: the verifier refuses any other on the stack.
        let mut words = MaybeUninit::<[u64; size_of::<FibLookup>() / 8]>::uninit();
        let first = words.as_mut_ptr().cast::<u64>();
        for word in 0..size_of::<FibLookup>() / 8 {
            // SAFETY: inside `words`. Volatile, because a `memset` would be a call of a loop over bytes.
            unsafe { first.add(word).write_volatile(0) }
        }
        let question = first.cast::<FibLookup>();
        let length = size_of::<FibLookup>() as i32;
        // SAFETY: 64 bytes of zeros are a valid question; the helper writes its answer there.
        unsafe {
            (*question).family = AF_INET;
            (*question).ifindex = LOOPBACK;
            (*question).__bindgen_anon_3.ipv4_src = u32::from_ne_bytes(src);
            (*question).__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(dst);
            let interface = &raw const (*question).ifindex;
            match bpf_fib_lookup(self.ctx.cast(), question, length, 0) as u32 {
                BPF_FIB_LKUP_RET_SUCCESS => {
                    // Volatile, so that the compiler does not merge the MAC's words into an unaligned access.
                    let mac = (&raw const (*question).dmac).cast::<u16>();
                    let mac = [mac.read_volatile(), mac.add(1).read_volatile(), mac.add(2).read_volatile()];
                    Route::Via { interface: interface.read(), mac: Mac::from_words(mac) }
                }
                BPF_FIB_LKUP_RET_NO_NEIGH => Route::NoNeighbour { interface: interface.read() },
                _ => Route::None,
            }
        }
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
    fn count_session(&self, listener: u32, backend: u32) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener) {
            // SAFETY: this CPU's copy of an array element.
            unsafe { (*stat).sessions += 1 }
        }
        if let Some(stat) = maps::BACKEND_STAT.get_ptr_mut(backend) {
            // SAFETY: this CPU's copy of an array element.
            unsafe { (*stat).sessions += 1 }
        }
    }

    #[inline(always)]
    fn count_refused(&self, listener: u32, reason: Event) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener) {
            // SAFETY: this CPU's copy of an array element.
            *unsafe { &mut *stat }.refused_for(reason) += 1;
        }
    }

    #[inline(always)]
    fn count_packet(&self, listener: u32, backend: u32, direction: Direction, bytes: u32) {
        if let Some(stat) = maps::LISTENER_STAT.get_ptr_mut(listener) {
            // SAFETY: this CPU's copy of an array element.
            let stat: &mut ListenerStat = unsafe { &mut *stat };
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
        if let Some(stat) = maps::BACKEND_STAT.get_ptr_mut(backend) {
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
    fn tell(&self, news: News) {
        match news {
            News::Opened { client, vip, local, backend } => info!(
                self.ctx,
                "session opened: {:i}:{} -> {:i}:{} via {:i}:{} to {:i}:{}",
                client.0,
                client.1,
                vip.0,
                vip.1,
                local.0,
                local.1,
                backend.0,
                backend.1
            ),
            News::Refused { client, vip, event } => {
                info!(
                    self.ctx,
                    "session refused: {:i}:{} -> {:i}:{}: {}",
                    client.0,
                    client.1,
                    vip.0,
                    vip.1,
                    event.name()
                )
            }
        }
    }
}
