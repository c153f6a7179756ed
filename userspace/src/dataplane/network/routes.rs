//! Local routes for IPv4 VIPs and local addresses: `local <address>/32 dev lo` in table `local`, so that the kernel
//! takes the addresses for its own and answers ARP for them.

use std::{collections::BTreeSet, net::Ipv4Addr};

use anyhow::{Context, Result, anyhow, bail};
use futures::TryStreamExt;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
};

use super::{PROTOCOL, errno, reason};

/// The index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;
/// The table that says which addresses are the host's own.
const TABLE_LOCAL: u8 = 255;

/// The host's local routes.
pub struct Routes {
    handle: Handle,
}

struct LocalRoute {
    address: Ipv4Addr,
    prefix: u8,
    ours: bool,
    message: RouteMessage,
}

impl Routes {
    /// Works through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle }
    }

    /// Looks whether the VIPs can be ours.
    ///
    /// # Errors
    /// One is an address of this host, or somebody else made it local.
    pub async fn check_vips(&self, vips: &BTreeSet<Ipv4Addr>) -> Result<()> {
        for route in self.local().await? {
            if !route.ours && route.prefix == 32 && vips.contains(&route.address) {
                bail!(
                    "VIP {} is local to this host already (`ip route show table local {}`): remove that address or route, or give the load balancer another VIP",
                    route.address,
                    route.address
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
        for route in self.local().await? {
            if route.prefix == 32 && addresses.contains(&route.address) {
                missing.remove(&route.address);
            } else if route.ours {
                self.remove(route).await?;
            }
        }
        for address in missing {
            let added = self.handle.route().add(ours(address)).execute().await;
            match added {
                Err(error) if errno(&error) != Some(libc::EEXIST) => {
                    return Err(anyhow!("cannot make {address} local: {}", reason(&error)));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes our routes of these addresses.
    ///
    /// # Errors
    /// The kernel refuses.
    pub async fn remove_all_of(&self, addresses: &BTreeSet<Ipv4Addr>) -> Result<()> {
        for route in self.local().await? {
            if route.ours && addresses.contains(&route.address) {
                self.remove(route).await?;
            }
        }
        Ok(())
    }

    async fn remove(&self, route: LocalRoute) -> Result<()> {
        let removed = self.handle.route().del(route.message).execute().await;
        match removed {
            Err(error) if errno(&error) != Some(libc::ESRCH) => {
                Err(anyhow!("cannot remove the local route of {}: {}", route.address, reason(&error)))
            }
            _ => Ok(()),
        }
    }

    async fn local(&self) -> Result<Vec<LocalRoute>> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let routes: Vec<_> =
            self.handle.route().get(all).execute().try_collect().await.context("cannot list routes")?;
        Ok(routes.into_iter().filter_map(local_route).collect())
    }
}

fn ours(address: Ipv4Addr) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(TABLE_LOCAL.into())
        .protocol(RouteProtocol::Other(PROTOCOL))
        .kind(RouteType::Local)
        .scope(RouteScope::Host)
        .output_interface(LOOPBACK)
        .destination_prefix(address, 32)
        .build()
}

fn local_route(message: RouteMessage) -> Option<LocalRoute> {
    if message.header.table != TABLE_LOCAL || message.header.kind != RouteType::Local {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    })?;
    let ours = message.header.protocol == RouteProtocol::Other(PROTOCOL);
    Some(LocalRoute { address, prefix: message.header.destination_prefix_length, ours, message })
}
