//! Evenkeel's userspace.

pub mod model;
