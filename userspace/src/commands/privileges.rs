//! What `evenkeel run` may do: more to start than to go on.

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};
use evenkeel_loader::privileges::require;

/// Needed all the time: maps, netlink, resets.
const TO_RUN: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];
/// Needed to load programs.
const TO_LOAD: Capability = Capability::CAP_PERFMON;

/// Looks whether a start can succeed.
///
/// # Errors
/// The process may too little.
pub fn check() -> Result<()> {
    Ok(require(TO_RUN.into_iter().chain([TO_LOAD]))?)
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
