//! Does the kernel accept every program, and how much work is that?

use aya::{Ebpf, programs::Program};

#[test]
fn the_kernel_accepts_every_program() {
    let object = evenkeel::bpf::bpf_object().expect("built without BPF programs; run `cargo xtask setup`");
    let mut object = Ebpf::load(object).unwrap();
    let mut programs = 0;
    for (name, program) in object.programs_mut() {
        let Program::Xdp(program) = program else { panic!("{name} is not XDP") };
        program.load().unwrap_or_else(|error| panic!("{name}: {error:#?}"));
        let verified = program.info().unwrap().verified_instruction_count().unwrap();
        println!("{name}: verified {verified} instructions");
        programs += 1;
    }
    assert!(programs > 0);
}
