//! The session tables and the port rings as userspace sees them: reading live sessions, filling the rings, giving a
//! port back. Next: `sweep`, which ends sessions.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;
use xdp_ebpf::{
    abi::{Common, Config, LIVE, Plane, plane_of},
    family::{V4, V6},
    shared::Shared,
};

use super::{
    halves::{AnyHalf, Halves, Version},
    mapped::mapped,
    memory::Mapping,
};
use crate::dataplane::error::{Context, Result};

/// The session tables of both directions and families, with the rings that their local ports come from.
pub struct Sessions {
    /// The sizes, as in `ek_config`.
    pub config: Config,
    /// Client → backend, by the client's family.
    pub forward: Halves,
    /// Backend → client, by the backend's family.
    pub reverse: Halves,
    /// One FIFO of free ports each, those of IPv4's local addresses first.
    pub plane: Mapping<Plane>,
    /// The rings of the planes.
    pub port: Mapping<u16>,
}

/// A live session, copied.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// Client → backend.
    pub forward: Common,
    /// Backend → client.
    pub reverse: Common,
    /// The client.
    pub client: SocketAddr,
    /// What it talks to.
    pub vip: SocketAddr,
    /// What the backend sees.
    pub local: SocketAddr,
    /// The backend.
    pub backend: SocketAddr,
}

/// Local ports of some planes.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ports {
    /// Those that a new session can have.
    pub free: u64,
    /// All.
    pub total: u64,
}

impl Sessions {
    /// Gives every plane its local address and fills its ring with every local port. For new tables.
    ///
    /// The rings start anywhere: a backend may remember for a minute what an earlier load of the tables used, and
    /// has a client wait for a second if a port comes back with it.
    ///
    /// # Errors
    /// Maps smaller than `config` says.
    pub fn fill_ports(&self, local_addresses: &[IpAddr]) -> Result<()> {
        let (base, count) = (self.config.port_base, self.config.port_count);
        let start = self.config.seed as u32 % count.max(1);
        for (index, plane) in self.plane.iter() {
            for (position, offset) in (0..).zip((start..count).chain(0..start)) {
                let port = u16::try_from(base + offset).context("a local port is over 65535")?;
                self.ring_entry(index, position)?.write(port);
            }
            let local = match index.checked_sub(self.planes_of_v4()) {
                None => index / (self.config.plane_mask + 1),
                Some(index) => self.config.local_addresses + index / (self.config.plane_mask6 + 1),
            };
            if let Some(&address) = local_addresses.get(local as usize) {
                plane.address().set(mapped(address));
            }
            plane.head().set(0);
            plane.tail().publish(count);
        }
        Ok(())
    }

