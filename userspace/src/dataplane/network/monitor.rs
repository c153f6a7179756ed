//! Listens to netlink for changes that make a known next hop wrong: routes and rules, addresses, links, neighbours that
//! got another MAC, and those of ours that got one at last. Neighbours flip between reachable and stale all the time; that
//! is no change.

use std::collections::{HashMap, HashSet, VecDeque};

use futures::{FutureExt, StreamExt, channel::mpsc::UnboundedReceiver, future::BoxFuture};
use rtnetlink::{
    Handle, MulticastGroup,
    packet_core::{NetlinkMessage, NetlinkPayload},
    packet_route::{
        RouteNetlinkMessage,
        neighbour::{NeighbourAttribute, NeighbourMessage},
        route::RouteProtocol,
    },
    sys::SocketAddr,
};

use super::{
    PROTOCOL, addresses,
    gateways::Hop,
    interfaces::{self, Interface, from_message},
    neighbours::{self, is_ours, neighbour},
};
use crate::dataplane::error::{Context, Result};
use evenkeel_loader::refusal::one_line;

/// More neighbours than this are forgotten, all at once, and that counts as a change of all.
const REMEMBERED: usize = 65_536;

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkChange {
    /// Routes, rules or addresses: next hops, and with them the neighbours to keep, may be others.
    Routes,
    /// A neighbour has another MAC, or one of ours has its first.
    Neighbour,
    /// A link came, went or changed; what it is by now is to be asked.
    Link(Interface),
}

/// A stream of [`NetworkChange`].
pub struct Monitor {
    handle: Handle,
    messages: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    known: Known,
    /// What messages may have missed, while it is read.
    reading: Option<BoxFuture<'static, Result<Everything>>>,
    /// What was read then.
    read: VecDeque<NetworkChange>,
}

/// All that may have changed, as it is.
struct Everything {
    known: Known,
    links: Vec<Interface>,
}

impl Everything {
    async fn read(handle: Handle) -> Result<Self> {
        Ok(Self { known: Known::read(&handle).await?, links: interfaces::all(&handle).await? })
    }
}

impl Monitor {
    /// Starts to listen. The first changes are what there is by then: it may have changed since somebody looked.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn new(handle: &Handle) -> Result<Self> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Neigh,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv4Rule,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Ipv6Rule,
        ];
        let (connection, _, messages) =
            rtnetlink::new_multicast_connection(&groups).context("cannot listen to netlink")?;
        tokio::spawn(connection);
        let reading = Some(Everything::read(handle.clone()).boxed());
        Ok(Self { handle: handle.clone(), messages, known: Known::default(), reading, read: VecDeque::new() })
    }

    /// Waits for the next change. `None` when the connection ended. Nothing is lost if the wait is given up, and nothing
    /// begins anew.
    pub async fn next(&mut self) -> Option<NetworkChange> {
        loop {
            if let Some(reading) = &mut self.reading {
                let everything = reading.await;
                self.reading = None;
                match everything {
                    Ok(Everything { known, links }) => {
                        self.known = known;
                        self.read.extend(links.into_iter().map(NetworkChange::Link));
                    }
                    Err(error) => {
                        tracing::warn!("cannot read what netlink has not told: {}", one_line(&error));
                    }
                }
                self.read.push_back(NetworkChange::Routes);
            }
            if let Some(change) = self.read.pop_front() {
                return Some(change);
            }
            let (message, _) = self.messages.next().await?;
            match message.payload {
                NetlinkPayload::InnerMessage(message) => {
                    if let Some(change) = self.known.change(&message) {
                        return Some(change);
                    }
                }
                // The kernel had no room for messages.
                NetlinkPayload::Overrun(_) => {
                    self.reading = Some(Everything::read(self.handle.clone()).boxed());
                }
                _ => {}
            }
        }
    }
}

#[derive(Default)]
struct Known {
    macs: HashMap<Hop, Vec<u8>>,
    /// Those of ours whose MACs the kernel has.
    resolved: HashSet<Hop>,
}

impl Known {
    async fn read(handle: &Handle) -> Result<Self> {
        let mut known = Self::default();
        for neighbour in neighbours::all(handle).await? {
            known.is_change(&neighbour);
        }
        Ok(known)
    }

    fn change(&mut self, message: &RouteNetlinkMessage) -> Option<NetworkChange> {
        use RouteNetlinkMessage as M;
        match message {
            M::NewRoute(route) | M::DelRoute(route) => {
                (route.header.protocol != RouteProtocol::Other(PROTOCOL)).then_some(NetworkChange::Routes)
            }
            M::NewAddress(address) => (!addresses::is_ours(address)).then_some(NetworkChange::Routes),
            M::DelAddress(_) => Some(NetworkChange::Routes),
            M::NewLink(link) | M::DelLink(link) => Some(NetworkChange::Link(from_message(link))),
            M::NewRule(_) | M::DelRule(_) => Some(NetworkChange::Routes),
            M::NewNeighbour(neighbour) => self.is_change(neighbour).then_some(NetworkChange::Neighbour),
            M::DelNeighbour(message) => {
                neighbour(message).map(|hop| self.resolved.remove(&hop));
                None
            }
            _ => None,
        }
    }

