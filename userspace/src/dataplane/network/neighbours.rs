//! Keeps the next hops towards the backends, and the gateways to clients, resolved: a managed neighbour entry
//! (`NTF_EXT_MANAGED`) is one that the kernel itself keeps fresh; an older kernel has each of them resolved whenever they
//! are looked through. The data path cannot ask for a MAC; it finds one or drops.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use rtnetlink::{
    Handle, RouteMessageBuilder,
    packet_route::{
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
            NeighbourState,
        },
        route::{RouteHeader, RouteMessage, RouteProtocol},
    },
};

use super::{
    LOOPBACK, PROTOCOL,
    gateways::{self, Hop},
    reason,
};
use crate::dataplane::{
    error::{Context, Result},
    features::MANAGED_NEIGHBOURS,
};

/// How often to look whether a neighbour is resolved.
const POLL: Duration = Duration::from_millis(20);

/// The neighbours that we keep resolved.
pub struct Neighbours {
    handle: Handle,
    /// Whether it was said already that the kernel keeps none resolved.
    has_told: AtomicBool,
}

impl Neighbours {
    /// Works through `handle`.
    pub fn new(handle: Handle) -> Self {
        Self { handle, has_told: AtomicBool::new(false) }
    }

    /// Has the kernel keep the next hops towards these backends and these gateways resolved, and those of earlier ones no
    /// longer. A backend without a route has none; the data path counts what it drops for that. A next hop whose MAC
    /// somebody has set stays theirs.
    ///
    /// # Errors
    /// Netlink fails.
    pub async fn sync(&self, backends: &BTreeSet<IpAddr>, gateways: BTreeSet<Hop>) -> Result<()> {
        let mut wanted = gateways;
        for &backend in backends {
            wanted.extend(self.next_hop(backend).await);
        }
        for (hop, message) in entries(&self.handle).await? {
            if is_set(&message) || (is_managed(&message) && wanted.contains(&hop)) {
                wanted.remove(&hop);
            } else if is_ours(&message)
                && !wanted.contains(&hop)
                && let Err(error) = self.handle.neighbours().del(message).execute().await
            {
                tracing::debug!("cannot let go of neighbour {}: {}", hop.1, reason(&error));
            }
        }
        for hop in wanted {
            self.manage(hop).await;
        }
        Ok(())
    }

    /// Waits until the kernel knows the MACs of all of ours, or `patience` is over: a backend may be down.
    ///
    /// # Errors
    /// Netlink fails.
    pub async fn wait_until_resolved(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let ours = self.ours().await?;
            if are_unmanaged(&ours) && !self.has_told.swap(true, Relaxed) {
                MANAGED_NEIGHBOURS.tell_missing();
            }
            let unresolved: Vec<_> = ours
                .into_iter()
                .filter(|(_, message)| !has_mac(message))
                .map(|((_, address), _)| address.to_string())
                .collect();
            if unresolved.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                tracing::warn!(
                    "no answer to ARP or NDP from {}: sessions that go there are dropped (drop_no_neighbour) until there is",
                    unresolved.join(", ")
                );
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Lets go of every neighbour of ours.
    ///
    /// # Errors
    /// Netlink fails.
    pub async fn remove_all(&self) -> Result<()> {
        self.sync(&BTreeSet::new(), BTreeSet::new()).await
    }

    async fn next_hop(&self, to: IpAddr) -> Option<Hop> {
        let mut question = match to {
            IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
            IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build(),
        };
        // Which route it is, the kernel says.
        let RouteHeader { table, protocol, kind, .. } = &mut question.header;
        (*table, *protocol, *kind) = Default::default();
        let mut answers = std::pin::pin!(self.handle.route().get(question).execute());
        hop(&answers.try_next().await.ok()??, to)
    }

    async fn manage(&self, (interface, address): Hop) {
        let mut request = self
            .handle
            .neighbours()
            .add(interface, address)
            .state(NeighbourState::None)
            // Resolves it once, which is all that a kernel without managed ones does.
            .flags(NeighbourFlags::Use)
            .replace();
        request.message_mut().attributes.extend([
            NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed),
            NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
        ]);
        if let Err(error) = request.execute().await {
            tracing::warn!("the kernel will not keep neighbour {address} resolved: {}", reason(&error));
        }
    }

    async fn ours(&self) -> Result<Vec<(Hop, NeighbourMessage)>> {
        let mut entries = entries(&self.handle).await?;
        entries.retain(|(_, message)| is_ours(message) && !is_set(message));
        Ok(entries)
    }
}

async fn entries(handle: &Handle) -> Result<Vec<(Hop, NeighbourMessage)>> {
    let all = all(handle).await?;
    Ok(all.into_iter().filter_map(|message| Some((neighbour(&message)?, message))).collect())
}

/// Whether this neighbour is one that we have the kernel keep resolved.
pub fn is_ours(message: &NeighbourMessage) -> bool {
    message.attributes.contains(&NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL)))
}

/// Whether the kernel keeps it resolved.
fn is_managed(message: &NeighbourMessage) -> bool {
    let managed = |attribute: &NeighbourAttribute| matches!(attribute, NeighbourAttribute::ExtFlags(flags) if flags.contains(NeighbourExtFlags::Managed));
    is_ours(message) && message.attributes.iter().any(managed)
}

/// Whether the kernel has taken these of ours as others.
fn are_unmanaged(ours: &[(Hop, NeighbourMessage)]) -> bool {
    !ours.is_empty() && !ours.iter().any(|(_, message)| is_managed(message))
}

/// Whether somebody else says what the MAC is: an administrator, a routing daemon, or the kernel for a device without ARP.
/// Nothing is asked for it then. An entry that was ours may have become theirs, and keeps our mark.
fn is_set(message: &NeighbourMessage) -> bool {
    match message.header.state {
        NeighbourState::Permanent => true,
        // So are ours on such a device.
        NeighbourState::Noarp => !is_ours(message),
        _ => message.header.flags.contains(NeighbourFlags::ExtLearned),
    }
}

/// The neighbours that the kernel knows, of both families.
///
/// # Errors
/// Netlink fails.
pub async fn all(handle: &Handle) -> Result<Vec<NeighbourMessage>> {
    handle.neighbours().get().execute().try_collect().await.context("cannot list neighbours")
}

/// Interface and address of a neighbour message.
pub fn neighbour(message: &NeighbourMessage) -> Option<Hop> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(IpAddr::from(*address)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    })?;
    Some((message.header.ifindex, address))
}

fn has_mac(message: &NeighbourMessage) -> bool {
    message.attributes.iter().any(|attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(_)))
}

fn hop(route: &RouteMessage, to: IpAddr) -> Option<Hop> {
    let interface = gateways::interface(&route.attributes).filter(|&index| index != LOOPBACK)?;
    Some((interface, gateways::gateway(&route.attributes).unwrap_or(to)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_managed_ones_forgets_the_mark() {
        let kept = |attributes: &[NeighbourAttribute]| {
            let mut message = NeighbourMessage::default();
            message.attributes = attributes.to_vec();
            ((2, IpAddr::from([192, 0, 2, 1])), message)
        };
        let mark = NeighbourAttribute::Protocol(RouteProtocol::Other(PROTOCOL));
        let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
        let [new, old] = [kept(&[mark.clone(), managed.clone()]), kept(std::slice::from_ref(&mark))];
        assert!(are_unmanaged(&[old.clone(), old.clone()]));
        assert!(!are_unmanaged(&[old, new]));
        assert!(!are_unmanaged(&[]));
    }
}
