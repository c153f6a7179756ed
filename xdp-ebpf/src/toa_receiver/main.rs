//! The BPF programs of `evenkeel-toa`, for backends: they read TOA where a connection is accepted, and answer
//! `accept()` and `getpeername()` with it. Attached to a cgroup; for every process in it, none of which knows.
//!
//! What is read and kept is in [`xdp_ebpf::receiver`].
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "contexts, helper calls, the licence")]
#![allow(missing_docs, reason = "aya's macros move the programs away from their doc comments")]

mod maps;
mod segment;

use aya_ebpf::{
    bindings::BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB,
    macros::{cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockOpsContext},
};
use xdp_ebpf::receiver::{self, Connection, Found};

/// What every program must return for the kernel to go on as if it were not there.
const GO_ON: u32 = 1;

/// A connection was accepted. The kernel calls this without any flag being set on the listener, so for listeners
/// older than this program too, and always with the segment that made the child socket: the handshake's third, the
/// first with data where the listener defers accept, the SYN of a fast open.
#[sock_ops]
pub fn ek_toa_read(ctx: SockOpsContext) -> u32 {
    if ctx.op() == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        accepted(&ctx);
    }
    GO_ON
}

#[inline(always)]
fn accepted(ctx: &SockOpsContext) {
    let (balancer, local) = (segment::remote(ctx), segment::local(ctx));
    let trusted = maps::is_trusted(balancer.address);
    let found = receiver::client(&segment::SegmentOptions::new(ctx));
    let kept = match found {
        Found::Client(client) if trusted => maps::keep(ctx, &Connection { client, balancer, local }),
        _ => false,
    };
    // SAFETY: projects a field of the record that `count` hands over.
    maps::count(|counters| unsafe {
        match (trusted, found) {
            (true, Found::Client(_)) if kept => &raw mut (*counters).with_toa,
            (true, Found::Client(_)) => &raw mut (*counters).no_memory,
            (true, Found::Nothing) => &raw mut (*counters).without_toa,
            (true, Found::Malformed) => &raw mut (*counters).malformed,
            (false, Found::Client(_)) => &raw mut (*counters).untrusted,
            (false, _) => &raw mut (*counters).direct,
        }
    });
}

/// `accept()` or `getpeername()` on an IPv4 socket. An IPv6 client has no place in the answer: the balancer's
/// address stays.
#[cgroup_sock_addr(getpeername4)]
pub fn ek_toa_peer4(ctx: SockAddrContext) -> i32 {
    if let Some(connection) = maps::kept(&ctx)
        && let Some(address) = connection.client.as_v4()
    {
        // SAFETY: the kernel checks accesses to the context; both fields are in network order.
        unsafe {
            (*ctx.sock_addr).user_ip4 = u32::from_ne_bytes(address);
            (*ctx.sock_addr).user_port = u32::from(connection.client.port.to_be());
        }
    }
    GO_ON as i32
}

/// `accept()` or `getpeername()` on an IPv6 socket, a dual-stack one with an IPv4 connection included.
#[cgroup_sock_addr(getpeername6)]
pub fn ek_toa_peer6(ctx: SockAddrContext) -> i32 {
    if let Some(connection) = maps::kept(&ctx) {
        let (words, _) = connection.client.address.bytes.as_chunks();
        for (at, word) in words.iter().enumerate() {
            // SAFETY: as above; the context is written word by word.
            unsafe { (*ctx.sock_addr).user_ip6[at] = u32::from_ne_bytes(*word) };
        }
        // SAFETY: as above.
        unsafe { (*ctx.sock_addr).user_port = u32::from(connection.client.port.to_be()) };
    }
    GO_ON as i32
}

xdp_ebpf::bpf_object!();
