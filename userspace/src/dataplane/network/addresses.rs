//! IPv6 addresses for VIPs and local addresses. For IPv6 a local route is not enough: the kernel answers a neighbour
//! solicitation only for an address of the very interface that it came in by. So each interface of ours gets them all,
//! deprecated from the start (preferred lifetime 0), so that the host's own connections come from other addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
};

use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo},
    },
};

use super::{PROTOCOL, errno, interfaces::Interface, reason};
use crate::dataplane::error::{Context, Error, Result, unfit};

/// A lifetime without end.
const FOREVER: u32 = u32::MAX;

/// The host's IPv6 addresses.
pub struct Addresses {
    handle: Handle,
}

/// Address and interface.
type Place = (Ipv6Addr, u32);

impl Addresses {
    /// Works through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Looks whether the VIPs can be ours.
    ///
    /// # Errors
    /// One is an address of this host.
    pub async fn check_vips(&self, vips: &BTreeSet<Ipv6Addr>) -> Result<()> {
        for ((address, _), message) in self.there().await? {
            if !is_ours(&message) && vips.contains(&address) {
                unfit!(
                    "VIP {address} is local to this host already (`ip address show to {address}`): remove that address, or give the load balancer another VIP"
                );
            }
        }
        Ok(())
    }

    /// Gives each of these interfaces exactly these addresses: adds what is missing, removes what an earlier
    /// configuration left. An address that the host has anyhow is left as it is.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn sync(&self, addresses: &BTreeSet<Ipv6Addr>, interfaces: &[Interface]) -> Result<()> {
        let mut missing: BTreeMap<Place, &Interface> = BTreeMap::new();
        for &address in addresses {
            missing.extend(interfaces.iter().map(|interface| ((address, interface.index), interface)));
        }
        for (place, message) in self.there().await? {
            if !is_ours(&message) {
                missing.retain(|(address, _), _| *address != place.0);
            } else if missing.remove(&place).is_none() {
                self.remove(place.0, message).await?;
            }
        }
        for ((address, _), interface) in missing {
            self.add(address, interface).await?;
        }
        Ok(())
    }

    async fn add(&self, address: Ipv6Addr, interface: &Interface) -> Result<()> {
        let mut lifetimes = CacheInfo::default();
        (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (0, FOREVER);
        let mut request = self.handle.address().add(interface.index, address.into(), 128);
        request.message_mut().attributes.extend([
            AddressAttribute::CacheInfo(lifetimes),
            AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
            AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
        ]);
        match request.execute().await {
            Err(error) if errno(&error) == Some(libc::EACCES) => unfit!(
                "cannot add {address} to {0}: IPv6 is off there (`sysctl net.ipv6.conf.{0}.disable_ipv6=0` turns it on)",
                interface.name
            ),
            Err(error) if errno(&error) != Some(libc::EEXIST) => {
                Err(Error::Unfit(format!("cannot add {address} to {}: {}", interface.name, reason(&error))))
            }
            _ => Ok(()),
        }
    }

    /// Takes these addresses from all interfaces where we put them.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_all_of(&self, addresses: &BTreeSet<Ipv6Addr>) -> Result<()> {
        for ((address, _), message) in self.there().await? {
            if is_ours(&message) && addresses.contains(&address) {
                self.remove(address, message).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, address: Ipv6Addr, message: AddressMessage) -> Result<()> {
        match self.handle.address().del(message).execute().await {
            Err(error) if errno(&error) != Some(libc::EADDRNOTAVAIL) => {
                Err(Error::Unfit(format!("cannot remove {address}: {}", reason(&error))))
            }
            _ => Ok(()),
        }
    }

    async fn there(&self) -> Result<Vec<(Place, AddressMessage)>> {
        let mut request = self.handle.address().get();
        request.message_mut().header.family = AddressFamily::Inet6;
        let all: Vec<_> = request.execute().try_collect().await.context("cannot list addresses")?;
        Ok(all.into_iter().filter_map(|message| Some((place(&message)?, message))).collect())
    }
}

fn place(message: &AddressMessage) -> Option<Place> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V6(address)) => Some((*address, message.header.index)),
        _ => None,
    })
}

/// Whether this address was put there by Evenkeel.
pub fn is_ours(message: &AddressMessage) -> bool {
    message.attributes.contains(&AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)))
}