    /// The half at which replies to this port of a plane arrive; `None` for ports that are not ours.
    pub fn reverse_at(&self, plane: u32, port: u16) -> Option<AnyHalf<'_>> {
        self.reverse.get(self.reverse_position(plane, port)?)
    }

    /// Its position in `reverse`.
    pub fn reverse_position(&self, plane: u32, port: u16) -> Option<u32> {
        let offset = u32::from(port).checked_sub(self.config.port_base)?;
        if offset >= self.config.port_count {
            return None;
        }
        let (version, plane) = match plane.checked_sub(self.planes_of_v4()) {
            None => (Version::V4, plane),
            Some(plane) => (Version::V6, plane),
        };
        let index = plane * self.config.port_count + offset;
        Some(self.reverse.position(version, index))
    }

    /// Puts the port whose replies arrive at this position of `reverse` at the end of its plane's ring. Only one
    /// thread of one process may do this.
    ///
    /// # Errors
    /// Maps smaller than `config` says.
    pub fn free_port_of(&self, position: u32) -> Result<()> {
        let (version, index) = self.reverse.place(position);
        let plane = index / self.config.port_count.max(1);
        let port = u16::try_from(self.config.port_base + index % self.config.port_count.max(1))?;
        match version {
            Version::V4 => self.give_back(plane, port),
            Version::V6 => self.give_back(self.planes_of_v4() + plane, port),
        }
    }

    /// Puts a free port at the end of a plane's ring. Only one thread of one process may do this.
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

    /// The local ports of all planes.
    pub fn ports(&self) -> Ports {
        self.ports_of(self.plane.iter().map(|(_, plane)| plane))
    }

    /// Whether less than a fifth is left of any plane's ports, or of the sessions that there may be.
    pub fn is_crowded(&self, max_sessions: u32) -> bool {
        let mut taken = 0;
        let of_planes = self.plane.iter().any(|(_, plane)| {
            let free = plane.tail().get().wrapping_sub(plane.head().get());
            taken += u64::from(self.config.port_count.saturating_sub(free));
            u64::from(free) * 5 < u64::from(self.config.port_count)
        });
        of_planes || taken * 5 > u64::from(max_sessions) * 4
    }

    /// The local ports that sessions with these members use, those of one plane counted once.
    pub fn ports_towards(&self, members: impl Iterator<Item = (IpAddr, u16)>) -> Ports {
        let planes: BTreeSet<u32> =
            members.flat_map(|(address, port)| self.planes_of(address, port)).collect();
        self.ports_of(planes.into_iter().filter_map(|plane| self.plane.get(plane)))
    }

    /// The plane of this member, at each local address of its family.
    fn planes_of(&self, address: IpAddr, port: u16) -> Vec<u32> {
        let config = &self.config;
        match address {
            IpAddr::V4(address) => {
                let plane = plane_of(address.octets(), port, config.plane_mask);
                (0..config.local_addresses).map(|n| config.plane_index::<V4>(n, plane).into()).collect()
            }
            IpAddr::V6(address) => {
                let plane = plane_of(address.octets(), port, config.plane_mask6);
                (0..config.local_addresses6).map(|n| config.plane_index::<V6>(n, plane).into()).collect()
            }
        }
    }

    fn ports_of<'a>(&self, planes: impl Iterator<Item = Shared<'a, Plane>>) -> Ports {
        planes.fold(Ports::default(), |Ports { free, total }, plane| Ports {
            free: free + u64::from(plane.tail().get().wrapping_sub(plane.head().get())),
            total: total + u64::from(self.config.port_count),
        })
    }

    /// Every live session of these local ports, by their reverse halves' positions.
    pub fn live(&self, ports: impl Iterator<Item = u32>) -> impl Iterator<Item = Session> {
        let is_live = |half: &AnyHalf<'_>| half.common().state().get() == LIVE;
        ports.filter_map(move |position| {
            let reverse = self.reverse.get(position).filter(is_live)?;
            let forward = self.forward.get(reverse.peer_in(&self.forward)).filter(is_live)?;
            (forward.peer_in(&self.reverse) == position).then(|| Session {
                forward: forward.common().snapshot(),
                reverse: reverse.common().snapshot(),
                client: forward.src(),
                vip: forward.dst(),
                local: reverse.dst(),
                backend: reverse.src(),
            })
        })
    }

    /// Entry `position` (it wraps) of a plane's ring.
    pub(super) fn ring_entry(&self, plane: u32, position: u32) -> Result<Shared<'_, u16>> {
        let index = plane * (self.config.ring_mask + 1) + (position & self.config.ring_mask);
        self.port.get(index).context("ek_port is smaller than ek_config says")
    }

    /// How many planes the IPv4 local addresses have.
    fn planes_of_v4(&self) -> u32 {
        self.config.local_addresses * (self.config.plane_mask + 1)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use xdp_ebpf::family::Family;

    use super::*;
    use crate::dataplane::geometry::Geometry;

    /// The number of the IPv6 local address that each of [`on_plain_memory`] has.
    pub const V6: [u16; 8] = [0x2001, 0xDB8, 0x64, 0, 0, 0, 0, 0];

    /// Tables on plain memory: `lips` local addresses from 100.64.0.0 on and as many from 2001:db8:64:: on, ports
    /// 4000–4002.
    pub fn on_plain_memory(lips: u8, max_sessions: u32) -> Sessions {
        let v4 = (0..lips).map(|n| IpAddr::from([100, 64, 0, n]));
        let v6 = (0..lips).map(|n| {
            let mut address = V6;
            address[7] = n.into();
            IpAddr::from(address)
        });
        let local_addresses: Vec<_> = v4.chain(v6).collect();
        let geometry = Geometry::of(local_addresses.clone(), 4000..=4002, max_sessions, &Default::default());
        let [forward, forward6, reverse, reverse6, plane, port] = geometry.map_sizes().map(|(_, size)| size);
        let sessions = Sessions {
            config: geometry.config(0, 250),
            forward: Halves { v4: Mapping::of_zeros(forward), v6: Mapping::of_zeros(forward6) },
            reverse: Halves { v4: Mapping::of_zeros(reverse), v6: Mapping::of_zeros(reverse6) },
            plane: Mapping::of_zeros(plane),
            port: Mapping::of_zeros(port),
        };
        sessions.fill_ports(&local_addresses).unwrap();
        sessions
    }

    /// A plane's index in `ek_plane`, and that of a port of it in the family's reverse table.
    pub fn place<F: Family>(config: &Config, local: u32, plane: u32, port: u16) -> (u32, u32) {
        (config.plane_index::<F>(local, plane).into(), config.reverse_index::<F>(local, plane, port).unwrap())
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
        assert_eq!(sessions.ports().free, sessions.ports().total);
        for plane in 0..sessions.plane.entries() {
            let taken: Vec<_> = std::iter::from_fn(|| take(&sessions, plane)).collect();
            assert_eq!(taken, [4002, 4000, 4001]);
        }
        assert_eq!(sessions.ports().free, 0);
    }

    #[test]
    fn it_is_crowded_when_a_plane_or_the_table_is_nearly_full() {
        let sessions = on_plain_memory(2, 12);
        assert!(!sessions.is_crowded(12));
        take(&sessions, 0).unwrap();
        assert!(!sessions.is_crowded(12));
        assert!(sessions.is_crowded(1), "one of one");
        while take(&sessions, 0).is_some() {}
        assert!(sessions.is_crowded(12), "a plane without a port");
    }

    /// What the XDP program and userspace must agree on.
    #[test]
    fn every_reverse_half_has_the_port_of_one_plane() {
        let sessions = on_plain_memory(2, 12);
        let config = sessions.config;
        while (0..sessions.plane.entries()).any(|plane| take(&sessions, plane).is_some()) {}
        for (version, local) in [Version::V4, Version::V6].into_iter().flat_map(|v| [(v, 0), (v, 1)]) {
            let planes = if version == Version::V4 { config.plane_mask } else { config.plane_mask6 };
            for plane in 0..=planes {
                for port in 4000..=4002 {
                    let (ring, index) = match version {
                        Version::V4 => place::<V4>(&config, local, plane, port),
                        Version::V6 => place::<V6>(&config, local, plane, port),
                    };
                    sessions.free_port_of(sessions.reverse.position(version, index)).unwrap();
                    assert_eq!(take(&sessions, ring), Some(port), "{version:?} {local} {plane}");
                    let address = sessions.plane.get(ring).unwrap().address().get();
                    assert_eq!(super::super::mapped::unmapped(address).is_ipv4(), version == Version::V4);
                }
            }
        }
        assert_eq!(sessions.ports().free, 0);
    }
}
