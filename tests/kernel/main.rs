//! Tests of the BPF programs inside the kernel, packet by packet (`BPF_PROG_TEST_RUN`). They need root.

#[test]
fn the_bpf_programs_are_in_the_binary() {
    assert!(evenkeel::bpf::bpf_object().is_some(), "run `cargo xtask setup` and build again");
}
