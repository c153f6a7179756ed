//! Tests of the BPF programs inside the kernel, packet by packet (`BPF_PROG_TEST_RUN`). They need root.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod agreement;
mod kernel;
#[path = "../loaded/mod.rs"]
mod loaded;
mod programs;
mod receiver;
