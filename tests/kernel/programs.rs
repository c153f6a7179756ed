//! What the verifier thinks of the programs.

use aya::{EbpfLoader, programs::Xdp};

#[test]
fn the_verifier_takes_the_programs_with_logging_off_and_on() {
    let object = evenkeel_loader::bpf::data_path().expect("run `cargo xtask setup` and build again");
    // Half of what the verifier takes at most; with logging, 85 %.
    for (logging, level, most) in [("off", 0u8, 500_000), ("on", 3, 850_000)] {
        let mut loader = EbpfLoader::new();
        loader.override_global("AYA_LOG_LEVEL", &level, true);
        let mut programs = loader.load(object).unwrap();
        for name in ["ek_clock", "evenkeel"] {
            let program: &mut Xdp = programs.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
            let info = program.info().unwrap();
            let (verified, size) =
                (info.verified_instruction_count().unwrap(), info.size_translated().unwrap() / 8);
            println!("{name}, logging {logging}: {verified} instructions verified, {size} in the program");
            assert!(verified < most, "{verified} of at most {most}");
        }
    }
}
