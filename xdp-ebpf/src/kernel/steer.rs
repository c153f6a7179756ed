//! Which socket a connection to a Layer-7 listener reaches: the one that userspace has put under its VIP and port.
//! Attached to the network namespace; whatever is not in the map is looked up as ever. Nothing binds a VIP, so a
//! listener comes and goes with its entry, and a new process takes over by putting its own socket there.

use aya_ebpf::{macros::sk_lookup, programs::SkLookupContext};
use xdp_ebpf::{abi::Service, address::Address};
use zerocopy::transmute;

use super::{AF_INET, AF_INET6, maps};

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

#[inline(always)]
fn service(ctx: &SkLookupContext) -> Option<Service> {
    let lookup = ctx.lookup;
    // SAFETY: the kernel checks accesses to the context.
    unsafe {
        let vip = match (*lookup).family {
            AF_INET => (*lookup).local_ip4.to_ne_bytes().mapped(),
            AF_INET6 => {
                // Volatile, so that the compiler does not merge them: the context is read word by word.
                let word = (&raw const (*lookup).local_ip6).cast::<u32>();
                let word = |n| word.add(n).read_volatile();
                transmute!([word(0), word(1), word(2), word(3)])
            }
            _ => return None,
        };
        let (port, protocol) = ((*lookup).local_port as u16, (*lookup).protocol as u8);
        Some(Service::new(vip, port, protocol))
    }
}
