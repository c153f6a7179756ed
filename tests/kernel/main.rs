//! Tests of the BPF programs inside the kernel, packet by packet (`BPF_PROG_TEST_RUN`). They need root.

mod agreement;
mod kernel;
mod programs;
