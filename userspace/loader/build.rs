//! Builds the BPF programs of `xdp-ebpf` with the toolchain that `cargo xtask setup` found, and hands their paths to
//! `src/bpf.rs`. Without that toolchain the crate still builds, and says at run time what is missing.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

/// Binary of `xdp-ebpf` → the variable under which `src/bpf.rs` finds its object.
const OBJECTS: &[(&str, &str)] = &[
    ("evenkeel-xdp", "EVENKEEL_BPF"),
    ("evenkeel-toa-bpf", "EVENKEEL_TOA_BPF"),
    ("evenkeel-bench-bpf", "EVENKEEL_BENCH_BPF"),
];

/// `bpf-toolchain.json` in the target directory: the build as `cargo xtask setup` verified it. The writing side is
/// xtask's `setup/build.rs`.
#[derive(Deserialize)]
struct Toolchain {
    way: String,
    program: PathBuf,
    args: Vec<String>,
    /// Variables to keep; no other of the outer cargo's may reach the inner one.
    inherit: Vec<String>,
    /// Variables to set.
    env: BTreeMap<String, String>,
    /// Where the build leaves its objects.
    objects: PathBuf,
}

fn main() {
    println!("cargo:rustc-check-cfg=cfg(evenkeel_bpf)");
    if let Err(problem) = build() {
        for line in problem.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn build() -> Result<(), String> {
    let workspace = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../..");
    for source in ["xdp-ebpf/src", "xdp-ebpf/Cargo.toml", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", workspace.join(source).display());
    }
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_TARGET_DIR");
    let target = target_directory(&workspace)?;
    wait_for_setup(&target)?;
    let file = target.join("bpf-toolchain.json");
    println!("cargo:rerun-if-changed={}", file.display());
    if !file.exists() {
        println!(
            "cargo:warning=built without the BPF programs, so neither `evenkeel run` nor `evenkeel-toa run` can start: \
             no BPF toolchain is set up here yet; run `cargo xtask setup`"
        );
        return Ok(());
    }
    let toolchain = read(&file)?;
    compile(&toolchain, &workspace)?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for (binary, name) in OBJECTS {
        let (from, to) = (toolchain.objects.join(binary), out.join(binary));
        fs::copy(&from, &to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
        println!("cargo:rustc-env={name}={}", to.display());
    }
    println!("cargo:rustc-cfg=evenkeel_bpf");
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// The workspace's target directory, where cargo says it is: `CARGO_TARGET_DIR` or a configuration file may move it.
fn target_directory(workspace: &Path) -> Result<PathBuf, String> {
    let output = Command::new(variable("CARGO")?)
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(workspace)
        .output()
        .map_err(|error| format!("cannot run cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata answered nonsense: {error}"))?;
    let directory = metadata.get("target_directory").and_then(|value| value.as_str());
    directory.map(PathBuf::from).ok_or_else(|| "cargo metadata names no target_directory".to_owned())
}

/// `cargo xtask` holds this lock while it looks for a toolchain; it is xtask's `setup/build.rs`.
fn wait_for_setup(target: &Path) -> Result<(), String> {
    let file = target.join("bpf-toolchain.lock");
    match File::open(&file).and_then(|lock| lock.lock_shared()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", file.display())),
        _ => Ok(()),
    }
}

fn read(file: &Path) -> Result<Toolchain, String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    serde_json::from_str(&text)
        .map_err(|error| format!("{}: {error}\nRun `cargo xtask setup` to write it anew.", file.display()))
}

fn compile(toolchain: &Toolchain, workspace: &Path) -> Result<(), String> {
    let advice = "If the toolchain was removed or updated, `cargo xtask setup` looks for another.";
    let output = Command::new(&toolchain.program)
        .args(&toolchain.args)
        .current_dir(workspace)
        .env_clear()
        .envs(toolchain.inherit.iter().filter_map(|name| Some((name, env::var_os(name)?))))
        .envs(&toolchain.env)
        .output()
        .map_err(|error| format!("cannot run {}: {error}\n{advice}", toolchain.program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&output.stderr);
    Err(format!("the BPF programs did not build (with {}):\n{log}\n{advice}", toolchain.way))
}
