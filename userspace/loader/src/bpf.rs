//! The BPF programs, compiled by `build.rs`, aligned as aya wants them. Only the objects that a binary asks for are in
//! it.

use thiserror::Error;

/// This crate was compiled before there was a BPF toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("this binary was built without its BPF programs: run `cargo xtask setup`, then build it again")]
pub struct NotBuilt;

macro_rules! object {
    ($variable:literal) => {{
        #[cfg(evenkeel_bpf)]
        let object = Ok(aya::include_bytes_aligned!(env!($variable)));
        #[cfg(not(evenkeel_bpf))]
        let object = Err(NotBuilt);
        object
    }};
}

/// The data path: `xdp-ebpf/src/main.rs`.
///
/// # Errors
/// This binary was built without it.
pub fn data_path() -> Result<&'static [u8], NotBuilt> {
    object!("EVENKEEL_BPF")
}

/// The receiver of TOA: `xdp-ebpf/src/toa_receiver/`.
///
/// # Errors
/// This binary was built without it.
pub fn receiver() -> Result<&'static [u8], NotBuilt> {
    object!("EVENKEEL_TOA_BPF")
}

/// The programs of the Layer-4 benchmark: `xdp-ebpf/src/bench/`.
///
/// # Errors
/// This binary was built without them.
pub fn bench() -> Result<&'static [u8], NotBuilt> {
    object!("EVENKEEL_BENCH_BPF")
}
