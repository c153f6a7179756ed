//! Addresses as the records hold them that are of no one family: 16 bytes, IPv4 as `::ffff:a.b.c.d`. Outside of the
//! maps, that spelling does not exist.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address as the records hold it.
pub fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The address in a record.
pub fn narrow(wide: [u8; 16]) -> IpAddr {
    Ipv6Addr::from(wide).to_canonical()
}

/// The address and port in a record.
pub fn endpoint(address: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(narrow(address), port)
}
