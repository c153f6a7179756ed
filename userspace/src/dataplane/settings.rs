//! What `[host]` says that can change while the data path runs, as this reads it: what strangers and half-open sessions may
//! cost.

use model::{host::Host, served::WithoutSession};
use xdp_ebpf::{
    abi::{WITHOUT_SESSION_RESET, WITHOUT_SESSION_SILENT},
    limit::{cost, depth},
};

use super::tables::Tables;
use crate::dataplane::error::{Context, Result};

/// A bucket holds a second's.
const DEPTH: u64 = 1000;

/// Nobody is told anything while it is not known whose sessions are where. Returns what was done before.
///
/// # Errors
/// A map is empty, which the kernel does not allow.
pub fn be_silent(tables: &Tables) -> Result<u32> {
    let word = tables.config()?.without_session();
    let before = word.get();
    word.set(WITHOUT_SESSION_SILENT);
    Ok(before)
}

/// From now on it is as the host's settings say, answers to segments without a session included.
///
/// # Errors
/// As [`be_silent`].
pub fn write(tables: &Tables, host: &Host) -> Result<()> {
    let hz = tables.sessions.config.jiffies_hz;
    let rate = tables.reset_rate.get(0).context("ek_reset_rate")?;
    rate.depth().set(depth(DEPTH, hz));
    rate.cost().set(cost(host.resets_per_second.get().into(), hz));
    let config = tables.config()?;
    let mut macs = host.virtual_macs.iter().map(|mac| mac.bytes());
    config.virtual_macs().set(std::array::from_fn(|_| macs.next().unwrap_or_default()));
    config.min_path_mtu().set(host.min_path_mtu.get().into());
    config.max_half_open().set(host.max_half_open.get());
    config.without_session().set(match host.without_session {
        WithoutSession::Reset => WITHOUT_SESSION_RESET,
        WithoutSession::Drop => WITHOUT_SESSION_SILENT,
    });
    Ok(())
}
