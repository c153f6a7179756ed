//! What every BPF object needs beside its programs.

/// A panic handler, which the verifier never lets a program reach, and the licence: several helpers are for
/// GPL-compatible programs only.
#[macro_export]
macro_rules! bpf_object {
    () => {
        #[panic_handler]
        fn panic(_info: &core::panic::PanicInfo) -> ! {
            loop {}
        }

        #[unsafe(link_section = "license")]
        #[unsafe(no_mangle)]
        static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
    };
}
