//! One network namespace, named as `ip netns` knows it, and removed with everything that runs in it or is pinned for it.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::sweep;

/// Where `ip netns` keeps its names.
pub const DIRECTORY: &str = "/run/netns";
/// Where BPF objects are pinned: those of a namespace's programs in the directories NAME and NAME-….
pub const PINS: &str = "/sys/fs/bpf";

/// A namespace that this process made; dropping it removes it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Makes one.
    ///
    /// # Errors
    /// If that needs rights which this process lacks, or if `ip` is not there.
    pub fn new(name: String) -> Result<Self> {
        sweep::remember(&name);
        ip(&["netns", "add", &name])?;
        let path = path(&name);
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { name, file: Arc::new(file) })
    }

    /// As in `ip netns exec NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// To enter it by.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
        sweep::forget(&self.name);
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Kills what runs in the namespace and removes it with its pins; what is gone already is fine.
pub fn remove(name: &str) {
    if path(name).exists() {
        remove_with_inhabitants(name);
    }
    let is_its =
        |pins: &String| pins.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    for pins in names_in(PINS).filter(is_its) {
        if let Err(error) = fs::remove_dir_all(Path::new(PINS).join(&pins)) {
            eprintln!("{PINS}/{pins} stays behind: {error}");
        }
    }
}

/// The names of what is in a directory, if there is one.
pub fn names_in(directory: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn remove_with_inhabitants(name: &str) {
    for process in inhabitants(name) {
        // It may have ended by itself.
        let _ = kill(process, Signal::SIGKILL);
    }
    if let Err(error) = ip(&["netns", "delete", name]) {
        eprintln!("namespace {name} stays behind: {error:#}");
    }
}

/// Processes in the namespace, this one excepted.
fn inhabitants(name: &str) -> Vec<Pid> {
    let Ok(inode) = fs::metadata(path(name)).map(|file| file.ino()) else { return Vec::new() };
    let pids = names_in("/proc").filter_map(|name| name.parse().ok()).map(Pid::from_raw);
    pids.filter(|pid| *pid != Pid::this() && is_inside(*pid, inode)).collect()
}

fn is_inside(process: Pid, inode: u64) -> bool {
    fs::metadata(format!("/proc/{process}/ns/net")).is_ok_and(|file| file.ino() == inode)
}

/// Runs `ip` outside of any namespace.
///
/// # Errors
/// What it says.
pub fn ip(arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    output(command)
}

/// Runs a command to its end and returns its stdout. A Ctrl-C in the terminal does not reach it: it is for this process,
/// which may need the command to clean up.
///
/// # Errors
/// With its stderr if it fails.
pub fn output(mut command: Command) -> Result<String> {
    command.process_group(0);
    let result = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        bail!("{command:?} failed ({}): {}", result.status, stderr.trim());
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}
