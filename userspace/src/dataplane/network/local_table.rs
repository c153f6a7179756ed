//! The kernel's table `local`: which addresses it takes for this host's own. Next: `routes` and `addresses`, which put VIPs
//! and local addresses there.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    pin::pin,
};

use futures::TryStreamExt;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        AddressFamily,
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType},
    },
};

use super::{errno, reason};
use crate::dataplane::error::{Result, unfit};

/// Its number.
pub const NUMBER: u8 = 255;

/// Its routes to single addresses of this family.
///
/// # Errors
/// Netlink fails.
pub async fn routes(handle: &Handle, family: AddressFamily) -> Result<Vec<(IpAddr, RouteMessage)>> {
    let mut question = match family {
        AddressFamily::Inet6 => RouteMessageBuilder::<Ipv6Addr>::new().table_id(NUMBER.into()).build(),
        _ => RouteMessageBuilder::<Ipv4Addr>::new().table_id(NUMBER.into()).build(),
    };
    (question.header.protocol, question.header.kind) = (RouteProtocol::Unspec, RouteType::Unspec);
    let mut routes = Vec::new();
    let mut listed = pin!(handle.route().get(question).execute());
    loop {
        match listed.try_next().await {
            Ok(Some(message)) => {
                routes.extend(single(&message).map(|address| (address, message)));
            }
            Ok(None) => return Ok(routes),
            // No interface is up yet, and there is no such table.
            Err(error) if errno(&error) == Some(libc::ENOENT) => return Ok(routes),
            Err(error) => unfit!("cannot list the table local: {}", reason(&error)),
        }
    }
}

/// Every address that packets reach this host by. Of loopback there may be more.
///
/// # Errors
/// Netlink fails.
pub async fn addresses(handle: &Handle) -> Result<BTreeSet<IpAddr>> {
    let mut addresses = BTreeSet::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let routes = routes(handle, family).await?;
        let local = routes.iter().filter(|(_, message)| message.header.kind == RouteType::Local);
        addresses.extend(local.map(|(address, _)| address));
    }
    Ok(addresses)
}

fn single(message: &RouteMessage) -> Option<IpAddr> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    })?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let is_single = message.header.destination_prefix_length == whole;
    (message.header.table == NUMBER && is_single).then_some(address)
}
