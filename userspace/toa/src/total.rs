//! What a receiver has counted.

use std::borrow::Borrow;

use aya::maps::{MapData, PerCpuArray};
use serde::Serialize;
use xdp_ebpf::receiver::Counters;

use crate::error::Error;

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
