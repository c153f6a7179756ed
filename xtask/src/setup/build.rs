//! The build of the BPF programs: one command with all of its environment, tried here, and recorded for
//! `userspace/loader/build.rs` in the target directory's `bpf-toolchain.json`.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ways::{Kind, TARGET, Way};
use crate::{
    progress::{self, Step},
    workspace,
};

/// Full debug information becomes BTF; v3 has atomics; packet fields lie at odd addresses, and without the last
/// feature they are read byte by byte.
const RUSTFLAGS: &str =
    "-C debuginfo=2 -C link-arg=--btf -C target-cpu=v3 -C target-feature=+allows-misaligned-mem-access";

/// What the inner cargo sees of the outer environment: where it finds its things, and its way to the network. Only
/// names are recorded, because values may be secret.
const INHERITED: &[&str] = &[
    "HOME",
    "USER",
    "PATH",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "CARGO_NET_OFFLINE",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// A build that worked. The reading side is in `userspace/loader/build.rs`.
#[derive(Debug, Deserialize, Serialize)]
pub struct Recorded {
    /// The way it takes, for people.
    pub way: String,
    program: PathBuf,
    args: Vec<String>,
    objects: PathBuf,
    inherit: Vec<String>,
    env: BTreeMap<String, String>,
}

/// The build by this way.
///
/// # Errors
/// If cargo does not know its target directory.
pub fn command(way: &Way, linker: &Path) -> Result<Recorded> {
    // A directory of its own: the outer cargo holds the lock of the usual one while build scripts run.
    let target = workspace::target()?.join("bpf");
    let words = ["build", "--package", "xdp-ebpf", "--bins", "--features", "kernel", "--profile", "bpf"];
    let mut args = words.map(str::to_owned).to_vec();
    args.extend(["--target", TARGET, "--target-dir", &target.to_string_lossy()].map(str::to_owned));
    if way.kind == Kind::BuildStd {
        args.extend(["-Z", "build-std=core"].map(str::to_owned));
    }
    Ok(Recorded {
        way: way.name.clone(),
        program: way.cargo.clone(),
        args,
        objects: target.join(TARGET).join("bpf"),
        inherit: INHERITED.iter().map(|name| name.to_string()).collect(),
        env: environment(way, linker),
    })
}

fn environment(way: &Way, linker: &Path) -> BTreeMap<String, String> {
    let target = TARGET.to_uppercase().replace('-', "_");
    let mut environment = BTreeMap::from([
        ("RUSTC".to_owned(), way.rustc.display().to_string()),
        ("LD_LIBRARY_PATH".to_owned(), way.llvm.display().to_string()),
        (format!("CARGO_TARGET_{target}_LINKER"), linker.display().to_string()),
        (format!("CARGO_TARGET_{target}_RUSTFLAGS"), RUSTFLAGS.to_owned()),
    ]);
    if way.kind == Kind::Sysroot {
        // A stable compiler, and the programs use unstable features of `core`.
        environment.insert("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned());
    }
    environment
}

/// Builds the BPF programs.
///
/// # Errors
/// The end of the compiler's log.
pub fn attempt(build: &Recorded) -> Result<(), String> {
    let mut command = Command::new(&build.program);
    command.args(&build.args).current_dir(workspace::root()).env_clear();
    command.envs(build.inherit.iter().filter_map(|name| Some((name, env::var_os(name)?)))).envs(&build.env);
    let built = Step::start("building", "the BPF programs", &mut command).and_then(Step::end);
    let built = built.map_err(|error| format!("{error:#}"))?;
    if !built.output.status.success() {
        return Err(progress::tail(&built.output, 30));
    }
    built.tell("the BPF programs");
    Ok(())
}

/// Whether a build failed at the programs' own source, for which another toolchain is no remedy.
pub fn is_own_mistake(failure: &str) -> bool {
    failure.contains("could not compile `xdp-ebpf`") && !failure.contains("linking with")
}

/// Where a working build is recorded.
///
/// # Errors
/// If cargo does not know its target directory.
pub fn record_file() -> Result<PathBuf> {
    Ok(workspace::target()?.join("bpf-toolchain.json"))
}

/// The build recorded earlier, if there is one that can be read.
///
/// # Errors
/// If cargo does not know its target directory.
pub fn recorded() -> Result<Option<Recorded>> {
    let text = fs::read_to_string(record_file()?);
    Ok(text.ok().and_then(|text| serde_json::from_str(&text).ok()))
}

/// While it is held, build scripts of `userspace/loader` wait for the record.
#[derive(Debug)]
pub struct Hold {
    _lock: File,
    since: SystemTime,
}

impl Hold {
    /// Waits for another task that holds it.
    ///
    /// # Errors
    /// If the target directory cannot be written to.
    pub fn new() -> Result<Self> {
        let file = workspace::target()?.join("bpf-toolchain.lock");
        let open = || -> io::Result<File> {
            fs::create_dir_all(file.parent().unwrap_or(&file))?;
            File::options().create(true).truncate(false).write(true).open(&file)
        };
        let lock = open().with_context(|| format!("cannot open {}", file.display()))?;
        if lock.try_lock().is_err() {
            progress::line("waiting", format_args!("for another task that holds {}", file.display()));
            lock.lock().with_context(|| format!("cannot lock {}", file.display()))?;
        }
        Ok(Self { _lock: lock, since: SystemTime::now() })
    }

    /// Records a build for `userspace/loader/build.rs`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn record(&self, build: &Recorded) -> Result<()> {
        let file = record_file()?;
        let text = serde_json::to_string_pretty(build)?;
        fs::write(&file, text)
            // Every build script that started later than that waited and read this; cargo need not run it again.
            .and_then(|()| File::options().write(true).open(&file)?.set_modified(self.since))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}
