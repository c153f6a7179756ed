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
//! `main` and `commands/` are the `evenkeel` program.

pub mod bpf;
pub mod config;
pub mod dataplane;
pub mod host;
pub mod maglev;
pub mod model;
pub mod plan;
pub mod schedule;
