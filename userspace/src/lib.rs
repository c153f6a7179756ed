//! Evenkeel's userspace.
//!
//! A change goes through the files in this order:
//!
//! ```text
//! config     a file, read and checked
//!   → host     this machine's settings
//!   → model    what the operator wants
//!   → plan     old and new model become a list of changes
//!   → schedule weights become the order in which members are picked
//!   → dataplane  the changes reach the BPF maps
//! ```
//!
//! HTTP and HTTPS listeners are served by `l7`, which goes by the same model.
//!
//! `health` asks the members whether they are well, and tells `dataplane`.
//!
//! `privileges` is what those need who load programs, `bpf` has the programs, `pki` reads
//! certificates and keys.
//!
//! `main` and `commands/` are the `evenkeel` program. `toa` and `bin/evenkeel-toa` are another, for backends.

pub mod bpf;
#[cfg(feature = "l7")]
pub mod config;
#[cfg(feature = "l7")]
pub mod dataplane;
pub mod health;
pub mod host;
#[cfg(feature = "l7")]
pub mod l7;
pub mod maglev;
pub mod model;
#[cfg(feature = "l7")]
pub mod pki;
pub mod plan;
pub mod privileges;
pub mod schedule;
pub mod toa;
