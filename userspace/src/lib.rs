//! Evenkeel's userspace.

pub mod bpf;
pub mod model;
