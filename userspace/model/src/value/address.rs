//! Addresses of hosts, and networks.

use std::{
    fmt,
    net::{AddrParseError, IpAddr},
    str::FromStr,
};

use ipnet::IpNet;

use crate::invalid::Invalid;

/// The address of one host that is known on every link: unicast, neither loopback nor link-local; IPv4 in IPv4's own
/// spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress(IpAddr);

impl HostAddress {
    /// Checks an address; `role` says what it is for: "VIP", "member", "local address".
    ///
    /// # Errors
    /// It is nobody's, or not one host's.
    pub fn new(address: IpAddr, role: &str) -> Result<Self, Invalid> {
        let shown = format!("\"{address}\"");
        refuse_mapped(&shown, address.into())?;
        let kind = match address {
            IpAddr::V4(a) if a.octets()[0] == 0 => "in 0.0.0.0/8, which is no host's",
            IpAddr::V6(a) if a.is_unspecified() => "the unspecified address, which is no host's",
            IpAddr::V4(a) if a.is_broadcast() => "the broadcast address",
            IpAddr::V6(a) if a.is_unicast_link_local() => {
                return Err(Invalid::new(
                    format!("{shown} is a link-local address"),
                    format!("a {role} must be one that is known on every link"),
                ));
            }
            a if a.is_loopback() => "a loopback address",
            a if a.is_multicast() => "a multicast address",
            _ => return Ok(Self(address)),
        };
        Err(Invalid::new(format!("{shown} is {kind}"), format!("a {role} must be a unicast address")))
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is not an address, or what [`Self::new`] says.
    pub fn parse(text: &str, role: &str) -> Result<Self, Invalid> {
        let address = text.parse().map_err(|_: AddrParseError| {
            Invalid::new(
                format!("{text:?} is not an IP address"),
                "use one such as \"192.0.2.11\" or \"2001:db8::11\"",
            )
        })?;
        Self::new(address, role)
    }

    /// The address.
    pub const fn get(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A network, or a single address as the network of that alone: aligned to its length; IPv4 in IPv4's own spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Checks one.
    ///
    /// # Errors
    /// It has bits behind its length, or is IPv4 in the spelling of IPv6.
    pub fn new(network: IpNet) -> Result<Self, Invalid> {
        let shown = if network.prefix_len() == network.max_prefix_len() {
            format!("\"{}\"", network.addr())
        } else {
            format!("\"{network}\"")
        };
        refuse_mapped(&shown, network)?;
        if network.addr() != network.network() {
            return Err(Invalid::new(
                format!("{shown} is not aligned to its length"),
                format!("use {} or {}", network.trunc(), network.addr()),
            ));
        }
        Ok(Self(network))
    }

    /// The network.
    pub const fn get(self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let network = match text.parse::<IpAddr>() {
            Ok(address) => address.into(),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                Invalid::new(
                    format!("{text:?} is not an IP address or prefix"),
                    "use one such as \"100.64.0.1\", \"100.64.0.0/28\" or \"2001:db8::/124\"",
                )
            })?,
        };
        Self::new(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An IPv4 address has one spelling, so that it is one address wherever it stands.
fn refuse_mapped(shown: &str, network: IpNet) -> Result<(), Invalid> {
    let IpNet::V6(network) = network else { return Ok(()) };
    let (Some(address), Some(length)) =
        (network.addr().to_ipv4_mapped(), network.prefix_len().checked_sub(96))
    else {
        return Ok(());
    };
    let plain = if length == 32 { address.to_string() } else { format!("{address}/{length}") };
    Err(Invalid::new(format!("{shown} is IPv4 in the spelling of IPv6"), format!("use \"{plain}\"")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the registries' prefixes, written once more as networks.
        #[test]
        fn only_one_hosts_addresses_are(bits in any::<u32>(), high in any::<u128>(), kind in 0..6u8) {
            let v6 = match kind {
                0 => high,
                1 => high >> 8 | 0xff << 120,
                2 => high >> 10 | 0xfe80 << 112,
                3 => u128::from(bits),
                4 => 0xffff << 32 | u128::from(bits),
                _ => high >> 3 | 1 << 125,
            };
            let within = |networks: &[&str], address: IpAddr| {
                networks.iter().any(|network| network.parse::<IpNet>().unwrap().contains(&address))
            };
            let refused4 = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32"];
            let refused6 = ["::/128", "::1/128", "ff00::/8", "fe80::/10", "::ffff:0:0/96"];
            let (v4, v6) = (IpAddr::V4(bits.into()), IpAddr::V6(v6.into()));
            prop_assert_eq!(HostAddress::new(v4, "VIP").is_err(), within(&refused4, v4));
            prop_assert_eq!(HostAddress::new(v6, "VIP").is_err(), within(&refused6, v6));
        }

        #[test]
        fn a_network_is_aligned_or_none(bits in any::<u32>(), length in 0..=32u8) {
            let network = ipnet::Ipv4Net::new(bits.into(), length).unwrap();
            let aligned = length == 32 || bits << length == 0;
            prop_assert_eq!(Network::new(network.into()).is_ok(), aligned);
            prop_assert_eq!(network.to_string().parse::<Network>().is_ok(), aligned);
        }
    }
}
