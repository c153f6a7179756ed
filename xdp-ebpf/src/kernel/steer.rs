//! Which socket a connection to a Layer-7 listener reaches: the one that userspace has put under its VIP and port.
//! Attached to the network namespace; whatever is not in the map is looked up as ever. Nothing binds a VIP, so a
//! listener comes and goes with its entry, and a new process takes over by putting its own socket there.

use aya_ebpf::{macros::sk_lookup, programs::SkLookupContext};
use xdp_ebpf::{abi::Service, family::Address};

use super::maps;

/// `AF_INET`.
const IPV4: u32 = 2;
/// `AF_INET6`.
const IPV6: u32 = 10;
/// `SK_PASS`: go on, with the assigned socket if there is one.
const PASS: u32 = 1;

#[sk_lookup]
pub fn ek_steer(ctx: SkLookupContext) -> u32 {
    if let Some(service) = service(&ctx) {
        // Without an entry, and for a datagram on a stream's port, nothing is assigned.
        let _ = maps::SOCKET.redirect_sk_lookup(&ctx, service, 0);
    }
    PASS
}

/// What the connection is for; `None` if it is of neither family of IP.
#[inline(always)]
fn service(ctx: &SkLookupContext) -> Option<Service> {
    let lookup = ctx.lookup;
    // SAFETY: the kernel checks accesses to the context.
    let (family, protocol, port) = unsafe { ((*lookup).family, (*lookup).protocol, (*lookup).local_port) };
    let vip = match family {
        // SAFETY: as above.
        IPV4 => unsafe { (*lookup).local_ip4 }.to_ne_bytes().wide(),
        // SAFETY: as above; the context is read word by word.
        IPV6 => zerocopy::transmute!([0, 1, 2, 3].map(|word| unsafe { (*lookup).local_ip6[word] })),
        _ => return None,
    };
    Some(Service { vip, port: port as u16, protocol: protocol as u8, reserved: [0; 5] })
}
