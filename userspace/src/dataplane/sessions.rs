//! The session tables and the port rings as userspace sees them: reading live sessions, filling the rings, giving a
//! port back. Next: `sweep`, which ends sessions.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use anyhow::{Context, Result};
use xdp_ebpf::{
    abi::{Config, Half, LIVE, Plane, plane_of},
    shared::Shared,
};

use super::memory::Mapping;

/// Both session tables with the rings that their local ports come from.
pub struct Sessions {
    /// The sizes, as in `ek_config`.
    pub config: Config,
    /// Client → backend.
    pub forward: Mapping<Half>,
    /// Backend → client.
    pub reverse: Mapping<Half>,
    /// One FIFO of free ports each.
    pub plane: Mapping<Plane>,
    /// The rings of the planes.
    pub port: Mapping<u16>,
    /// The number of each local address.
    pub local: HashMap<[u8; 4], u32>,
}

/// Where a local port belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortHome {
    /// Index in `ek_plane`.
    pub plane: u32,
    /// Index in `ek_reverse`.
    pub reverse: u32,
}

impl Sessions {
    /// Gives every plane its local address and fills its ring with every local port. For new tables.
    ///
    /// The rings start anywhere: a backend may remember for a minute what an earlier load of the tables used, and
    /// has a client wait for a second if a port comes back with it.
    ///
    /// # Errors
    /// Maps smaller than `config` says.
    pub fn fill_ports(&self) -> Result<()> {
        let (base, count) = (self.config.port_base, self.config.port_count);
        let start = self.config.seed as u32 % count.max(1);
        for (index, plane) in self.plane.iter() {
            for (position, offset) in (0..).zip((start..count).chain(0..start)) {
                let port = u16::try_from(base + offset).context("a local port is over 65535")?;
                self.ring_entry(index, position)?.write(port);
            }
            let local = index / (self.config.plane_mask + 1);
            if let Some((&address, _)) = self.local.iter().find(|&(_, &number)| number == local) {
                plane.address().set(address);
            }
            plane.head().set(0);
            plane.tail().publish(count);
        }
        Ok(())
    }

    /// Where the local port of a forward half belongs; `None` for addresses and ports that are not ours.
    pub fn port_home(&self, forward: &Half) -> Option<PortHome> {
        let local = *self.local.get(&forward.new_src)?;
        let plane = plane_of(forward.new_dst, forward.new_dport, self.config.plane_mask);
        let plane = self.config.plane_index(local, plane);
        let reverse = self.config.reverse_index(plane, forward.new_sport)?;
        Some(PortHome { plane, reverse })
    }

    /// Puts a free port at the end of its plane's ring. Only one thread of one process may do this.
    ///
    /// # Errors
    /// Maps smaller than `config` says.
    pub fn give_back(&self, plane_index: u32, port: u16) -> Result<()> {
        let plane = self.plane.get(plane_index).context("ek_plane is smaller than ek_config says")?;
        let tail = plane.tail().get();
        self.ring_entry(plane_index, tail)?.write(port);
        plane.tail().publish(tail.wrapping_add(1));
        Ok(())
    }

    /// Free ports of all planes.
    pub fn free_ports(&self) -> u64 {
        self.plane
            .iter()
            .map(|(_, plane)| u64::from(plane.tail().get().wrapping_sub(plane.head().get())))
            .sum()
    }

    /// Ports of all planes.
    pub fn total_ports(&self) -> u64 {
        u64::from(self.plane.entries()) * u64::from(self.config.port_count)
    }

    /// Every live session: forward and reverse half, copied.
    pub fn live(&self) -> impl Iterator<Item = (Half, Half)> {
        self.forward.iter().filter(|(_, half)| half.state().get() == LIVE).filter_map(|(index, half)| {
            let forward = half.snapshot();
            let reverse = self.reverse.get(forward.peer)?.snapshot();
            (reverse.state == LIVE && reverse.peer == index).then_some((forward, reverse))
        })
    }

    /// Entry `position` (it wraps) of a plane's ring.
    pub(super) fn ring_entry(&self, plane: u32, position: u32) -> Result<Shared<'_, u16>> {
        let index = plane * (self.config.ring_mask + 1) + (position & self.config.ring_mask);
        self.port.get(index).context("ek_port is smaller than ek_config says")
    }
}

/// An address and a port of a half, for people.
pub fn endpoint(address: [u8; 4], port: u16) -> SocketAddr {
    (address, port).into()
}

/// An address as the records hold it, which is IPv4 only.
pub fn octets(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{dataplane::geometry::Geometry, host::Host};

    /// Tables on plain memory: `lips` local addresses from 100.64.0.0 on, ports 4000–4002.
    pub fn on_plain_memory(lips: u8, max_sessions: u32) -> Sessions {
        let addresses: Vec<_> = (0..lips).map(|n| IpAddr::from([100, 64, 0, n])).collect();
        let host =
            Host { interfaces: vec![], local_addresses: addresses, local_ports: 4000..=4002, max_sessions };
        let geometry = Geometry::new(&host);
        let [forward, reverse, plane, port] = geometry.map_sizes().map(|(_, size)| size);
        let sessions = Sessions {
            config: geometry.config(0, 250),
            forward: Mapping::of_zeros(forward),
            reverse: Mapping::of_zeros(reverse),
            plane: Mapping::of_zeros(plane),
            port: Mapping::of_zeros(port),
            local: (0..lips).map(|n| ([100, 64, 0, n], n.into())).collect(),
        };
        sessions.fill_ports().unwrap();
        sessions
    }

    /// Takes the next port of a plane, as the XDP program does.
    pub fn take(sessions: &Sessions, plane: u32) -> Option<u16> {
        let ring = sessions.plane.get(plane).unwrap();
        let head = ring.head().get();
        (ring.tail().get() != head).then(|| {
            ring.head().set(head.wrapping_add(1));
            sessions.ring_entry(plane, head).unwrap().snapshot()
        })
    }

    #[test]
    fn ports_come_in_the_order_in_which_they_were_given_back() {
        let sessions = on_plain_memory(2, 12);
        for plane in 0..sessions.plane.entries() {
            // Start where the positions are about to wrap.
            let start = u32::MAX - 1;
            let ring = sessions.plane.get(plane).unwrap();
            ring.head().set(start);
            ring.tail().set(start);
            for port in [4002, 4000, 4001] {
                sessions.give_back(plane, port).unwrap();
            }
        }
        assert_eq!(sessions.free_ports(), sessions.total_ports());
        for plane in 0..sessions.plane.entries() {
            let taken: Vec<_> = std::iter::from_fn(|| take(&sessions, plane)).collect();
            assert_eq!(taken, [4002, 4000, 4001]);
        }
        assert_eq!(sessions.free_ports(), 0);
    }
}
