//! Addresses as the records hold them that are of no one family. Outside of the maps, that spelling does not exist.

use std::net::{IpAddr, SocketAddr};

use xdp_ebpf::address::WideAddress;

/// An address as the records hold it.
pub fn wide(address: IpAddr) -> WideAddress {
    address.into()
}

/// The address in a record.
pub fn narrow(wide: WideAddress) -> IpAddr {
    wide.into()
}

/// The address and port in a record.
pub fn endpoint(address: WideAddress, port: u16) -> SocketAddr {
    SocketAddr::new(narrow(address), port)
}
