//! The BPF programs, compiled into this binary by `build.rs`. `dataplane/` and `toa/` load them.

/// The object with the XDP program, aligned as aya wants it. `None` if this binary was built without a BPF
/// toolchain: `cargo xtask setup` finds or installs one, and a new build then has the object.
pub fn bpf_object() -> Option<&'static [u8]> {
    #[cfg(evenkeel_bpf)]
    return Some(aya::include_bytes_aligned!(env!("EVENKEEL_BPF")));
    #[cfg(not(evenkeel_bpf))]
    None
}

/// The object with the benchmark's programs (`xdp-ebpf/src/bench/`), likewise. Only the benchmark asks for it, so it
/// is in no other binary.
pub fn bench_object() -> Option<&'static [u8]> {
    #[cfg(evenkeel_bpf)]
    return Some(aya::include_bytes_aligned!(env!("EVENKEEL_BENCH_BPF")));
    #[cfg(not(evenkeel_bpf))]
    None
}

/// The object with the programs of `evenkeel-toa`; as [`bpf_object`].
pub fn toa_object() -> Option<&'static [u8]> {
    #[cfg(evenkeel_bpf)]
    return Some(aya::include_bytes_aligned!(env!("EVENKEEL_TOA_BPF")));
    #[cfg(not(evenkeel_bpf))]
    None
}
