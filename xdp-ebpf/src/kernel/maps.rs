//! The maps. What they hold is in [`xdp_ebpf::abi`]; sizes that depend on the configuration are set when they are
//! loaded.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps::{Array, DevMap, HashMap, LpmTrie, LruHashMap, PerCpuArray, SockHash},
    macros::btf_map,
};
use xdp_ebpf::{
    abi::{
        ADDRESS_BUCKETS, AccessKey, AddressBucket, Backend, BackendStat, Bandwidth, Config, Counters,
        Fragment, FragmentKey, HALF_OPEN_PLACES, Half, Interface, Limit, Listener, ListenerIndex,
        ListenerStat, MAX_ACCESS, MAX_BACKENDS, MAX_FRAGMENTS, MAX_INTERFACES, MAX_LISTENERS, MAX_POOLS,
        MAX_SLOTS, MAX_STICKY, NEXT_HOPS, NextHop, Plane, Pool, ResetRate, SERVICE_HINTS, Scratch, Service,
        Slot, Sticky, StickyKey,
    },
    family::{V4, V6},
};

const MMAP: usize = BPF_F_MMAPABLE as usize;
/// Stands in for a size that the loader sets.
const BY_CONFIGURATION: usize = 1;

#[btf_map(name = "ek_config")]
pub static CONFIG: Array<Config, 1, MMAP> = Array::new();
#[btf_map(name = "ek_address")]
pub static ADDRESS: Array<AddressBucket<V4>, { ADDRESS_BUCKETS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_address6")]
pub static ADDRESS6: Array<AddressBucket<V6>, { ADDRESS_BUCKETS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_service")]
pub static SERVICE: HashMap<Service, ListenerIndex, { MAX_LISTENERS as usize }> = HashMap::new();
#[btf_map(name = "ek_service_hint")]
pub static SERVICE_HINT: Array<ListenerIndex, { SERVICE_HINTS as usize }> = Array::new();
#[btf_map(name = "ek_listener")]
pub static LISTENER: Array<Listener, { MAX_LISTENERS as usize }> = Array::new();
#[btf_map(name = "ek_pool")]
pub static POOL: Array<Pool, { MAX_POOLS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_cursor")]
pub static CURSOR: Array<u64, { MAX_POOLS as usize }> = Array::new();
#[btf_map(name = "ek_slot")]
pub static SLOT: Array<Slot, { MAX_SLOTS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_load")]
pub static LOAD: Array<u32, { MAX_BACKENDS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_access")]
pub static ACCESS: LpmTrie<AccessKey, u32, { MAX_ACCESS as usize }> = LpmTrie::new();
#[btf_map(name = "ek_sticky")]
pub static STICKY: LruHashMap<StickyKey, Sticky, { MAX_STICKY as usize }> = LruHashMap::new();
#[btf_map(name = "ek_fragment")]
pub static FRAGMENT: LruHashMap<FragmentKey, Fragment, { MAX_FRAGMENTS as usize }> = LruHashMap::new();
#[btf_map(name = "ek_scratch")]
pub static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();
#[btf_map(name = "ek_backend")]
pub static BACKEND: Array<Backend, { MAX_BACKENDS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_backend_stat")]
pub static BACKEND_STAT: PerCpuArray<BackendStat, { MAX_BACKENDS as usize }> = PerCpuArray::new();
#[btf_map(name = "ek_listen_stat")]
pub static LISTENER_STAT: PerCpuArray<ListenerStat, { MAX_LISTENERS as usize }> = PerCpuArray::new();
#[btf_map(name = "ek_limit")]
pub static LIMIT: Array<Limit, { MAX_LISTENERS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_bandwidth")]
pub static BANDWIDTH: Array<Bandwidth, { MAX_LISTENERS as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_reset_rate")]
pub static RESET_RATE: Array<ResetRate, 1, MMAP> = Array::new();
#[btf_map(name = "ek_half_open")]
pub static HALF_OPEN: Array<u32, { HALF_OPEN_PLACES as usize }, MMAP> = Array::new();
#[btf_map(name = "ek_forward")]
pub static FORWARD: Array<Half<V4>, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_forward6")]
pub static FORWARD6: Array<Half<V6>, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_reverse")]
pub static REVERSE: Array<Half<V4>, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_reverse6")]
pub static REVERSE6: Array<Half<V6>, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_plane")]
pub static PLANE: Array<Plane, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_port")]
pub static PORT: Array<u16, BY_CONFIGURATION, MMAP> = Array::new();
#[btf_map(name = "ek_next_hop")]
pub static NEXT_HOP: PerCpuArray<NextHop, { NEXT_HOPS as usize }> = PerCpuArray::new();
#[btf_map(name = "ek_interface")]
pub static INTERFACE: Array<Interface, { MAX_INTERFACES as usize }> = Array::new();
#[btf_map(name = "ek_device")]
pub static DEVICE: DevMap<{ MAX_INTERFACES as usize }> = DevMap::new();
#[btf_map(name = "ek_not_sent")]
pub static NOT_SENT: PerCpuArray<u64, { MAX_INTERFACES as usize }> = PerCpuArray::new();
#[btf_map(name = "ek_counter")]
pub static COUNTER: PerCpuArray<Counters, 1> = PerCpuArray::new();
#[btf_map(name = "ek_socket")]
pub static SOCKET: SockHash<Service, { MAX_LISTENERS as usize }> = SockHash::new();
