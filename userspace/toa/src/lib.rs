//! The client's address at a backend: loads `xdp-ebpf/src/toa_receiver/` and reads what it keeps.
//!
//! ```text
//! trusted       whose options count
//! cgroup        for which processes
//!   → receiver    the programs and maps, loaded or taken over
//!   → attach      onto the cgroup; into pinned links without a gap
//!   → pins        where they stay when this process ends
//! connections, report   what can be seen, by namespaces and sock_diag
//! ```
//!
//! `main` and `commands/` are the `evenkeel-toa` program. Architecture invariant: this crate knows `xdp-ebpf` and
//! `evenkeel-loader`, and nothing of the balancer's userspace.

pub mod attach;
pub mod cgroup;
pub mod connections;
pub mod error;
pub mod namespaces;
pub mod pins;
pub mod receiver;
pub mod report;
mod sock_diag;
mod sys;
pub mod total;
pub mod trusted;
