//! The maps, and the questions asked of them.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
};

use aya_ebpf::{
    bindings::{BPF_SK_STORAGE_GET_F_CREATE, bpf_sock},
    btf_maps::{LpmTrie, PerCpuArray, SkStorage, lpm_trie::Key},
    helpers::generated::bpf_sk_storage_get,
    macros::btf_map,
    programs::{SockAddrContext, SockOpsContext},
};
use xdp_ebpf::{
    address::MappedAddress,
    receiver::{Connection, Counters, MAX_TRUSTED},
    shared::Shared,
};

#[btf_map(name = "ek_toa_client")]
static CLIENT: SkStorage<Connection> = SkStorage::new();
#[btf_map(name = "ek_toa_trusted")]
static TRUSTED: LpmTrie<MappedAddress, u32, { MAX_TRUSTED as usize }> = LpmTrie::new();
#[btf_map(name = "ek_toa_counter")]
static COUNTER: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// Whether options from this address count.
#[inline(always)]
pub fn is_trusted(address: MappedAddress) -> bool {
    TRUSTED.get(&Key::new(128, address)).is_some()
}

/// Adds one to the counter that `pick` points to.
#[inline(always)]
pub fn count(pick: impl FnOnce(*mut Counters) -> *mut u64) {
    let counter = COUNTER.get_ptr_mut(0).map(pick).and_then(NonNull::new);
    if let Some(counter) = counter {
        // SAFETY: a counter of this CPU's record, never freed. The addition is atomic because a softirq may come in
        // the middle of a process's.
        unsafe { Shared::new(counter) }.value().count();
    }
}

/// Puts the connection into its socket's storage, which the kernel frees with the socket. Whether there was memory.
#[inline(always)]
pub fn keep(ctx: &SockOpsContext, connection: &Connection) -> bool {
    // SAFETY: the context's socket, checked by the helper below.
    let socket = unsafe { (*ctx.ops).__bindgen_anon_2.sk };
    !storage(socket, ptr::from_ref(connection).cast_mut(), BPF_SK_STORAGE_GET_F_CREATE.into()).is_null()
}

/// What was put into this socket's storage.
#[inline(always)]
pub fn kept(ctx: &SockAddrContext) -> Option<&'static Connection> {
    // SAFETY: the context's socket.
    let socket = unsafe { (*ctx.sock_addr).__bindgen_anon_1.sk };
    // SAFETY: written once, before anybody can have the socket, and freed after this program has ended.
    unsafe { storage(socket, ptr::null_mut(), 0).as_ref() }
}

#[inline(always)]
fn storage(socket: *mut bpf_sock, value: *mut Connection, flags: u64) -> *mut Connection {
    if socket.is_null() {
        return ptr::null_mut();
    }
    let map = (&raw const CLIENT).cast_mut().cast::<c_void>();
    // SAFETY: the map holds `Connection`s.
    unsafe { bpf_sk_storage_get(map, socket.cast(), value.cast(), flags).cast() }
}
