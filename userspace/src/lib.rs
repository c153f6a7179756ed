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
//! `authorities` has the CAs of this host.
//!
//! `main` and `commands/` are the `evenkeel` program. Crates beside this one: `loader/` has the BPF programs and what all
//! need that load them, `toa/` is `evenkeel-toa`, for backends.

pub mod authorities;
pub mod config;
pub mod dataplane;
pub mod health;
pub mod host;
pub mod l7;
pub mod maglev;
pub mod model;
pub mod plan;
pub mod schedule;
