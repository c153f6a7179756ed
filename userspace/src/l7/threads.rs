//! The threads on which requests are served, one for each processor. Each has a runtime of its own, and a connection
//! stays with the thread that accepted it: nothing is handed to another thread, which would have to be woken.

use std::{
    io,
    num::NonZero,
    thread::{self, available_parallelism},
};

use nix::sys::prctl;
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
};

use super::memory;

/// All of them, until this is dropped. What is still to be done then is not done.
pub struct Threads {
    runtimes: Vec<Handle>,
    /// They end with it.
    _until: watch::Sender<()>,
}

impl Threads {
    /// As many as there are processors. They may do nothing that needs a privilege. From then on the process has no huge
    /// pages: of Pingora's buffers of 64 KB most requests use the beginning only, and a page of 2 MiB is there as a whole
    /// as soon as a byte of it is written.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn start() -> io::Result<Self> {
        if let Err(error) = prctl::set_thp_disable(true) {
            tracing::warn!("memory is taken in pages of 2 MiB where the kernel can: {error}");
        }
        let until = watch::Sender::new(());
        let mut runtimes = Vec::new();
        for _ in 0..available_parallelism().map_or(1, NonZero::get) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtimes.push(runtime.handle().clone());
            let mut end = until.subscribe();
            thread::Builder::new().name("layer7".into()).spawn(move || {
                give_up_privileges();
                runtime.block_on(async {
                    tokio::select! {
                        _ = end.changed() => {}
                        () = memory::give_back() => {}
                    }
                });
            })?;
        }
        Ok(Self { runtimes, _until: until })
    }

    /// The runtime of each.
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }
}

/// For threads that only move bytes.
pub(super) fn give_up_privileges() {
    for set in [caps::CapSet::Effective, caps::CapSet::Permitted, caps::CapSet::Inheritable] {
        if let Err(error) = caps::clear(None, set) {
            tracing::warn!("a thread of Layer 7 keeps privileges that it does not need: {error}");
        }
    }
}
