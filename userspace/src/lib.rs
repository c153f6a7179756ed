//! Evenkeel's userspace.
//!
//! A change goes through these in this order:
//!
//! ```text
//! config     a file, read and checked, becomes objects        (pki: its keys and certificates)
//! api        requests of clients become records, and those objects        (store: records at rest)
//!   → model    (a crate) objects become what is served, and that a list of changes
//!   → engine   makes a change in both layers, or in none
//!   → dataplane  Layer 4: the changes reach the BPF maps
//!   → l7         Layer 7: listeners that speak HTTP follow them
//! ```
//!
//! `health` asks the members whether they are well, and tells `engine`.
//!
//! `main` and `commands/` are the `evenkeel` program. Crates beside this one: `model/`; `loader/` has the BPF programs and
//! what all need that load them; `toa/` is `evenkeel-toa`, for backends.

pub mod api;
pub mod config;
pub mod dataplane;
#[cfg(test)]
mod edit;
pub mod engine;
pub mod health;
pub mod l7;
pub mod pki;
pub mod store;
