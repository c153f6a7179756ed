//! Frames that the kernel could not send after the XDP program had said where they go: the tracepoint `xdp_redirect_err` tells
//! of each (`include/trace/events/xdp.h`), also while no daemon runs.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use xdp_ebpf::{tables::Tables, verdict::Event};

use super::{
    maps,
    tables::{Maps, shared},
};

/// The frame is larger than the interface's MTU (`include/uapi/asm-generic/errno.h`).
const EMSGSIZE: i32 = 90;

#[raw_tracepoint(tracepoint = "xdp_redirect_err")]
pub fn ek_redirect_err(ctx: RawTracePointContext) -> i32 {
    // dev, xdp, tgt, err, map_type, map_id, index.
    let (error, map, slot): (i32, u32, u32) = (ctx.arg(3), ctx.arg(5), ctx.arg(6));
    let Some(config) = shared(maps::CONFIG.get_ptr_mut(0)) else { return 0 };
    if map != config.device_map().get() {
        // Another program's.
        return 0;
    }
    let tables = Maps::without_context();
    tables.count(Event::DropNotSent);
    if let Some(count) = maps::NOT_SENT.get_ptr_mut(slot) {
        // SAFETY: this CPU's copy of an array element.
        unsafe { *count += 1 }
    }
    // Its MTU is another by now: with their next hops, sessions learn of it. Once a second, whatever happens.
    let (now, moved) = (tables.now(), config.moved().get());
    if error == -EMSGSIZE
        && now.wrapping_sub(moved) >= config.jiffies_hz().get()
        && config.moved().swap_if(moved, now)
    {
        config.generation().add(1);
    }
    0
}
