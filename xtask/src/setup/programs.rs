//! The programs that the build, the demo and the tests run.

use std::collections::BTreeSet;

use anyhow::Result;

use super::apt;
use crate::workspace;

/// Who needs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Whoever compiles: the C libraries below Layer 7, and so all others too.
    Build,
    /// `cargo xtask run`, and the tests too.
    Run,
    /// `cargo xtask test --host-only`.
    HostTest,
    /// `cargo xtask test`.
    Test,
    /// `cargo xtask bench l7` only.
    Bench,
}

/// Program, Debian's package, who needs it.
const PROGRAMS: &[(&str, &str, Need)] = &[
    // OpenSSL is configured by Perl and built by make, zlib-ng by cmake.
    ("cc", "gcc", Need::Build),
    ("c++", "g++", Need::Build),
    ("make", "make", Need::Build),
    ("perl", "perl", Need::Build),
    ("cmake", "cmake", Need::Build),
    ("ip", "iproute2", Need::Run),
    ("ethtool", "ethtool", Need::Run),
    ("nft", "nftables", Need::Test),
    ("bpftool", "bpftool", Need::Test),
    ("nginx", "nginx-light", Need::Test),
    ("curl", "curl", Need::HostTest),
    ("iperf3", "iperf3", Need::Test),
    ("ping", "iputils-ping", Need::Test),
    ("tcpdump", "tcpdump", Need::Test),
    // With what makes virtual environments, which Debian has apart.
    ("python3", "python3-venv", Need::Test),
    ("openssl", "openssl", Need::Run),
    ("wrk", "wrk", Need::Test),
    ("sysctl", "procps", Need::Test),
    ("haproxy", "haproxy", Need::Test),
    ("socat", "socat", Need::Test),
    // Not sshd, which Debian starts when it is installed.
    ("dropbear", "dropbear-bin", Need::Test),
    ("dnsmasq", "dnsmasq-base", Need::Test),
    ("dig", "bind9-dnsutils", Need::Test),
    ("busybox", "busybox-static", Need::Test),
    ("qemu-system-x86_64", "qemu-system-x86", Need::Test),
    // With its C library's headers, which Debian only recommends.
    ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu", Need::Test),
    ("aarch64-linux-gnu-gcc", "libc6-dev-arm64-cross", Need::Test),
    ("h2load", "nghttp2-client", Need::Bench),
    // With rustup they are always there, if only to say which component is missing.
    ("cargo-fmt", "rustfmt-web", Need::HostTest),
    ("cargo-clippy", "rust-web-clippy", Need::HostTest),
];

/// Installs what is missing where that is possible, and returns what is missing still.
///
/// # Errors
/// If the installer cannot be started.
pub fn ensure(need: Need) -> Result<Vec<&'static str>> {
    let before = missing(need);
    if before.is_empty() || !apt::available() {
        return Ok(before);
    }
    apt::install(&packages(&before))?;
    Ok(missing(need))
}

/// How the missing programs come in.
pub fn advice(missing: &[&str]) -> String {
    let packages = packages(missing).join(" ");
    if workspace::program("apt-get").is_some() {
        return format!("Install them with `sudo apt-get install {packages}`.");
    }
    format!("Install the packages that have them; on Debian those are {packages}.")
}

fn missing(need: Need) -> Vec<&'static str> {
    let needed = PROGRAMS.iter().filter(|(_, _, by)| *by <= need);
    let needed: BTreeSet<&str> = needed.map(|(name, _, _)| *name).collect();
    needed.into_iter().filter(|name| workspace::program(name).is_none()).collect()
}

fn packages(programs: &[&str]) -> Vec<&'static str> {
    let wanted = PROGRAMS.iter().filter(|(name, _, _)| programs.contains(name));
    let packages: BTreeSet<&str> = wanted.map(|(_, package, _)| *package).collect();
    packages.into_iter().collect()
}
