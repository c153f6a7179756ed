//! This host's own sockets, asked by `bpf_skc_lookup_tcp`.

use aya_ebpf::{
    bindings::{bpf_sock_tuple, xdp_md},
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp},
};
use xdp_ebpf::address::Address;

/// `BPF_F_CURRENT_NETNS`: that of the interface.
const THIS_NAMESPACE: u64 = u64::MAX;

/// `struct bpf_sock_tuple` of one family: as a segment has them, in network order.
#[repr(C, align(4))]
struct Tuple<A> {
    src: A,
    dst: A,
    sport: [u8; 2],
    dport: [u8; 2],
}

/// Whether this host has a socket that a segment between these is for, connected or listening.
#[inline(always)]
pub fn is_there<A: Address>(ctx: *mut xdp_md, src: A, dst: A, sport: u16, dport: u16) -> bool {
    let mut tuple = Tuple { src, dst, sport: sport.to_be_bytes(), dport: dport.to_be_bytes() };
    let (tuple, size) = (&raw mut tuple, size_of::<Tuple<A>>() as u32);
    // SAFETY: the helper reads `size` bytes, by whose number it knows the family; what it finds is released at once.
    unsafe {
        let socket = bpf_skc_lookup_tcp(ctx.cast(), tuple.cast::<bpf_sock_tuple>(), size, THIS_NAMESPACE, 0);
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket.cast());
    }
    true
}
