//! The halves of one direction, those of IPv4 and those of IPv6, as one table: first all of IPv4's, then all of
//! IPv6's. A place in there is a position; a record knows its own family and that of its peer. Next: `sessions`, which
//! puts both directions together.

use std::net::{IpAddr, SocketAddr};

use xdp_ebpf::{
    abi::{Common, FLAG_MIXED, Half},
    family::{V4, V6},
    shared::Shared,
};

use super::memory::Mapping;

/// Of which family a half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Version {
    fn other(self) -> Self {
        match self {
            Version::V4 => Version::V6,
            Version::V6 => Version::V4,
        }
    }
}

/// One direction's tables.
pub struct Halves {
    /// IPv4's.
    pub v4: Mapping<Half<V4>>,
    /// IPv6's.
    pub v6: Mapping<Half<V6>>,
}

impl Halves {
    /// How many records there are in both tables.
    pub fn entries(&self) -> u32 {
        self.v4.entries() + self.v6.entries()
    }

    /// The position of the record at `index` in the table of this family.
    pub fn position(&self, version: Version, index: u32) -> u32 {
        match version {
            Version::V4 => index,
            Version::V6 => self.v4.entries().saturating_add(index),
        }
    }

    /// Family and index of the record at this position.
    pub fn place(&self, position: u32) -> (Version, u32) {
        match position.checked_sub(self.v4.entries()) {
            None => (Version::V4, position),
            Some(index) => (Version::V6, index),
        }
    }

    /// The record at this position, or `None` past the end.
    pub fn get(&self, position: u32) -> Option<AnyHalf<'_>> {
        match self.place(position) {
            (Version::V4, index) => self.v4.get(index).map(AnyHalf::V4),
            (Version::V6, index) => self.v6.get(index).map(AnyHalf::V6),
        }
    }

    /// Every record with its position.
    pub fn iter(&self) -> impl Iterator<Item = (u32, AnyHalf<'_>)> {
        (0..self.entries()).filter_map(|position| Some((position, self.get(position)?)))
    }
}

/// A half of either family.
#[derive(Clone, Copy)]
pub enum AnyHalf<'a> {
    /// Of IPv4.
    V4(Shared<'a, Half<V4>>),
    /// Of IPv6.
    V6(Shared<'a, Half<V6>>),
}

impl<'a> AnyHalf<'a> {
    /// All of it but the addresses.
    pub fn common(self) -> Shared<'a, Common> {
        match self {
            AnyHalf::V4(half) => *half,
            AnyHalf::V6(half) => *half,
        }
    }

    /// Whom this direction's packets come from.
    pub fn src(self) -> SocketAddr {
        let address = match self {
            AnyHalf::V4(half) => IpAddr::from(half.src().get()),
            AnyHalf::V6(half) => IpAddr::from(half.src().get()),
        };
        SocketAddr::new(address, self.common().sport().get())
    }

    /// Whom they come to.
    pub fn dst(self) -> SocketAddr {
        let address = match self {
            AnyHalf::V4(half) => IpAddr::from(half.dst().get()),
            AnyHalf::V6(half) => IpAddr::from(half.dst().get()),
        };
        SocketAddr::new(address, self.common().dport().get())
    }

    /// The position of the other half in `there`, the tables of the other direction.
    pub fn peer_in(self, there: &Halves) -> u32 {
        let own = match self {
            AnyHalf::V4(_) => Version::V4,
            AnyHalf::V6(_) => Version::V6,
        };
        let is_mixed = self.common().flags().get() & FLAG_MIXED != 0;
        there.position(if is_mixed { own.other() } else { own }, self.common().peer().get())
    }
    /// Writes all that `get` and `common` read.
    #[cfg(test)]
    pub fn write(self, common: Common, src: IpAddr, dst: IpAddr) {
        match (self, src, dst) {
            (AnyHalf::V4(half), IpAddr::V4(src), IpAddr::V4(dst)) => {
                half.write(Half { common, src: src.octets(), dst: dst.octets(), ..Half::default() });
            }
            (AnyHalf::V6(half), IpAddr::V6(src), IpAddr::V6(dst)) => {
                half.write(Half { common, src: src.octets(), dst: dst.octets(), ..Half::default() });
            }
            _ => panic!("an address of another family"),
        }
    }
}
