//! Addresses as the records hold them that are of no one family. Outside of the maps, that spelling does not exist.

use std::net::{IpAddr, SocketAddr};

use xdp_ebpf::address::MappedAddress;

/// An address as the records hold it.
pub fn mapped(address: IpAddr) -> MappedAddress {
    address.into()
}

/// The address in a record.
pub fn unmapped(mapped: MappedAddress) -> IpAddr {
    mapped.into()
}

/// The address and port in a record.
pub fn endpoint(address: MappedAddress, port: u16) -> SocketAddr {
    SocketAddr::new(unmapped(address), port)
}
