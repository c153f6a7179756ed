//! The benchmark's programs. `BPF_PROG_TEST_RUN` with a repeat count hands every run the packet that the one before
//! left behind; `ek_bench` puts it back as it was, of the next flow, and tail-calls what is being measured.
//! `ek_empty` is what that is compared with, and `ek_floor` what it could be at best. The harness is `tests/bench/`.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the programs' entries, their licence, the helper calls and the packet")]
#![allow(missing_docs, reason = "aya's macros move the programs away from their doc comments")]

use core::ptr::NonNull;

use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_F_MMAPABLE,
        xdp_action::{XDP_ABORTED, XDP_TX},
    },
    btf_maps::{Array, PerCpuArray, ProgramArray},
    helpers::generated::{bpf_jiffies64, bpf_xdp_adjust_head, bpf_xdp_get_buff_len},
    macros::{btf_map, xdp},
    programs::XdpContext,
};
use xdp_ebpf::{
    bench::{
        FLOOR_ENTRIES, FLOOR_PROBES, Floor, MIN_FRAME, PORT_BITS, Template, VARY_DESTINATION, VARY_SOURCE,
        VARY_SOURCE6,
    },
    shared::Shared,
};

#[btf_map(name = "ek_template")]
static TEMPLATE: Array<Template, 1> = Array::new();
#[btf_map(name = "ek_subject")]
static SUBJECT: ProgramArray<1> = ProgramArray::new();

