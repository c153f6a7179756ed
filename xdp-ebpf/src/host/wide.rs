//! Addresses as the cold records hold them.

use std::net::IpAddr;

use crate::address::Address;

/// The 16 bytes of the cold records.
pub fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.octets().wide(),
        IpAddr::V6(address) => address.octets().wide(),
    }
}
