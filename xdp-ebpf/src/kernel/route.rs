//! The host's routing, asked by `bpf_fib_lookup`: a function that the verifier checks once and apart, so that its
//! question's 64 bytes are on no other function's stack.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_NO_NEIGH, BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibLookup, xdp_md},
    helpers::generated::{bpf_check_mtu, bpf_fib_lookup},
};
use xdp_ebpf::{
    abi::{Interface, MAX_INTERFACES},
    address::{Address, MappedAddress},
    tables::{Hop, Route},
    wire::Mac,
};
use zerocopy::transmute;

use super::{AF_INET, AF_INET6, maps};

/// The interface index of `lo` in every network namespace. Routes are looked up as for a packet that the host
/// itself sends: that needs `net.ipv4.conf.lo.forwarding` and `net.ipv6.conf.lo.forwarding`, and leaves forwarding
/// off on the real interfaces.
const LOOPBACK: u32 = 1;

/// High bytes of the answer; below is a [`Hop`].
const VIA: u8 = 1;
/// See [`VIA`].
const NO_NEIGHBOUR: u8 = 2;
/// See [`VIA`].
const ELSEWHERE: u8 = 3;

/// The route that an answer of [`ek_route`] means.
#[inline(always)]
pub fn decoded(answer: u64) -> Route {
    let hop = Hop::from_number(answer);
    match (answer >> 56) as u8 {
        VIA => Route::Via(hop),
        NO_NEIGHBOUR => Route::NoNeighbour(hop.slot()),
        ELSEWHERE => Route::Elsewhere,
        _ => Route::None,
    }
}

/// Asks for the interface's MTU, which may have changed while no daemon runs. `room` is a word on the stack that nobody needs
/// any more.
#[inline(always)]
fn renew_mtu(ctx: *mut xdp_md, slot: u32, known: &Interface, room: *mut u32) {
    // SAFETY: the helper writes the MTU to `room`, which says that one byte has to fit; the field is in an array map's
    // element, and others write nothing else there.
    unsafe {
        room.write_volatile(1);
        if bpf_check_mtu(ctx.cast(), known.index, room, 0, 0) != 0 {
            return;
        }
        let mtu = room.read_volatile();
        if mtu != known.mtu
            && let Some(interface) = maps::INTERFACE.get_ptr_mut(slot)
        {
            (&raw mut (*interface).mtu).write_volatile(mtu);
        }
    }
}

/// The next hop from one mapped address to another, each as two words as they lie in memory.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ek_route(ctx: *mut xdp_md, src_0: u64, src_1: u64, dst_0: u64, dst_1: u64) -> u64 {
    let (src, dst): (MappedAddress, MappedAddress) = (transmute!([src_0, src_1]), transmute!([dst_0, dst_1]));
    // As words, so that the compiler clears it in aligned pieces: the verifier refuses any other on the stack.
    let mut question = MaybeUninit::<[u64; size_of::<FibLookup>() / 8]>::uninit();
    let first = question.as_mut_ptr().cast::<u64>();
    for word in 0..size_of::<FibLookup>() / 8 {
        // SAFETY: inside `question`. Volatile, because a `memset` would be a call of a loop over bytes.
        unsafe { first.add(word).write_volatile(0) }
    }
    let question = first.cast::<FibLookup>();
    let length = size_of::<FibLookup>() as i32;
    // SAFETY: 64 bytes of zeros are a valid question; the helper writes its answer there.
    let (kind, interface, mac) = unsafe {
        (*question).ifindex = LOOPBACK;
        if let Some(dst) = <[u8; 4]>::from_mapped(dst) {
            (*question).family = AF_INET as u8;
            // The last word of a mapped address, and of the one that is of both families.
            let [.., src]: [u32; 4] = transmute!(src);
            (*question).__bindgen_anon_3.ipv4_src = src;
            (*question).__bindgen_anon_4.ipv4_dst = u32::from_ne_bytes(dst);
        } else {
            (*question).family = AF_INET6 as u8;
            (*question).__bindgen_anon_3.ipv6_src = transmute!(src);
            (*question).__bindgen_anon_4.ipv6_dst = transmute!(dst);
        }
        let kind = match bpf_fib_lookup(ctx.cast(), question.cast(), length, 0) as u32 {
            BPF_FIB_LKUP_RET_SUCCESS => VIA,
            BPF_FIB_LKUP_RET_NO_NEIGH => NO_NEIGHBOUR,
            _ => return 0,
        };
        // Volatile, so that the compiler does not merge the MAC's words into an unaligned access.
        let mac = (&raw const (*question).dmac).cast::<u16>();
        let mac = [mac.read_volatile(), mac.add(1).read_volatile(), mac.add(2).read_volatile()];
        (kind, (*question).ifindex, Mac::from_words(mac))
    };
    for slot in 0..MAX_INTERFACES {
        let Some(known) = maps::INTERFACE.get(slot) else { break };
        if known.index == interface {
            renew_mtu(ctx, slot, known, question.cast());
            return u64::from(kind) << 56 | Hop::new(slot as u8, mac).number();
        }
    }
    u64::from(ELSEWHERE) << 56
}
