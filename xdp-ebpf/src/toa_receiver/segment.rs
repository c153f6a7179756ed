//! The context of a sockops program: the connection's two ends, and the segment that made the socket.

use core::ptr;

use aya_ebpf::programs::SockOpsContext;
use xdp_ebpf::receiver::{Endpoint, Options};

const AF_INET: u32 = 2;
const TCP_LEN: usize = 20;

/// Reads a field of the context. The verifier takes only loads of whole fields, so the compiler must not narrow it.
macro_rules! field {
    ($ctx:expr, $($field:tt)+) => {
        // SAFETY: the kernel checks accesses to the context.
        unsafe { ptr::read_volatile(&raw const (*$ctx.ops).$($field)+) }
    };
}

/// Who the segments come from.
#[inline(always)]
pub fn remote(ctx: &SockOpsContext) -> Endpoint {
    let v4 = field!(ctx, remote_ip4);
    let v6 = [
        field!(ctx, remote_ip6[0]),
        field!(ctx, remote_ip6[1]),
        field!(ctx, remote_ip6[2]),
        field!(ctx, remote_ip6[3]),
    ];
    endpoint(field!(ctx, family), v4, v6, u32::from_be(field!(ctx, remote_port)))
}

/// This end.
#[inline(always)]
pub fn local(ctx: &SockOpsContext) -> Endpoint {
    let v4 = field!(ctx, local_ip4);
    let v6 = [
        field!(ctx, local_ip6[0]),
        field!(ctx, local_ip6[1]),
        field!(ctx, local_ip6[2]),
        field!(ctx, local_ip6[3]),
    ];
    endpoint(field!(ctx, family), v4, v6, field!(ctx, local_port))
}

/// Takes both addresses, in network order, because a load in one branch only could be merged with that in the other,
/// and the verifier wants constant offsets.
#[inline(always)]
fn endpoint(family: u32, v4: u32, v6: [u32; 4], port: u32) -> Endpoint {
    if family == AF_INET {
        return Endpoint::v4(v4.to_ne_bytes(), port as u16);
    }
    let mut address = [0; 16];
    for (to, word) in address.as_chunks_mut().0.iter_mut().zip(v6) {
        *to = word.to_ne_bytes();
    }
    Endpoint::v6(address, port as u16)
}

/// The TCP header of the segment that made the socket, which is all of it that the kernel shows.
pub struct SegmentOptions {
    data: usize,
    end: usize,
    family: u32,
}

impl SegmentOptions {
    /// Empty if there is no segment.
    #[inline(always)]
    pub fn new(ctx: &SockOpsContext) -> Self {
        Self {
            data: field!(ctx, __bindgen_anon_3.skb_data) as usize,
            end: field!(ctx, __bindgen_anon_4.skb_data_end) as usize,
            family: field!(ctx, family),
        }
    }
}

impl Options for SegmentOptions {
    #[inline(always)]
    fn start(&self) -> usize {
        // An address family is a small number.
        (self.family >> 16) as usize & 63
    }
    #[inline(always)]
    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let from = self.data + TCP_LEN + offset;
        if from + N > self.end {
            return None;
        }
        // SAFETY: checked to be inside the header.
        Some(unsafe { *(from as *const [u8; N]) })
    }
}