#[btf_map(name = "ek_floor_flow")]
static FLOOR: Array<Floor, { FLOOR_ENTRIES as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();
/// Packets and bytes, by [`Floor::counted_at`]: one of the two counters.
#[btf_map(name = "ek_floor_count")]
static COUNT: PerCpuArray<[u64; 2], 64> = PerCpuArray::new();
/// The other.
#[btf_map(name = "ek_floor_more")]
static MORE: PerCpuArray<[u64; 2], 64> = PerCpuArray::new();

/// Puts the packet back and goes on to the subject. All programs accept fragments: the kernel joins no others
/// by a tail call.
#[xdp(frags)]
pub fn ek_bench(ctx: XdpContext) -> u32 {
    if restore(&ctx).is_some() {
        // SAFETY: nothing here needs dropping.
        unsafe { SUBJECT.tail_call(&ctx, 0) };
    }
    XDP_ABORTED
}

/// The least that a program can do.
#[xdp(frags)]
pub fn ek_empty(_ctx: XdpContext) -> u32 {
    XDP_TX
}

/// The least that a FullNAT with our duties can do, for IPv4 and TCP: see [`Floor`].
#[xdp(frags)]
pub fn ek_floor(ctx: XdpContext) -> u32 {
    forward(&ctx).unwrap_or(XDP_ABORTED)
}

#[inline(always)]
fn forward(ctx: &XdpContext) -> Option<u32> {
    const ETHERTYPE_IPV4: u16 = 0x0800;
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + MIN_FRAME > end {
        return None;
    }
    let is_plain = read::<Half>(start + 12).0 == ETHERTYPE_IPV4.to_be()
        && read::<u8>(start + 14) == 0x45
        && read::<Half>(start + 20).0 & 0x3fff_u16.to_be() == 0;
    let (ttl, protocol) = (read::<u8>(start + 22), read::<u8>(start + 23));
    if !is_plain || ttl <= 1 || protocol != 6 {
        return None;
    }
    let [source, destination, ports] = [26, 30, 34].map(|at| read::<Word>(start + at).0);
    let place = Floor::place(source, destination, ports);
    for probe in 0..FLOOR_PROBES {
        let entry = NonNull::new(FLOOR.get_ptr_mut((place + probe) & (FLOOR_ENTRIES - 1))?)?;
        // SAFETY: an array map's element. One CPU at a time runs the benchmark.
        let entry = unsafe { Shared::new(entry) };
        if entry.source().get() != source
            || entry.ports().get() != ports
            || entry.destination().get() != destination
            || entry.state().get() == 0
        {
            continue;
        }
        let length = end - start;
        if length > usize::from(entry.longest().get()) {
            return None;
        }
        for (at, half) in entry.macs().get().into_iter().enumerate() {
            write(start + 2 * at, Half(half));
        }
        write(start + 22, ttl - 1);
        let folded = |at, delta: u16| {
            let sum = u32::from(!read::<Half>(at).0) + u32::from(delta);
            Half(!((sum & 0xffff) + (sum >> 16)) as u16)
        };
        write(start + 24, folded(start + 24, entry.ip_delta().get()));
        write(start + 26, Word(entry.new_source().get()));
        write(start + 30, Word(entry.new_destination().get()));
        write(start + 34, Word(entry.new_ports().get()));
        write(start + 50, folded(start + 50, entry.l4_delta().get()));
        // SAFETY: reads a clock.
        entry.last_seen().set(unsafe { bpf_jiffies64() } as u32);
        entry.packets().set(entry.packets().get().wrapping_add(1));
        let at = entry.counted_at().get().into();
        for count in [COUNT.get_ptr_mut(at)?, MORE.get_ptr_mut(at)?] {
            // SAFETY: this CPU's element.
            let [packets, bytes] = unsafe { &mut *count };
            (*packets, *bytes) = (*packets + 1, *bytes + length as u64);
        }
        return Some(XDP_TX);
    }
    None
}

#[inline(always)]
fn read<T: Copy>(address: usize) -> T {
    // SAFETY: the callers have compared the frame's end with `MIN_FRAME`.
    unsafe { (address as *const T).read() }
}

#[inline(always)]
fn restore(ctx: &XdpContext) -> Option<()> {
    let record = NonNull::new(TEMPLATE.get_ptr_mut(0)?)?;
    // SAFETY: an array map's element. One CPU at a time runs the benchmark.
    let shared = unsafe { Shared::new(record) };
    let template = shared.snapshot();
    let md = ctx.as_ptr().cast();
    // SAFETY: the context is the kernel's.
    let adjusted = unsafe {
        let surplus = bpf_xdp_get_buff_len(md) as i32 - template.length as i32;
        bpf_xdp_adjust_head(md, surplus)
    };
    if adjusted != 0 {
        return None;
    }
    let start = ctx.data();
    if start + MIN_FRAME > ctx.data_end() {
        return None;
    }
    let [e0, e1, e2, e3, e4, e5, e6, _] = template.ethernet;
    for (at, half) in [e0, e1, e2, e3, e4, e5, e6].into_iter().enumerate() {
        write(start + 2 * at, Half(half));
    }
    let flow = template.next_flow();
    let (address, port) = (flow >> PORT_BITS, (flow & ((1 << PORT_BITS) - 1)) as u16);
    match template.vary {
        // The last words of the addresses, and that of the ports.
        VARY_SOURCE => write_flow::<3, 5, true>(start, &template),
        VARY_DESTINATION => write_flow::<4, 5, false>(start, &template),
        VARY_SOURCE6 => write_flow::<5, 10, true>(start, &template),
        _ => write_flow::<9, 10, false>(start, &template),
    }
    // A full barrier: the packet is in the cache, as a driver's would be, and not on its way there.
    shared.packets().publish(template.packets.wrapping_add(1));
    Some(())
}

/// Writes what is behind the Ethernet header, with the next flow in the word `ADDRESS` and in one of the ports.
#[inline(always)]
fn write_flow<const ADDRESS: usize, const PORTS: usize, const SOURCE: bool>(
    start: usize,
    template: &Template,
) {
    let flow = template.next_flow();
    let (later, later_port) = (flow >> PORT_BITS, (flow & ((1 << PORT_BITS) - 1)) as u16);
    for (at, &word) in template.words.iter().enumerate() {
        let word = if at == ADDRESS {
            (u32::from_be(word) + later).to_be()
        } else if at == PORTS {
            let ports = u32::from_be(word);
            let (source, destination) = ((ports >> 16) as u16, ports as u16);
            let (source, destination) =
                if SOURCE { (source + later_port, destination) } else { (source, destination + later_port) };
            (u32::from(source) << 16 | u32::from(destination)).to_be()
        } else {
            word
        };
        write(start + 14 + 4 * at, Word(word));
    }
}

/// A word at any address.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Word(u32);
/// The same of two bytes.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Half(u16);

/// Volatile, so that stores are not merged.
#[inline(always)]
fn write<T>(address: usize, value: T) {
    // SAFETY: the callers have compared the frame's end with `MIN_FRAME`.
    unsafe { (address as *mut T).write_volatile(value) }
}

xdp_ebpf::bpf_object!();
