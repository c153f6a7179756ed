//! What every packet needs to know.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{capacity::MAX_VIRTUAL_MACS, index::PlaneIndex};
use crate::{family::Family, shared::shared_fields};

/// [`Config::without_session`]: nobody hears anything.
pub const WITHOUT_SESSION_SILENT: u32 = 0;
/// The sender gets a reset.
pub const WITHOUT_SESSION_RESET: u32 = 1;
/// Another host may own the tuple and would have to be asked; as long as nobody asks, nobody hears anything.
pub const WITHOUT_SESSION_ASK: u32 = 2;

/// What every packet needs to know; written by userspace, read by the XDP program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(64))]
pub struct Config {
    /// Seed of the flow hash, random per start of the tables.
    pub seed: u64,
    /// Bumped on a change of routes or neighbours and on every reload: halves with another number look for their next
    /// hop again, and whether their client may stay.
    pub generation: u32,
    /// Buckets in `ek_forward`, less one.
    pub forward_mask: u32,
    /// Buckets in `ek_forward6`, less one.
    pub forward6_mask: u32,
    /// How many IPv4 local addresses there are.
    pub local_addresses: u32,
    /// How many IPv6 local addresses there are.
    pub local_addresses6: u32,
    /// Planes per IPv4 local address, less one; planes are a power of two.
    pub plane_mask: u32,
    /// The same per IPv6 local address.
    pub plane_mask6: u32,
    /// First local port.
    pub port_base: u32,
    /// How many local ports there are per plane.
    pub port_count: u32,
    /// Entries of a port ring, less one.
    pub ring_mask: u32,
    /// Jiffies per second.
    pub jiffies_hz: u32,
    /// `WITHOUT_SESSION_…`: what becomes of TCP segments that belong to no session and open none. A reset only while
    /// nobody else can own them: not while sessions are being taken over.
    pub without_session: u32,
    /// The most half-open sessions of one place of `ek_half_open`; 0: there is no limit.
    pub max_half_open: u32,
    /// The least MTU that backends are told to take for a path to a client.
    pub min_path_mtu: u32,
    /// MACs beside those of the interfaces whose frames are for this host: virtual routers'. Zeros in unused places.
    pub virtual_macs: [[u8; 6]; MAX_VIRTUAL_MACS],
    /// The id of `ek_device`, by which the kernel says whose frame it could not send; 0: not known yet.
    pub device_map: u32,
    /// Low 32 bits of `jiffies_64` when the program moved the generation last, because a frame did not fit its way out.
    pub moved: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

shared_fields! { Config { generation: u32, jiffies_hz: u32, without_session: u32, max_half_open: u32, min_path_mtu: u32,
    virtual_macs: [[u8; 6]; MAX_VIRTUAL_MACS], device_map: u32, moved: u32,
} }

impl Config {
    /// Buckets in the family's forward table, less one.
    #[inline(always)]
    pub const fn forward_mask_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.forward_mask } else { self.forward6_mask }
    }

    /// How many local addresses of this family there are.
    #[inline(always)]
    pub const fn local_addresses_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.local_addresses } else { self.local_addresses6 }
    }

    /// Planes per local address of this family, less one.
    #[inline(always)]
    pub const fn plane_mask_of<F: Family>(&self) -> u32 {
        if F::VERSION == 4 { self.plane_mask } else { self.plane_mask6 }
    }

    /// The index of plane `plane` of the family's local address `local`.
    #[inline(always)]
    pub const fn plane_index<F: Family>(&self, local: u32, plane: u32) -> PlaneIndex {
        let before = if F::VERSION == 4 { 0 } else { self.local_addresses * (self.plane_mask + 1) };
        PlaneIndex::new(before + local * (self.plane_mask_of::<F>() + 1) + plane)
    }

    /// The index in the family's reverse table of `port` in plane `plane` of local address `local`, if it is one of
    /// the local ports.
    #[inline(always)]
    pub fn reverse_index<F: Family>(&self, local: u32, plane: u32, port: u16) -> Option<u32> {
        let offset = u32::from(port).wrapping_sub(self.port_base);
        let planes = self.plane_mask_of::<F>() + 1;
        (offset < self.port_count).then(|| (local * planes + plane) * self.port_count + offset)
    }
}
