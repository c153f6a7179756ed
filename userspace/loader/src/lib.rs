//! What the programs that load BPF have in common: `evenkeel` and `evenkeel-toa`.
//!
//! ```text
//! bpf          the BPF programs, compiled by build.rs into whatever uses this crate
//! privileges   what a process that loads them may have to be allowed
//! kernels      which kernels they are for
//!   → refusal    what the kernel says of a program that it does not take
//!   → pins       where programs, maps and links stay when the process ends
//!   → lock       and which process may change them
//! ```
//!
//! Architecture invariant: only this crate, `evenkeel::dataplane` and `evenkeel-toa` speak to BPF. Nothing here knows
//! what the programs do.

pub mod bpf;
pub mod kernels;
pub mod lock;
pub mod pins;
pub mod privileges;
pub mod refusal;
