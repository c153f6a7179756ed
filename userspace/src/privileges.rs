//! What a process that loads BPF programs needs of this machine.

use anyhow::{Context, Result, bail};
use aya::util::KernelVersion;
use caps::{CapSet, Capability};

/// The oldest kernel that is supported: the first long-term one with everything the data path asks for.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(6, 6, 0);
/// What to say of an older one.
pub const TOO_OLD: &str = "this kernel is too old: Linux 6.6 or newer is needed";

/// Whether the kernel is too old.
///
/// # Errors
/// It does not say which one it is.
pub fn is_kernel_too_old() -> Result<bool> {
    Ok(KernelVersion::current().context("cannot tell the kernel's version")? < OLDEST_KERNEL)
}

/// Looks whether this process has these capabilities.
///
/// # Errors
/// With those that are missing.
pub fn require(capabilities: impl IntoIterator<Item = Capability>) -> Result<()> {
    let effective = caps::read(None, CapSet::Effective).context("cannot read this process's capabilities")?;
    let missing = capabilities.into_iter().filter(|capability| !effective.contains(capability));
    let missing: Vec<_> = missing.map(|capability| capability.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this needs root, or the capabilities that are missing: {}", missing.join(", "))
}
