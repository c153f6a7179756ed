//! What the host itself sends out of the interfaces, which XDP does not see: the answers of Layer-7 listeners are
//! charged and counted here. Packets that XDP sends on do not come by.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext, helpers::generated::bpf_skb_load_bytes_relative, macros::classifier, programs::TcContext,
};
use xdp_ebpf::{
    abi::PROTOCOL_TCP,
    family::{Family, V4, V6},
    layer7::{self, Sent},
    packet::Header,
    tables::Tables,
    verdict::Event,
    wire::{ETHERNET_LEN, IpHeader, Tcp},
};

use super::tables::Maps;

/// `TCX_NEXT`: whoever is attached behind this program decides.
const NEXT: i32 = -1;
/// `TCX_DROP`: the socket hears of it and sends again.
const DROP: i32 = 2;
/// `BPF_HDR_START_NET`: offsets count from the IP header, whatever is in front of it.
const FROM_IP: u32 = 1;

#[classifier]
pub fn ek_egress(ctx: TcContext) -> i32 {
    let left = match load::<u8>(&ctx, 0).map(|byte| byte >> 4) {
        Some(V4::VERSION) => leave::<V4>(&ctx),
        Some(V6::VERSION) => leave::<V6>(&ctx),
        _ => Ok(()),
    };
    match left {
        Ok(()) => NEXT,
        Err(event) => {
            Maps::without_context().count(event);
            DROP
        }
    }
}

#[inline(always)]
fn leave<F: Family>(ctx: &TcContext) -> Result<(), Event> {
    match sent::<F>(ctx) {
        Some(sent) => layer7::leave(&Maps::without_context(), &sent),
        None => Ok(()),
    }
}

/// The packet, if it is TCP.
#[inline(always)]
fn sent<F: Family>(ctx: &TcContext) -> Option<Sent<F>> {
    let ip = load::<F::Ip>(ctx, 0)?;
    if ip.protocol() != PROTOCOL_TCP {
        return None;
    }
    // Answers to a SYN with options may have some too.
    let ip_len = if F::VERSION == 4 { u32::from(load::<u8>(ctx, 0)? & 0xf) * 4 } else { F::IP_LEN as u32 };
    let tcp = load::<Tcp>(ctx, ip_len)?;
    // SAFETY: the kernel checks accesses to the context.
    let segments = unsafe { (*ctx.skb.skb).gso_segs }.max(1);
    let headers = ip_len + tcp.header_len() as u32;
    let bytes = ctx.len().saturating_sub(ETHERNET_LEN as u32) + (segments - 1) * headers;
    Some(Sent { src: ip.src(), sport: tcp.sport.get(), packets: segments, bytes })
}

/// The header that begins so many bytes behind the IP header's first.
#[inline(always)]
fn load<T: Header + Copy>(ctx: &TcContext, offset: u32) -> Option<T> {
    /// The stack can only be accessed aligned.
    #[repr(C, align(8))]
    struct Aligned<T>(T);
    let mut header = MaybeUninit::<Aligned<T>>::uninit();
    let length = size_of::<T>() as u32;
    // SAFETY: the helper writes all of the header, whose bytes may be any, or returns an error.
    unsafe {
        let to = header.as_mut_ptr().cast();
        let loaded = bpf_skb_load_bytes_relative(ctx.as_ptr().cast(), offset, to, length, FROM_IP);
        (loaded == 0).then(|| header.assume_init().0)
    }
}
