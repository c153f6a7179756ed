//! What a pinned receiver has done so far.

use std::{borrow::Borrow, path::PathBuf};

use aya::maps::{LpmTrie, MapData, PerCpuArray};
use serde::Serialize;
use xdp_ebpf::receiver::{Counters, map};

use crate::{
    attach, cgroup, connections,
    error::Error,
    pins::PinDir,
    trusted::{Trusted, TrustedMap},
};

/// Connections accepted since the receiver was first attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Total {
    /// With TOA, from a trusted balancer.
    pub with_toa: u64,
    /// Without TOA, from a trusted balancer.
    pub without_toa: u64,
    /// Without TOA, from elsewhere.
    pub direct: u64,
    /// With TOA, from elsewhere; ignored.
    pub untrusted: u64,
    /// With a broken option, from a trusted balancer; ignored.
    pub malformed: u64,
    /// With TOA, and the kernel had no memory to keep it.
    pub no_memory: u64,
}

impl Total {
    /// Every number with its name and meaning.
    pub fn rows(&self) -> [(&'static str, u64, &'static str); 6] {
        [
            ("with_toa", self.with_toa, "from a trusted balancer, with the client's address"),
            ("without_toa", self.without_toa, "from a trusted balancer, without the client's address"),
            ("direct", self.direct, "from elsewhere"),
            ("untrusted", self.untrusted, "from elsewhere with an option that claims a client: ignored"),
            ("malformed", self.malformed, "from a trusted balancer with a broken option: ignored"),
            ("no_memory", self.no_memory, "the client's address could not be kept"),
        ]
    }
}

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

/// The sum over all CPUs.
///
/// # Errors
/// The map cannot be read.
pub fn total(counters: &PerCpuArray<impl Borrow<MapData>, Counters>) -> Result<Total, Error> {
    let per_cpu = counters.get(&0, 0)?;
    Ok(per_cpu.iter().fold(Total::default(), |sum, cpu| Total {
        with_toa: sum.with_toa + cpu.with_toa,
        without_toa: sum.without_toa + cpu.without_toa,
        direct: sum.direct + cpu.direct,
        untrusted: sum.untrusted + cpu.untrusted,
        malformed: sum.malformed + cpu.malformed,
        no_memory: sum.no_memory + cpu.no_memory,
    }))
}
