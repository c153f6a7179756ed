//! The ways to compile Rust for BPF: a nightly that builds `core` itself, or a compiler that ships with it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::apt;
use crate::{progress, workspace};

/// The target of the BPF programs.
pub const TARGET: &str = "bpfel-unknown-none";

/// What to install by hand.
pub const ADVICE: &str = "Install one of these and run `cargo xtask setup` again: rustup with a nightly toolchain and \
    its sources (`rustup toolchain install nightly --component rust-src`), or on Debian the packages rustc-web and \
    libstd-rust-web-dev-bpf (`apt-get install rustc-web libstd-rust-web-dev-bpf`).";

/// Where `core` for BPF comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From `rust-src`, by `-Z build-std`.
    BuildStd,
    /// From the compiler's own sysroot.
    Sysroot,
}

/// A compiler that may build the BPF programs.
#[derive(Debug)]
pub struct Way {
    /// For people.
    pub name: String,
    /// Where `core` comes from.
    pub kind: Kind,
    /// The cargo to run.
    pub cargo: PathBuf,
    /// The compiler.
    pub rustc: PathBuf,
    /// Where the compiler's libLLVM lies, which bpf-linker loads.
    pub llvm: PathBuf,
}

/// The ways that are there, best first.
pub fn present() -> Vec<Way> {
    let mut ways = nightlies();
    ways.extend(sysroots());
    ways
}

fn nightlies() -> Vec<Way> {
    let Some(rustup) = workspace::program("rustup") else { return Vec::new() };
    let list = answer(Command::new(&rustup).args(["toolchain", "list"])).unwrap_or_default();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    names.filter(|name| name.starts_with("nightly")).filter_map(|name| nightly(&rustup, name)).collect()
}

fn nightly(rustup: &Path, name: &str) -> Option<Way> {
    let sysroot = answer(Command::new(rustup).args(["run", name, "rustc", "--print", "sysroot"]))?;
    let sysroot = PathBuf::from(sysroot);
    let core = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
    core.is_file().then(|| Way {
        name: format!("rustup's {name} with rust-src"),
        kind: Kind::BuildStd,
        cargo: sysroot.join("bin/cargo"),
        rustc: sysroot.join("bin/rustc"),
        llvm: sysroot.join("lib"),
    })
}

fn sysroots() -> Vec<Way> {
    let mut compilers = vec![PathBuf::from("/usr/bin/rustc")];
    compilers.extend(workspace::program("rustc").filter(|rustc| rustc != Path::new("/usr/bin/rustc")));
    compilers.into_iter().filter_map(sysroot).collect()
}

fn sysroot(rustc: PathBuf) -> Option<Way> {
    let sysroot = PathBuf::from(answer(Command::new(&rustc).args(["--print", "sysroot"]))?);
    let libraries = sysroot.join("lib/rustlib").join(TARGET).join("lib");
    let core = std::fs::read_dir(libraries).ok()?.flatten();
    core.map(|entry| entry.file_name()).find(|name| name.to_string_lossy().starts_with("libcore-"))?;
    let version = answer(Command::new(&rustc).arg("--version"))?;
    let version = version.split_whitespace().nth(1)?;
    Some(Way {
        name: format!("{} {version}, whose sysroot has {TARGET}", rustc.display()),
        kind: Kind::Sysroot,
        cargo: workspace::cargo(),
        llvm: llvm_directory(&rustc).unwrap_or_else(|| sysroot.join("lib")),
        rustc,
    })
}

/// Where the dynamic linker finds the compiler's libLLVM.
fn llvm_directory(rustc: &Path) -> Option<PathBuf> {
    let libraries = answer(Command::new("ldd").arg(rustc))?;
    let line = libraries.lines().find(|line| line.trim_start().starts_with("libLLVM"))?;
    let file = line.split("=>").nth(1)?.split_whitespace().next()?;
    Path::new(file).parent().map(Path::to_path_buf)
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// How a way that is not there can be brought in.
pub struct Installation {
    /// The way.
    pub kind: Kind,
    install: fn() -> Result<bool>,
}

/// Best first.
pub const INSTALLATIONS: &[Installation] = &[
    Installation { kind: Kind::BuildStd, install: rust_src },
    Installation { kind: Kind::Sysroot, install: debian_packages },
];

impl Installation {
    /// Whether it was installed; `false` also if that is impossible here.
    ///
    /// # Errors
    /// If an installer cannot be started.
    pub fn attempt(&self) -> Result<bool> {
        (self.install)()
    }
}

fn rust_src() -> Result<bool> {
    let Some(rustup) = workspace::program("rustup") else { return Ok(false) };
    let mut command = Command::new(rustup);
    command.args(["component", "add", "rust-src", "--toolchain", "nightly"]);
    let output = progress::quietly("BPF toolchain", "adding rust-src to rustup's nightly", &mut command)?;
    if !output.status.success() {
        progress::line("", format_args!("rustup cannot add it: {}", progress::tail(&output, 1).trim()));
    }
    Ok(output.status.success())
}

fn debian_packages() -> Result<bool> {
    apt::install(&["rustc-web", "libstd-rust-web-dev-bpf"])
}
