//! Names of the maps; at most 15 characters, because the kernel cuts longer ones silently.

/// [`super::Config`], one record (array, mmapable).
pub const CONFIG: &str = "ek_config";
/// [`super::AddressBucket`]s of IPv4: is this destination a VIP or a local address (array, mmapable)?
pub const ADDRESS: &str = "ek_address";
/// The same of IPv6.
pub const ADDRESS6: &str = "ek_address6";
/// [`super::ListenerIndex`] by [`super::Service`] (hash).
pub const SERVICE: &str = "ek_service";
/// [`super::ListenerIndex`] by [`super::Service::hint_index`], as `ek_service` had it; it may no longer be right (array).
pub const SERVICE_HINT: &str = "ek_service_hint";
/// [`super::Listener`]s by index (array).
pub const LISTENER: &str = "ek_listener";
/// [`super::Pool`]s by index (array, mmapable).
pub const POOL: &str = "ek_pool";
/// One `u64` per pool: how many picks it has made (array).
pub const CURSOR: &str = "ek_cursor";
/// [`super::Slot`]s, in one block per pool; what they mean is [`super::Pool::block`]'s to say (array, mmapable).
pub const SLOT: &str = "ek_slot";
/// [`super::Backend`]s by index (array, mmapable).
pub const BACKEND: &str = "ek_backend";
/// Connections that each backend has now, by backend index: sessions that are not over (array of `u32`, mmapable).
pub const LOAD: &str = "ek_load";
/// `ACCESS_…` by [`super::AccessKey`]: who may connect to a listener (longest-prefix trie).
pub const ACCESS: &str = "ek_access";
/// [`super::Sticky`] by [`super::StickyKey`]: which client stays with which member (LRU hash).
pub const STICKY: &str = "ek_sticky";
/// [`super::BackendStat`]s by backend index (per-CPU array).
pub const BACKEND_STAT: &str = "ek_backend_stat";
/// [`super::ListenerStat`]s by listener index (per-CPU array).
pub const LISTENER_STAT: &str = "ek_listen_stat";
/// [`super::Limit`]s by listener index (array, mmapable).
pub const LIMIT: &str = "ek_limit";
/// [`super::Bandwidth`]s by [`super::Listener::bandwidth`] (array, mmapable).
pub const BANDWIDTH: &str = "ek_bandwidth";
/// [`super::ResetRate`], one record (array, mmapable).
pub const RESET_RATE: &str = "ek_reset_rate";
/// Half-open sessions by [`super::Common::prefix`] (array of `u32`, mmapable).
pub const HALF_OPEN: &str = "ek_half_open";
/// [`super::Half`]s, client → backend, in two-choice buckets by the hash of the client's 5-tuple (array, mmapable).
pub const FORWARD: &str = "ek_forward";
/// The same of IPv6 clients.
pub const FORWARD6: &str = "ek_forward6";
/// [`super::Half`]s, backend → client, addressed directly by local address, plane and port (array, mmapable).
pub const REVERSE: &str = "ek_reverse";
/// The same of IPv6 backends.
pub const REVERSE6: &str = "ek_reverse6";
/// [`super::Plane`]s: one FIFO of free local ports each, those of IPv4's local addresses first (array, mmapable).
pub const PLANE: &str = "ek_plane";
/// The rings of the planes: `u16` ports, `ring_mask + 1` per plane (array, mmapable).
pub const PORT: &str = "ek_port";
/// [`super::Fragment`] by [`super::FragmentKey`]: the ports of datagrams in pieces (LRU hash).
pub const FRAGMENT: &str = "ek_fragment";
/// [`super::Scratch`] (per-CPU array, one record).
pub const SCRATCH: &str = "ek_scratch";
/// [`super::NextHop`]s by a hash of both ends (per-CPU array).
pub const NEXT_HOP: &str = "ek_next_hop";
/// [`super::Interface`]s by slot (array).
pub const INTERFACE: &str = "ek_interface";
/// The redirect map, by the same slot (devmap).
pub const DEVICE: &str = "ek_device";
/// Frames that the kernel could not send by the interface in each slot (per-CPU array of `u64`).
pub const NOT_SENT: &str = "ek_not_sent";
/// [`super::Counters`] (per-CPU array, one record).
pub const COUNTER: &str = "ek_counter";
/// The listening sockets of Layer-7 listeners by [`super::Service`] (sockhash).
pub const SOCKET: &str = "ek_socket";

/// Every map; all are pinned.
pub const ALL: [&str; 33] = [
    ACCESS,
    CONFIG,
    ADDRESS,
    ADDRESS6,
    SERVICE,
    SERVICE_HINT,
    LISTENER,
    POOL,
    CURSOR,
    SLOT,
    LOAD,
    STICKY,
    BACKEND,
    BACKEND_STAT,
    LISTENER_STAT,
    LIMIT,
    BANDWIDTH,
    RESET_RATE,
    HALF_OPEN,
    FORWARD,
    FORWARD6,
    REVERSE,
    REVERSE6,
    PLANE,
    PORT,
    FRAGMENT,
    SCRATCH,
    NEXT_HOP,
    INTERFACE,
    DEVICE,
    NOT_SENT,
    COUNTER,
    SOCKET,
];
