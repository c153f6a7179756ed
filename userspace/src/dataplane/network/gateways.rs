//! The gateways of this host's routes. Clients may be behind any of them, and the data path cannot ask for its MAC: what it
//! sends does not come from this host's own stack.

use std::{collections::BTreeSet, net::IpAddr, pin::pin, time::Instant};

use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        route::{RouteAddress, RouteAttribute, RouteMessage, RouteType, RouteVia},
    },
};

use super::interfaces::Interface;
use crate::dataplane::error::{Context, Result};
use evenkeel_loader::refusal::one_line;

/// More gateways are not looked after: the kernel's table of neighbours has room for 1,024 by default.
const MOST: usize = 256;
/// Routes are not read again for so many times as long as the last reading took: there may be a million of them.
const REST: u32 = 50;

/// Interface and address of a neighbour.
pub type Hop = (u32, IpAddr);

/// The gateways that there were at the last look.
pub struct Gateways {
    handle: Handle,
    known: BTreeSet<Hop>,
    rests_until: Instant,
}

impl Gateways {
    /// Asks through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle, known: BTreeSet::new(), rests_until: Instant::now() }
    }

    /// The gateways of all routes out of these interfaces; of a long list of routes, and if it cannot be read, as they were
    /// a while ago.
    pub async fn out_of(&mut self, interfaces: &[Interface]) -> BTreeSet<Hop> {
        let begin = Instant::now();
        if begin >= self.rests_until {
            match self.read(interfaces).await {
                Ok(gateways) => self.known = gateways,
                Err(error) => tracing::warn!("{}", one_line(&error)),
            }
            self.rests_until = Instant::now() + begin.elapsed() * REST;
        }
        self.known.iter().copied().filter(|hop| is_out_of(interfaces, hop)).collect()
    }

    async fn read(&self, interfaces: &[Interface]) -> Result<BTreeSet<Hop>> {
        let mut gateways = BTreeSet::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let mut of_all_tables = RouteMessage::default();
            (of_all_tables.header.address_family, of_all_tables.header.kind) = (family, RouteType::Unicast);
            let mut routes = pin!(self.handle.route().get(of_all_tables).execute());
            while let Some(route) = routes.try_next().await.context("cannot list routes")? {
                gateways.extend(hops(&route).filter(|hop| is_out_of(interfaces, hop)));
            }
        }
        if let Some(first_too_many) = gateways.iter().nth(MOST).copied() {
            tracing::debug!("{} gateways: only {MOST} of them are kept resolved", gateways.len());
            gateways.split_off(&first_too_many);
        }
        Ok(gateways)
    }
}

fn is_out_of(interfaces: &[Interface], (index, _): &Hop) -> bool {
    interfaces.iter().any(|interface| interface.index == *index)
}

/// The gateways of one route, which may have several.
fn hops(route: &RouteMessage) -> impl Iterator<Item = Hop> {
    let of_many = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let of_many = of_many.into_iter().flatten().map(|hop| (Some(hop.interface_index), &hop.attributes));
    let single = (interface(&route.attributes), &route.attributes);
    of_many.chain([single]).filter_map(|(index, attributes)| Some((index?, gateway(attributes)?)))
}

/// The gateway that a route's attributes name; none if the destination is on the link.
pub fn gateway(attributes: &[RouteAttribute]) -> Option<IpAddr> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some((*address).into()),
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => Some((*address).into()),
        _ => None,
    })
}

/// The index of the interface that a route's attributes name.
pub fn interface(attributes: &[RouteAttribute]) -> Option<u32> {
    attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use rtnetlink::{RouteMessageBuilder, RouteNextHopBuilder};

    use super::*;

    #[test]
    fn a_route_has_no_gateway_or_one_or_many() {
        let via = |last| Ipv4Addr::new(192, 0, 2, last);
        let v6 = Ipv6Addr::new(0xFE80, 0, 0, 0, 0, 0, 0, 1);
        let out = |index| RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index);
        let found = |route: RouteMessage| hops(&route).collect::<Vec<_>>();
        assert_eq!(found(out(2).build()), []);
        assert_eq!(found(out(2).gateway(via(1)).build()), [(2, via(1).into())]);
        assert_eq!(found(out(2).via(v6).build()), [(2, v6.into())]);
        let hop = |index, last: u8| {
            let hop = RouteNextHopBuilder::new_ipv4().interface(index);
            hop.via(via(last).into()).unwrap().build()
        };
        let both = RouteMessageBuilder::<Ipv4Addr>::new().multipath(vec![hop(2, 1), hop(3, 4)]);
        assert_eq!(found(both.build()), [(2, via(1).into()), (3, via(4).into())]);
    }
}
