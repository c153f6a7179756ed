//! Whose options count: the balancers' local addresses. Anyone can send the option.

use std::{fmt, net::IpAddr, str::FromStr};

use aya::maps::{LpmTrie, MapData, lpm_trie::Key};
use ipnet::IpNet;
use thiserror::Error;
use xdp_ebpf::{address::MappedAddress, receiver::MAX_TRUSTED};

use crate::error::Error;

/// Bits in front of an IPv4 address in its IPv6 form.
const MAPPED: u32 = 96;

/// The most networks: half of what the map takes, because new ones are there before the old ones go.
const MOST: usize = MAX_TRUSTED as usize / 2;

/// A network of balancers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trusted(IpNet);

/// Why a text is not a network of balancers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotTrusted {
    /// It is no network at all.
    #[error("{0:?} is not an address or network such as 100.64.0.0/28 or 2001:db8::/64")]
    NotNetwork(String),
    /// Nobody can tell which network was meant.
    #[error("{text} has bits set behind its prefix: the network is {network}")]
    HostBits {
        /// What was written.
        text: String,
        /// What its prefix says.
        network: IpNet,
    },
}

impl FromStr for Trusted {
    type Err = NotTrusted;

    /// A network as `100.64.0.0/28`, or one address. Blanks, as people put them behind commas, do not matter.
    fn from_str(text: &str) -> Result<Self, NotTrusted> {
        let text = text.trim();
        let network = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse::<IpNet>().map_err(|_| NotTrusted::NotNetwork(text.to_owned()))?,
        };
        if network != network.trunc() {
            return Err(NotTrusted::HostBits { text: text.to_owned(), network: network.trunc() });
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Trusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Trusted {
    fn key(self) -> Key<MappedAddress> {
        let before = if self.0.addr().is_ipv4() { MAPPED } else { 0 };
        Key::new(before + u32::from(self.0.prefix_len()), self.0.addr().into())
    }

    fn from_key(key: Key<MappedAddress>) -> Result<Self, Error> {
        let address = IpAddr::from(key.data());
        let before = if address.is_ipv4() { MAPPED } else { 0 };
        let prefix = key.prefix_len().checked_sub(before).and_then(|length| u8::try_from(length).ok());
        let network = prefix.and_then(|length| IpNet::new(address, length).ok());
        network.map(Self).ok_or(Error::NotNetwork(address))
    }
}

/// The networks as the programs see them.
pub struct TrustedMap<T>(LpmTrie<T, MappedAddress, u32>);

impl<T> TrustedMap<T>
where
    T: std::borrow::Borrow<MapData>,
{
    /// Every network.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn networks(&self) -> Result<Vec<Trusted>, Error> {
        self.0.keys().map(|key| Trusted::from_key(key?)).collect()
    }
}

impl<T> TrustedMap<T>
where
    T: std::borrow::BorrowMut<MapData>,
{
    /// Makes exactly these networks trusted. An address that is in both lists is trusted all the time.
    ///
    /// # Errors
    /// There are too many.
    pub fn replace(&mut self, networks: &[Trusted]) -> Result<(), Error> {
        if networks.len() > MOST {
            return Err(Error::TooManyTrusted { wanted: networks.len(), most: MOST });
        }
        for network in networks {
            self.0.insert(&network.key(), 1, 0)?;
        }
        for gone in self.networks()?.iter().filter(|old| !networks.contains(old)) {
            self.0.remove(&gone.key())?;
        }
        Ok(())
    }
}

impl<T> From<LpmTrie<T, MappedAddress, u32>> for TrustedMap<T> {
    fn from(map: LpmTrie<T, MappedAddress, u32>) -> Self {
        Self(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_survive_the_map() {
        for text in
            ["100.64.0.0/28", "192.0.2.1/32", "0.0.0.0/0", "2001:db8::/64", "2001:db8::1/128", "2000::/3"]
        {
            let network: Trusted = text.parse().unwrap();
            assert_eq!(network.to_string(), text);
            assert_eq!(Trusted::from_key(network.key()).unwrap(), network);
        }
        assert_eq!(" 192.0.2.1".parse::<Trusted>().unwrap(), "192.0.2.1/32".parse().unwrap());
    }

    /// The map is too small for both lists, so whichever goes or comes first is to be seen.
    #[test]
    fn what_was_trusted_stays_until_all_that_is_to_be_is_there() {
        const NO_PREALLOC: u32 = 1;
        if !caps::has_cap(None, caps::CapSet::Effective, caps::Capability::CAP_BPF).unwrap() {
            return;
        }
        let networks =
            |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<Trusted>>();
        let (narrow, wide) = (networks(&["100.64.0.0/28"]), networks(&["100.64.0.0/27", "2001:db8::/64"]));
        for (capacity, fits) in [(2, false), (3, true)] {
            let mut map: TrustedMap<MapData> = LpmTrie::create(capacity, NO_PREALLOC).unwrap().into();
            map.replace(&narrow).unwrap();
            assert_eq!(map.replace(&wide).is_ok(), fits);
            let mut there = map.networks().unwrap();
            there.sort();
            assert!(if fits { there == wide } else { there.contains(&narrow[0]) }, "{there:?}");
        }
    }

    #[test]
    fn bad_networks_are_refused_with_what_would_be_right() {
        for (text, needle) in [
            ("100.64.0.1/28", "the network is 100.64.0.0/28"),
            ("100.64.0.0/33", "not an address or network such as"),
            ("balancer.example", "not an address or network such as"),
            ("", "not an address or network such as"),
        ] {
            let error = text.parse::<Trusted>().unwrap_err().to_string();
            assert!(error.contains(needle), "{error}");
        }
    }
}
