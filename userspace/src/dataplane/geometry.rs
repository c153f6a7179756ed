//! How large the tables are: arithmetic from the configuration's `[host]` to map sizes and
//! [`Config`]. Next: `load`, which makes the maps, or compares those that are there.

use std::{collections::BTreeSet, net::IpAddr, ops::RangeInclusive};

use model::host::Host;
use xdp_ebpf::abi::{BUCKET, Config, MAX_PLANES, WITHOUT_SESSION_SILENT, map};

/// What the sizes follow from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Local addresses, IPv4's first; the position among those of its family is the index of each.
    pub local_addresses: Vec<IpAddr>,
    /// First local port.
    pub port_base: u16,
    /// How many local ports, 1–65536.
    pub port_count: u32,
    /// Planes per IPv4 local address: a power of two up to [`MAX_PLANES`].
    pub planes: u32,
    /// The same per IPv6 local address.
    pub planes6: u32,
    /// Buckets of the forward table of a family that clients may come by: a power of two.
    pub forward_buckets: u32,
    /// Whether IPv4 clients may come.
    pub has_v4: bool,
    /// Whether IPv6 clients may come.
    pub has_v6: bool,
}

impl Geometry {
    /// The smallest tables that hold `max_sessions`, all of which may be of one family: as few planes as offer that
    /// many ports with the family's local addresses alone, and forward tables that are at most half full. A family of
    /// which there is neither a VIP nor a local address has no tables to speak of.
    pub fn new(host: &Host, vips: &BTreeSet<IpAddr>) -> Self {
        let local_addresses = host.local_addresses.iter().collect();
        Self::of(local_addresses, host.local_ports.clone(), host.max_sessions.get(), vips)
    }

    /// The same of the settings that matter; the local addresses are ascending.
    pub fn of(
        local_addresses: Vec<IpAddr>,
        local_ports: RangeInclusive<u16>,
        max_sessions: u32,
        vips: &BTreeSet<IpAddr>,
    ) -> Self {
        let (first, last) = local_ports.into_inner();
        let port_count = u32::from(last.saturating_sub(first)) + 1;
        let v4 = local_addresses.iter().filter(|address| address.is_ipv4()).count();
        let planes = |addresses: usize| {
            let per_plane = addresses as u64 * u64::from(port_count);
            let planes = match per_plane {
                0 => 1,
                _ => u64::from(max_sessions).div_ceil(per_plane).next_power_of_two(),
            };
            planes.min(MAX_PLANES.into()) as u32
        };
        let has = |is_one: fn(&IpAddr) -> bool| local_addresses.iter().chain(vips).any(is_one);
        Self {
            port_base: first,
            port_count,
            planes: planes(v4),
            planes6: planes(local_addresses.len() - v4),
            forward_buckets: (max_sessions * 2).div_ceil(BUCKET).next_power_of_two(),
            has_v4: has(IpAddr::is_ipv4),
            has_v6: has(IpAddr::is_ipv6),
            local_addresses,
        }
    }

    /// Also has the tables of a family that there are already, though nothing needs them any more.
    pub fn keep(mut self, there: &Config) -> Self {
        self.has_v4 |= there.forward_mask == self.forward_buckets - 1;
        self.has_v6 |= there.forward6_mask == self.forward_buckets - 1;
        self
    }

    /// Entries of one port ring: a power of two that holds every port.
    pub fn ring_size(&self) -> u32 {
        self.port_count.next_power_of_two()
    }

