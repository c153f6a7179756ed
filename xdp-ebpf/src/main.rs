//! The BPF programs. Start at [`xdp_ebpf::pipeline`] for what happens to a packet; here an [`Outcome`] becomes an
//! XDP action, in one place.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]
#![allow(unsafe_code, reason = "the program's entry, its licence and the helper calls")]
#![allow(missing_docs, reason = "aya's macros move the programs away from their doc comments")]

mod kernel;

use aya_ebpf::{helpers::generated::bpf_jiffies64, macros::xdp, programs::XdpContext};
use kernel::{maps, packet::XdpPacket, tables::Maps};
use xdp_ebpf::{
    pipeline,
    tables::Tables,
    verdict::{Action, Event, Outcome},
};

/// The load balancer: attached to every interface of the configuration.
#[xdp(frags)]
pub fn evenkeel(ctx: XdpContext) -> u32 {
    let maps = Maps::new(&ctx);
    match pipeline::process(&mut XdpPacket::new(ctx), &maps) {
        Outcome::Tx | Outcome::Reply => Action::Tx as u32,
        Outcome::Redirect(slot) | Outcome::Tag(slot) => match maps::DEVICE.redirect(u32::from(slot), 0) {
            Ok(action) => action,
            Err(_) => {
                // The interface is gone.
                maps.count(Event::DropNotSent);
                Action::Drop as u32
            }
        },
        Outcome::Stop(event) => event.action() as u32,
    }
}

/// Userspace's view of the data path's clock, by `BPF_PROG_TEST_RUN`: the low 32 bits of `jiffies_64`.
#[xdp]
pub fn ek_clock(_ctx: XdpContext) -> u32 {
    // SAFETY: a helper without arguments.
    unsafe { bpf_jiffies64() as u32 }
}

xdp_ebpf::bpf_object!();
