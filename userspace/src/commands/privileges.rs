//! What `evenkeel run` may do: more to start than to go on.

use anyhow::{Context, Result, bail};
use aya::util::KernelVersion;
use caps::{CapSet, Capability, CapsHashSet};

/// The oldest kernel that can do what the data path needs: XDP programs for frames in several buffers.
const OLDEST_KERNEL: KernelVersion = KernelVersion::new(5, 18, 0);
/// Needed all the time: maps, netlink, resets.
const TO_RUN: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
/// Needed to load programs.
const TO_LOAD: Capability = Capability::CAP_PERFMON;

/// Looks whether a start can succeed.
///
/// # Errors
/// The kernel is too old or the process may too little.
pub fn check() -> Result<()> {
    let kernel = KernelVersion::current().context("cannot tell the kernel's version")?;
    if kernel < OLDEST_KERNEL {
        bail!("this kernel is too old: Linux 5.18 or newer is needed (`uname -r` says which one runs)");
    }
    let effective = caps::read(None, CapSet::Effective).context("cannot read this process's capabilities")?;
    let missing: Vec<_> = TO_RUN
        .iter()
        .chain([&TO_LOAD])
        .filter(|capability| !effective.contains(capability))
        .map(ToString::to_string)
        .collect();
    if !missing.is_empty() {
        bail!("this needs root, or the capabilities that are missing: {}", missing.join(", "));
    }
    Ok(())
}

/// Gives up all that is needed no longer.
///
/// # Errors
/// The kernel refuses.
pub fn drop_unneeded() -> Result<()> {
    let keep: CapsHashSet = TO_RUN.into_iter().collect();
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        let now = caps::read(None, set).context("cannot read this process's capabilities")?;
        caps::set(None, set, &(&now & &keep)).context("cannot give up capabilities")?;
    }
    Ok(())
}