    /// The maps whose size depends on the host, with their number of entries; none is empty, which the kernel does not
    /// allow.
    pub fn map_sizes(&self) -> [(&'static str, u32); 6] {
        let config = self.config(0, 0);
        let planes = config.local_addresses * self.planes;
        let planes6 = config.local_addresses6 * self.planes6;
        [
            (map::FORWARD, (config.forward_mask + 1) * BUCKET),
            (map::FORWARD6, (config.forward6_mask + 1) * BUCKET),
            (map::REVERSE, (planes * self.port_count).max(1)),
            (map::REVERSE6, (planes6 * self.port_count).max(1)),
            (map::PLANE, planes + planes6),
            (map::PORT, (planes + planes6) * self.ring_size()),
        ]
    }

    /// The record for `ek_config`.
    pub fn config(&self, seed: u64, jiffies_hz: u32) -> Config {
        let mask = |has: bool| if has { self.forward_buckets - 1 } else { 0 };
        let v4 = self.local_addresses.iter().filter(|address| address.is_ipv4()).count() as u32;
        Config {
            seed,
            generation: 1,
            forward_mask: mask(self.has_v4),
            forward6_mask: mask(self.has_v6),
            local_addresses: v4,
            local_addresses6: self.local_addresses.len() as u32 - v4,
            plane_mask: self.planes - 1,
            plane_mask6: self.planes6 - 1,
            port_base: self.port_base.into(),
            port_count: self.port_count,
            ring_mask: self.ring_size() - 1,
            jiffies_hz,
            without_session: WITHOUT_SESSION_SILENT,
            max_half_open: 0,
            min_path_mtu: 0,
            virtual_macs: Default::default(),
            device_map: 0,
            moved: 0,
            reserved: [0; 2],
        }
    }
}

#[cfg(test)]
mod tests {
    use xdp_ebpf::family::V4;

    use super::*;

    fn geometry(local_addresses: u8, local_ports: RangeInclusive<u16>, max_sessions: u32) -> Geometry {
        let local_addresses = (0..local_addresses).map(|n| IpAddr::from([100, 64, 0, n])).collect();
        Geometry::of(local_addresses, local_ports, max_sessions, &BTreeSet::new())
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
        let mut seen = vec![false; geometry.map_sizes()[2].1 as usize];
        for local in 0..3 {
            for plane in 0..geometry.planes {
                for port in 4000..=4002 {
                    let index = config.reverse_index::<V4>(local, plane, port).unwrap();
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

    #[test]
    fn a_family_that_nobody_names_takes_no_memory() {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let sizes = |local: &[&str], vips: &[&str]| {
            let local_addresses = local.iter().map(|text| address(text)).collect();
            let vips = vips.iter().map(|text| address(text)).collect();
            Geometry::of(local_addresses, 1..=1000, 1024, &vips).map_sizes().map(|(_, size)| size)
        };
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        assert_eq!(sizes(&[v4], &["192.0.2.2"]), [2048, 4, 2000, 1, 2, 2048]);
        assert_eq!(sizes(&[v4], &["2001:db8::2"]), [2048, 2048, 2000, 1, 2, 2048]);
        assert_eq!(sizes(&[v6], &["2001:db8::2"]), [4, 2048, 1, 2000, 2, 2048]);
        assert_eq!(sizes(&[v4, v6], &[]), [2048, 2048, 2000, 2000, 4, 4096]);
    }

    /// However many local addresses the other has.
    #[test]
    fn each_family_has_ports_for_all_sessions() {
        let v4 = |n: u8| IpAddr::from([100, 64, 0, n]);
        let v6 = |n: u8| IpAddr::from([0x2001, 0xDB8, 0x64, 0, 0, 0, 0, n.into()]);
        for (fours, sixes, planes) in [(1, 16, (16, 2)), (16, 1, (2, 16)), (1, 1, (16, 16)), (3, 0, (8, 1))] {
            let local_addresses = (0..fours).map(v4).chain((0..sixes).map(v6)).collect();
            let geometry = Geometry::of(local_addresses, 1024..=65535, 1 << 20, &BTreeSet::new());
            assert_eq!((geometry.planes, geometry.planes6), planes, "{fours} and {sixes}");
            let reverse: u32 = geometry.map_sizes()[2..4].iter().map(|(_, size)| size).sum();
            assert!(reverse <= 2 * (2 << 20), "{reverse}: no more than twice what each family needs");
        }
    }

    #[test]
    fn tables_that_are_there_are_kept() {
        let without = geometry(1, 1..=1000, 1024);
        let with = Geometry { has_v6: true, ..without.clone() };
        assert_eq!(without.clone().keep(&with.config(0, 0)), with);
        assert_eq!(
            with.clone().keep(&without.config(0, 0)),
            with,
            "what is needed and is not there is still needed"
        );
        let larger = geometry(1, 1..=1000, 4096);
        assert_eq!(without.clone().keep(&Geometry { has_v6: true, ..larger }.config(0, 0)), without);
    }
}
