//! Processes that keep every processor busy, so that tests run as on a machine that has no time for them.

use std::{
    env,
    process::{Child, Command, ExitCode, Stdio},
    thread,
};

use anyhow::{Context, Result};
use nix::{
    sys::{prctl, signal::Signal},
    unistd::{Pid, getppid},
};

/// Hogs per processor.
const PER_PROCESSOR: usize = 2;

/// Running hogs, which end with this, and with this process however it ends.
#[derive(Debug)]
pub struct Hogs(Vec<Child>);

impl Hogs {
    /// Starts them.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start() -> Result<Self> {
        let count = thread::available_parallelism()?.get() * PER_PROCESSOR;
        let program = env::current_exe()?;
        let mut hogs = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(&program);
            command.args(["hog", &std::process::id().to_string()]).stdin(Stdio::null());
            hogs.0.push(command.spawn().context("cannot start a processor hog")?);
        }
        Ok(hogs)
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        for hog in &mut self.0 {
            let _ = hog.kill();
            let _ = hog.wait();
        }
    }
}

/// Is one of them: runs until the process that started it, `parent`, ends.
///
/// # Errors
/// The kernel would not end it then.
pub fn be_one(parent: u32) -> Result<ExitCode> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let parent = Pid::from_raw(parent.try_into()?);
    // Else it ended before the kernel was told.
    if getppid() == parent {
        loop {
            std::hint::spin_loop();
        }
    }
    Ok(ExitCode::FAILURE)
}
