//! How large the tables are: arithmetic from the configuration's `[host]` to map sizes and
//! [`Config`]. Next: `load`, which makes the maps, or compares those that are there.

use std::net::IpAddr;

use xdp_ebpf::abi::{BUCKET, Config, MAX_PLANES, map};

use crate::host::Host;

/// What the sizes follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Local addresses; the position is the index in `ek_address`.
    pub local_addresses: Vec<IpAddr>,
    /// First local port.
    pub port_base: u16,
    /// How many local ports, 1–65536.
    pub port_count: u32,
    /// Planes per local address: a power of two up to [`MAX_PLANES`].
    pub planes: u32,
    /// Buckets of the forward table: a power of two.
    pub forward_buckets: u32,
}

impl Geometry {
    /// The smallest tables that hold `max_sessions`: as few planes as offer that many ports, and a forward table
    /// that is at most half full.
    pub fn new(host: &Host) -> Self {
        let (first, last) = host.local_ports.clone().into_inner();
        let port_count = u32::from(last.saturating_sub(first)) + 1;
        let per_plane = host.local_addresses.len().max(1) as u64 * u64::from(port_count);
        let planes = u64::from(host.max_sessions).div_ceil(per_plane).next_power_of_two();
        Self {
            local_addresses: host.local_addresses.clone(),
            port_base: first,
            port_count,
            planes: planes.min(MAX_PLANES.into()) as u32,
            forward_buckets: (host.max_sessions * 2).div_ceil(BUCKET).next_power_of_two(),
        }
    }

    /// Entries of one port ring: a power of two that holds every port.
    pub fn ring_size(&self) -> u32 {
        self.port_count.next_power_of_two()
    }

    /// Planes of all local addresses together.
    pub fn plane_count(&self) -> u32 {
        self.local_addresses.len() as u32 * self.planes
    }

    /// The maps whose size depends on the host, with their number of entries.
    pub fn map_sizes(&self) -> [(&'static str, u32); 4] {
        [
            (map::FORWARD, self.forward_buckets * BUCKET),
            (map::REVERSE, self.plane_count() * self.port_count),
            (map::PLANE, self.plane_count()),
            (map::PORT, self.plane_count() * self.ring_size()),
        ]
    }

    /// The record for `ek_config`.
    pub fn config(&self, seed: u64, jiffies_hz: u32) -> Config {
        Config {
            seed,
            generation: 1,
            forward_mask: self.forward_buckets - 1,
            local_addresses: self.local_addresses.len() as u32,
            plane_mask: self.planes - 1,
            port_base: self.port_base.into(),
            port_count: self.port_count,
            ring_mask: self.ring_size() - 1,
            jiffies_hz,
            reserved: [0; 6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(
        local_addresses: u8,
        local_ports: std::ops::RangeInclusive<u16>,
        max_sessions: u32,
    ) -> Geometry {
        let local_addresses = (0..local_addresses).map(|n| IpAddr::from([100, 64, 0, n])).collect();
        Geometry::new(&Host { interfaces: vec![], local_addresses, local_ports, max_sessions })
    }

    #[test]
    fn planes_grow_until_the_ports_suffice() {
        let planes = |n, sessions| geometry(n, 1024..=65535, sessions).planes;
        assert_eq!(planes(1, 64_512), 1);
        assert_eq!(planes(1, 64_513), 2);
        assert_eq!(planes(1, 1 << 20), 16, "16 × 64,512 is just short of 2²⁰, and 16 is the most");
        assert_eq!(planes(16, 1 << 20), 2, "16 × 64,512 is just short of 2²⁰");
        assert_eq!(planes(17, 1 << 20), 1);
    }

    #[test]
    fn the_forward_table_is_at_most_half_full() {
        for sessions in [1, 2, 3, 1000, 1 << 20, (1 << 20) + 1, 1 << 24] {
            let geometry = geometry(4, 1024..=65535, sessions);
            assert!(geometry.forward_buckets.is_power_of_two());
            let entries = u64::from(geometry.forward_buckets) * u64::from(BUCKET);
            assert!(entries >= 2 * u64::from(sessions) && entries <= (4 * u64::from(sessions)).max(4));
        }
    }

    #[test]
    fn every_port_has_one_reverse_index() {
        let geometry = geometry(3, 4000..=4002, 30);
        let config = geometry.config(7, 250);
        let mut seen = vec![false; geometry.map_sizes()[1].1 as usize];
        for local in 0..3 {
            for plane in 0..geometry.planes {
                for port in 4000..=4002 {
                    let index = config.reverse_index(config.plane_index(local, plane), port).unwrap();
                    assert!(!std::mem::replace(&mut seen[index as usize], true));
                }
            }
        }
        assert!(seen.into_iter().all(|s| s), "and the table has no entry to spare");
        assert!(geometry.ring_size() >= 3 && geometry.ring_size().is_power_of_two());
    }

    #[test]
    fn the_whole_port_range_fits() {
        let geometry = geometry(1, 0..=65535, 1 << 20);
        assert_eq!((geometry.port_count, geometry.ring_size(), geometry.planes), (65536, 65536, 16));
    }
}
