//! How a program or a thread gets into a network namespace. The mount namespace stays, and with it `/sys/fs/bpf`.
#![allow(unsafe_code, reason = "a child enters its namespace between fork and exec")]

use std::{fs::File, io, os::unix::process::CommandExt, process::Command, sync::Arc, thread};

use nix::sched::{CloneFlags, setns};

/// Makes `command` run inside the namespace.
pub fn command(command: &mut Command, namespace: Arc<File>) {
    let enter = move || setns(&*namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(enter) };
}

/// Runs `work` on a thread inside the namespace and returns what it returns; panics go through.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn thread<T: Send>(namespace: &File, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let inside = || {
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