    /// Whether a neighbour that was known with one MAC has another, or one of ours has a MAC again: a session that looked
    /// for its next hop meanwhile kept the one that it had.
    fn is_change(&mut self, message: &NeighbourMessage) -> bool {
        let mac = message.attributes.iter().find_map(|attribute| match attribute {
            NeighbourAttribute::LinkLayerAddress(mac) => Some(mac.clone()),
            _ => None,
        });
        let Some(hop) = neighbour(message) else { return false };
        let Some(mac) = mac else {
            self.resolved.remove(&hop);
            return false;
        };
        let is_resolved_now = is_ours(message) && self.resolved.insert(hop);
        if self.macs.len() >= REMEMBERED {
            self.macs.clear();
            self.macs.insert(hop, mac);
            return true;
        }
        self.macs.insert(hop, mac.clone()).is_some_and(|old| old != mac) || is_resolved_now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::channel::mpsc::unbounded;
    use rtnetlink::{
        packet_core::NetlinkHeader,
        packet_route::{neighbour::NeighbourAddress, route::RouteMessage, rule::RuleMessage},
    };
    use tokio::{task::yield_now, time::timeout};

    use super::*;

    fn message(last: u8, mac: Option<u8>) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = 2;
        message
            .attributes
            .push(NeighbourAttribute::Destination(NeighbourAddress::Inet([192, 0, 2, last].into())));
        message.attributes.extend(mac.map(|m| NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, m])));
        message
    }

    fn seen(known: &mut Known, last: u8, mac: Option<u8>) -> Option<NetworkChange> {
        known.change(&RouteNetlinkMessage::NewNeighbour(message(last, mac)))
    }

    #[test]
    fn a_neighbour_is_news_when_its_mac_changes() {
        let known = &mut Known::default();
        assert_eq!(seen(known, 1, Some(7)), None, "no session can know another MAC of it");
        assert_eq!(seen(known, 1, Some(7)), None);
        assert_eq!(seen(known, 1, None), None, "it failed; its MAC may still be right");
        assert_eq!(seen(known, 2, Some(8)), None);
        assert_eq!(seen(known, 1, Some(8)), Some(NetworkChange::Neighbour));
    }

    #[test]
    fn a_neighbour_of_ours_is_news_when_it_has_a_mac_at_last() {
        let ours = |mac| {
            let mut message = message(1, mac);
            message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)));
            message
        };
        let known = &mut Known::default();
        let mut seen = |message| known.change(&message);
        let new = |mac| RouteNetlinkMessage::NewNeighbour(ours(mac));
        assert_eq!(seen(new(None)), None);
        assert_eq!(seen(new(Some(7))), Some(NetworkChange::Neighbour));
        assert_eq!(seen(new(Some(7))), None, "it has had that");
        for lost in [new(None), RouteNetlinkMessage::DelNeighbour(ours(Some(7)))] {
            assert_eq!(seen(lost), None);
            assert_eq!(
                seen(new(Some(7))),
                Some(NetworkChange::Neighbour),
                "sessions that looked meanwhile look again"
            );
        }
    }

    #[test]
    fn rules_say_which_routes_count() {
        for message in [RouteNetlinkMessage::NewRule, RouteNetlinkMessage::DelRule] {
            assert_eq!(
                Known::default().change(&message(RuleMessage::default())),
                Some(NetworkChange::Routes)
            );
        }
    }

    #[test]
    fn our_own_routes_are_no_news() {
        let mut route = RouteMessage::default();
        assert_eq!(
            Known::default().change(&RouteNetlinkMessage::NewRoute(route.clone())),
            Some(NetworkChange::Routes)
        );
        route.header.protocol = RouteProtocol::Other(PROTOCOL);
        assert_eq!(Known::default().change(&RouteNetlinkMessage::NewRoute(route)), None);
    }

    /// The daemon gives a wait up whenever it has something else to do.
    #[tokio::test]
    async fn the_first_news_are_what_there_is_however_often_the_wait_is_given_up() {
        let mut monitor = Monitor::new(&super::super::connect().unwrap()).unwrap();
        let mut links = Vec::new();
        let everything = async {
            loop {
                match monitor.next().now_or_never() {
                    Some(Some(NetworkChange::Link(link))) => links.push(link.name),
                    Some(_) => break,
                    None => yield_now().await,
                }
            }
        };
        timeout(Duration::from_secs(5), everything).await.unwrap();
        assert!(links.contains(&"lo".to_owned()), "{links:?}");
    }

    #[tokio::test]
    async fn what_netlink_had_no_room_for_is_read() {
        let (sender, messages) = unbounded();
        let handle = super::super::connect().unwrap();
        let (known, read) = (Known::default(), VecDeque::new());
        let mut monitor = Monitor { handle, messages, known, reading: None, read };
        let overrun = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Overrun(Vec::new()));
        sender.unbounded_send((overrun, SocketAddr::new(0, 0))).unwrap();
        drop(sender);
        let mut changes = Vec::new();
        while let Some(next) = monitor.next().await {
            changes.push(next);
        }
        assert_eq!(changes.pop(), Some(NetworkChange::Routes));
        assert!(
            changes.iter().any(
                |change| matches!(change, NetworkChange::Link(link) if link.name == "lo" && link.mtu > 0)
            ),
            "{changes:?}"
        );
    }
}
