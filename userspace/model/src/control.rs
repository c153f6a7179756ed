//! What the operator says of the API: where it listens, and which VIPs it may give away.

use std::{fmt, net::IpAddr, net::SocketAddr, path::PathBuf};

use crate::{
    invalid::Invalid,
    value::{Name, Network},
};

/// The settings of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Where it listens.
    pub listen: Listen,
    /// Where VIPs come from; no two have the same name, and none overlaps another.
    pub vip_pools: Vec<VipPool>,
}

/// Where the API listens: only this host can reach it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A port of a loopback address.
    Loopback(SocketAddr),
    /// A socket in the file system, for its owner.
    Unix(PathBuf),
}

impl Listen {
    /// From its text: an address with a port, or the absolute path of a socket.
    ///
    /// # Errors
    /// It is neither, or others than this host could reach it.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('/') && !text.ends_with('/') && !text.contains('\0') {
            return Ok(Self::Unix(text.into()));
        }
        let remedy = "use a port of a loopback address such as \"127.0.0.1:9876\", or a socket's path such as \
                      \"/run/evenkeel/api.sock\"";
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() && address.port() != 0 => Ok(Self::Loopback(address)),
            Ok(address) if address.port() == 0 => Err(Invalid::new(format!("{text:?} has no port"), remedy)),
            Ok(_) => Err(Invalid::new(
                format!(
                    "{text:?} is no loopback address, and every client that reaches the API may do everything"
                ),
                remedy,
            )),
            Err(_) => Err(Invalid::new(format!("{text:?} is no address with a port"), remedy)),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Addresses that load balancers are given as VIPs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipPool {
    /// Its name.
    pub name: Name,
    /// The addresses.
    pub range: Network,
}

impl VipPool {
    /// Whether an address may be given away: of IPv4, neither a network's first address nor its last, which are no
    /// host's there.
    pub fn has(&self, address: IpAddr) -> bool {
        let range = self.range.get();
        let is_edge = range.addr().is_ipv4() && range.prefix_len() < 31;
        range.contains(&address) && !(is_edge && (address == range.network() || address == range.broadcast()))
    }

    /// Every address that may be given away, ascending.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.range.get().hosts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_reaches_where_it_listens() {
        for (text, good) in [
            ("127.0.0.1:9876", true),
            ("[::1]:9876", true),
            ("/run/evenkeel/api.sock", true),
            ("127.0.0.1:0", false),
            ("127.0.0.1", false),
            ("0.0.0.0:9876", false),
            ("192.0.2.1:9876", false),
            ("[::]:9876", false),
            ("api.sock", false),
            ("/run/", false),
            ("", false),
        ] {
            assert_eq!(Listen::new(text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn a_pool_gives_away_what_can_be_a_hosts() {
        for (range, all) in [
            ("203.0.113.8/30", vec!["203.0.113.9", "203.0.113.10"]),
            ("203.0.113.8/31", vec!["203.0.113.8", "203.0.113.9"]),
            ("203.0.113.8", vec!["203.0.113.8"]),
            ("2001:db8::8/127", vec!["2001:db8::8", "2001:db8::9"]),
        ] {
            let pool = VipPool { name: Name::default(), range: range.parse().unwrap() };
            let all: Vec<IpAddr> = all.into_iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(pool.addresses().collect::<Vec<_>>(), all);
            assert!(all.iter().all(|address| pool.has(*address)));
            assert!(!pool.has("203.0.113.11".parse().unwrap()));
        }
    }
}
