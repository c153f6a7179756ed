//! What the verifier thinks of `evenkeel-toa`'s programs.

use aya::{Ebpf, programs::Program};

#[test]
fn the_verifier_takes_the_receiver() {
    let object = evenkeel_loader::bpf::receiver().expect("run `cargo xtask setup` and build again");
    let mut programs = Ebpf::load(object).unwrap();
    for (name, program) in programs.programs_mut() {
        let info = match program {
            Program::SockOps(program) => program.load().and_then(|()| program.info()),
            Program::CgroupSockAddr(program) => program.load().and_then(|()| program.info()),
            other => panic!("{name} is {other:?}"),
        };
        let verified = info.unwrap().verified_instruction_count().unwrap();
        println!("{name}: {verified} instructions verified");
        assert!(verified < 50_000, "{name}: the walk over the options must stay linear for the verifier");
    }
}
