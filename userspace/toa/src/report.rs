//! What a pinned receiver has done so far.

use std::path::PathBuf;

use aya::maps::{LpmTrie, MapData, PerCpuArray};
use serde::Serialize;
use xdp_ebpf::receiver::{Counters, map};

use crate::{
    attach, cgroup, connections,
    error::Error,
    pins::PinDir,
    total::{Total, total},
    trusted::{Trusted, TrustedMap},
};

/// The state of a pinned receiver.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The cgroup that it is attached to; `None` if that is gone.
    pub cgroup: Option<PathBuf>,
    /// Networks whose options count.
    pub trusted: Vec<String>,
    /// Open connections that came with TOA.
    pub open: usize,
    /// Network namespaces that could not be looked into; their connections are missing in `open`.
    pub unseen: usize,
    /// Connections so far.
    pub total: Total,
}

/// Looks at the receiver that is pinned here.
///
/// # Errors
/// There is none, or the process may not look.
pub fn status(pins: &PinDir) -> Result<Status, Error> {
    let trusted: TrustedMap<MapData> = LpmTrie::try_from(pins.open_map(map::TRUSTED)?)?.into();
    let mut networks = trusted.networks()?;
    networks.sort();
    let open = connections::list(pins)?;
    Ok(Status {
        cgroup: cgroup::path_of(attach::attached_to(pins)?),
        trusted: networks.iter().map(Trusted::to_string).collect(),
        open: open.connections.len(),
        unseen: open.unseen,
        total: total(&PerCpuArray::<_, Counters>::try_from(pins.open_map(map::COUNTER)?)?)?,
    })
}
