//! Removing namespaces and their pins when their owner cannot: on SIGINT and SIGTERM, and what dead owners left behind.
//!
//! A namespace's name begins with `ek`, its owner's process id, `x` and a number.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

use crate::namespace;

static LIVE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TAKEN_OVER: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static WATCH: Once = Once::new();
static RUN: AtomicU32 = AtomicU32::new(0);

/// A prefix that no other network has, now or of this process earlier.
pub fn unique_prefix() -> String {
    format!("ek{}x{}", std::process::id(), RUN.fetch_add(1, Ordering::Relaxed))
}

/// Whether a signal has come that ends this process.
#[derive(Clone, Copy, Debug)]
pub struct Interrupt(());

impl Interrupt {
    /// Whether one has come.
    pub fn has_come(self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

/// From now on this process ends by itself when SIGINT or SIGTERM comes, or SIGHUP, for its terminal is gone. Without this
/// call, either of the first two removes all networks of this process and then ends it.
pub fn interrupt() -> Interrupt {
    TAKEN_OVER.store(true, Ordering::Relaxed);
    watch();
    obey_from(&[SIGHUP]);
    Interrupt(())
}

/// Notes a namespace for removal.
pub fn remember(name: &str) {
    watch();
    live().push(name.to_owned());
}

/// A namespace was removed.
pub fn forget(name: &str) {
    live().retain(|other| other != name);
}

fn live() -> MutexGuard<'static, Vec<String>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    WATCH.call_once(|| {
        remove_orphans();
        obey_from(&[SIGINT, SIGTERM]);
    });
}

fn obey_from(signals: &[i32]) {
    match Signals::new(signals) {
        Ok(signals) => drop(thread::spawn(|| obey(signals))),
        Err(error) => eprintln!("signals will not clean up: {error}"),
    }
}

fn obey(mut signals: Signals) {
    for signal in signals.forever() {
        INTERRUPTED.store(true, Ordering::Relaxed);
        if TAKEN_OVER.load(Ordering::Relaxed) {
            continue;
        }
        for name in live().iter() {
            namespace::remove(name);
        }
        let _ = emulate_default_handler(signal);
    }
}

fn remove_orphans() {
    for name in namespace::names_in(namespace::DIRECTORY).chain(namespace::names_in(namespace::PINS)) {
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            namespace::remove(&name);
        }
    }
}

fn owner(name: &str) -> Option<u32> {
    let (pid, run) = name.strip_prefix("ek")?.split_once('-')?.0.split_once('x')?;
    run.parse::<u32>().ok()?;
    pid.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_an_owner() {
        assert_eq!(owner("ek4711x0-client"), Some(4711));
        assert_eq!(owner(&format!("{}-balancer", unique_prefix())), Some(std::process::id()));
        for foreign in ["ek", "ek4711-client", "ekx1-a", "ekofisk", "ek12x-a", "ek4711x0", "web"] {
            assert_eq!(owner(foreign), None, "{foreign}");
        }
    }
}
