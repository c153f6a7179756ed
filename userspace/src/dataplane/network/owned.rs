//! The VIPs and local addresses as the kernel's own: of IPv4 by `routes`, of IPv6 by `addresses`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use rtnetlink::Handle;

use super::{addresses::Addresses, interfaces::Interface, routes::Routes};
use crate::dataplane::error::Result;

/// What the kernel answers for.
pub struct Owned {
    routes: Routes,
    addresses: Addresses,
}

impl Owned {
    /// Works through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { routes: Routes::new(handle.clone()), addresses: Addresses::new(handle) }
    }

    /// Looks whether the VIPs and local addresses can be ours.
    ///
    /// # Errors
    /// A VIP is an address of this host, or somebody else made it local; or one of both is a broadcast address.
    pub async fn check(&self, vips: &BTreeSet<IpAddr>, local_addresses: &BTreeSet<IpAddr>) -> Result<()> {
        let (v4, v6) = by_family(vips);
        self.routes.check(&v4, &by_family(local_addresses).0).await?;
        self.addresses.check_vips(&v6).await
    }

    /// Has the kernel answer for exactly these addresses on these interfaces.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn sync(&self, addresses: &BTreeSet<IpAddr>, interfaces: &[Interface]) -> Result<()> {
        let (v4, v6) = by_family(addresses);
        self.routes.sync(&v4).await?;
        self.addresses.sync(&v6, interfaces).await
    }

    /// Has it no longer answer for these on our behalf.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove(&self, addresses: &BTreeSet<IpAddr>) -> Result<()> {
        let (v4, v6) = by_family(addresses);
        self.routes.remove_all_of(&v4).await?;
        self.addresses.remove_all_of(&v6).await
    }

    /// Has it answer for none; those of other data paths in this namespace are not spared.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_all(&self) -> Result<()> {
        self.sync(&BTreeSet::new(), &[]).await
    }
}

fn by_family(addresses: &BTreeSet<IpAddr>) -> (BTreeSet<Ipv4Addr>, BTreeSet<Ipv6Addr>) {
    let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
    for address in addresses {
        match address {
            IpAddr::V4(address) => drop(v4.insert(*address)),
            IpAddr::V6(address) => drop(v6.insert(*address)),
        }
    }
    (v4, v6)
}
