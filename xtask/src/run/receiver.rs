//! `evenkeel-toa` on some of the demo's backends: on those whose sockets were made in a cgroup of the demo's own.
//!
//! A socket belongs to the cgroup that its process was in when it made it. The backends are threads of this process,
//! so it enters the cgroup, starts some of them, and goes back.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::progress;

/// A receiver that is detached when it is dropped.
pub struct Receiver {
    program: PathBuf,
    pins: PathBuf,
    cgroup: PathBuf,
    /// Where this process was.
    home: PathBuf,
}

impl Receiver {
    /// Attaches one to a new cgroup of this name.
    ///
    /// # Errors
    /// If there is no cgroup2 here, or the receiver cannot be attached.
    pub fn start(program: PathBuf, name: &str, pins: PathBuf, trusted: &str) -> Result<Self> {
        let root = cgroup2()?;
        let cgroup = root.join(name);
        fs::create_dir(&cgroup).with_context(|| format!("cannot make {}", cgroup.display()))?;
        let receiver = Self { program, pins, home: home(&root)?, cgroup };
        let mut command = Command::new(&receiver.program);
        command.args(["run", "--trusted", trusted, "--cgroup"]).arg(&receiver.cgroup);
        receiver.run(command.arg("--pin").arg(&receiver.pins))?;
        Ok(receiver)
    }

    /// Sockets that `work` makes get the client's address.
    ///
    /// # Errors
    /// If this process cannot go there or back, or what `work` says.
    pub fn inside<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        enter(&self.cgroup)?;
        let worked = work();
        enter(&self.home)?;
        worked
    }

    fn run(&self, command: &mut Command) -> Result<()> {
        // As in `testbed`: a Ctrl-C is not for whom it takes to clean up.
        command.process_group(0);
        let output = command.output().with_context(|| format!("cannot run {}", self.program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        bail!("{}", progress::tail(&output, 5).trim())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Err(error) = self.run(Command::new(&self.program).arg("detach").arg("--pin").arg(&self.pins)) {
            progress::line("receiver", format_args!("does not detach: {error:#}"));
        }
        if let Err(error) = fs::remove_dir(&self.cgroup) {
            progress::line("receiver", format_args!("{} stays behind: {error}", self.cgroup.display()));
        }
    }
}

/// Removes empty cgroups whose name `is_orphan` says is a dead demo's.
pub fn remove_orphans(is_orphan: impl Fn(&str) -> bool) {
    let Ok(root) = cgroup2() else { return };
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_orphan) {
            // What cannot be removed harms nobody.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn cgroup2() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let root = mounts.find_map(|fields| match fields[..] {
        [_, path, "cgroup2", ..] => Some(PathBuf::from(path)),
        _ => None,
    });
    root.context("cgroup2 is not mounted")
}

/// The cgroup that this process is in.
fn home(root: &Path) -> Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").context("cannot read /proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    Ok(root.join(path.context("this process is in no cgroup of cgroup2")?))
}

/// Moves this process.
fn enter(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0")
        .with_context(|| format!("cannot move to {}", cgroup.display()))
}
