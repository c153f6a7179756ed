//! Local routes for IPv4 VIPs and local addresses: `local <address>/32 dev lo` in table `local`, so that the kernel
//! takes the addresses for its own and answers ARP for them.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        route::{RouteMessage, RouteProtocol, RouteScope, RouteType},
    },
};

use super::{LOOPBACK, PROTOCOL, errno, local_table, reason};
use crate::dataplane::error::{Error, Result, unfit};

/// The host's local routes.
pub struct Routes {
    handle: Handle,
}

/// A route in the table `local` to one address.
struct LocalRoute {
    address: Ipv4Addr,
    /// To the host itself; else the address is a broadcast address, say.
    is_local: bool,
    ours: bool,
    message: RouteMessage,
}

impl Routes {
    /// Works through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Looks whether the VIPs and local addresses can be ours.
    ///
    /// # Errors
    /// A VIP is an address of this host, or somebody else made it local; or one of both is a broadcast address.
    pub async fn check(&self, vips: &BTreeSet<Ipv4Addr>, local_addresses: &BTreeSet<Ipv4Addr>) -> Result<()> {
        for LocalRoute { address, is_local, ours, .. } in self.table().await? {
            let is_vip = vips.contains(&address);
            if !is_local && (is_vip || local_addresses.contains(&address)) {
                let what = if is_vip { "VIP" } else { "host.local_addresses:" };
                unfit!(
                    "{what} {address} is a broadcast address of this host (`ip route show table local {address}`), which nobody can have: take another"
                );
            }
            if is_vip && !ours {
                unfit!(
                    "VIP {address} is local to this host already (`ip route show table local {address}`): remove that address or route, or give the load balancer another VIP"
                );
            }
        }
        Ok(())
    }

    /// Makes exactly these addresses local: adds what is missing, removes what an earlier configuration left. An
    /// address that the host has anyhow needs no route.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn sync(&self, addresses: &BTreeSet<Ipv4Addr>) -> Result<()> {
        let mut missing = addresses.clone();
        for route in self.table().await? {
            if route.is_local && addresses.contains(&route.address) {
                missing.remove(&route.address);
            } else if route.ours {
                self.remove(route).await?;
            }
        }
        for address in missing {
            let added = self.handle.route().add(ours(address)).execute().await;
            added.map_err(|error| {
                Error::Unfit(format!(
                    "cannot make {address} local, `ip route show table local {address}` may say why: {}",
                    reason(&error)
                ))
            })?;
        }
        Ok(())
    }

    /// Removes our routes of these addresses.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_all_of(&self, addresses: &BTreeSet<Ipv4Addr>) -> Result<()> {
        for route in self.table().await? {
            if route.ours && addresses.contains(&route.address) {
                self.remove(route).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, route: LocalRoute) -> Result<()> {
        let removed = self.handle.route().del(route.message).execute().await;
        match removed {
            Err(error) if errno(&error) != Some(libc::ESRCH) => Err(Error::Unfit(format!(
                "cannot remove the local route of {}: {}",
                route.address,
                reason(&error)
            ))),
            _ => Ok(()),
        }
    }

    async fn table(&self) -> Result<Vec<LocalRoute>> {
        let routes = local_table::routes(&self.handle, AddressFamily::Inet).await?;
        Ok(routes.into_iter().filter_map(local_route).collect())
    }
}

fn ours(address: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(local_table::NUMBER.into())
        .protocol(RouteProtocol::Other(PROTOCOL))
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .output_interface(LOOPBACK)
        .destination_prefix(address, 32)
        .build()
}

fn local_route((address, message): (IpAddr, RouteMessage)) -> Option<LocalRoute> {
    let IpAddr::V4(address) = address else { return None };
    let is_local = message.header.kind == RouteType::Local;
    let ours = message.header.protocol == RouteProtocol::Other(PROTOCOL);
    Some(LocalRoute { address, is_local, ours, message })
}
