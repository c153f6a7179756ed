//! IPv6 addresses for VIPs and local addresses. For IPv6 a local route is not enough: the kernel answers a neighbour
//! solicitation only for an address of the very interface that it came in by. So each interface of ours gets them all,
//! deprecated from the start (preferred lifetime 0), so that the host's own connections come from other addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use rtnetlink::{
    Handle,
    packet_route::{
        AddressFamily,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo},
    },
};

use super::{PROTOCOL, errno, interfaces::Interface, local_table, reason};
use crate::dataplane::error::{Context, Error, Result, unfit};

/// A lifetime without end.
const FOREVER: u32 = u32::MAX;
/// How long the kernel may take until it answers for an address.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to look whether it does.
const POLL: Duration = Duration::from_millis(5);

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
        let is_new = !missing.is_empty();
        for ((address, _), interface) in missing {
            self.add(address, interface).await?;
        }
        if is_new { self.wait_until_ours(addresses).await } else { Ok(()) }
    }

    /// Waits until the kernel takes what comes for these addresses. An address that was added is there at once, and
    /// neighbours are answered; but the kernel finds time later for its local route, and until then answers packets for it
    /// with "no route". One that somebody else has added may be tentative, too.
    async fn wait_until_ours(&self, addresses: &BTreeSet<Ipv6Addr>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let own = local_table::addresses(&self.handle).await?;
            let mut not_yet: BTreeSet<_> =
                addresses.iter().copied().filter(|&address| !own.contains(&address.into())).collect();
            for ((address, _), message) in self.there().await? {
                if is_tentative(&message) && addresses.contains(&address) {
                    not_yet.insert(address);
                }
            }
            let Some(first) = not_yet.first() else { return Ok(()) };
            if Instant::now() >= deadline {
                tracing::warn!(
                    "{} IPv6 addresses of ours do not answer yet, {first} is one of them: `ip -6 route show table local` and `ip address show tentative` tell more",
                    not_yet.len()
                );
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
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
                "cannot add {address} to {0}: IPv6 is off there (`sysctl net/ipv6/conf/{0}/disable_ipv6=0` turns it on)",
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

/// Whether the kernel still looks whether somebody else has this address.
fn is_tentative(message: &AddressMessage) -> bool {
    message.attributes.iter().any(|attribute| match attribute {
        AddressAttribute::Flags(flags) => {
            flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Dadfailed)
        }
        _ => false,
    })
}

/// Whether this address was put there by Evenkeel.
pub fn is_ours(message: &AddressMessage) -> bool {
    message.attributes.contains(&AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)))
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        thread,
    };

    use nix::{
        sched::{CloneFlags, unshare},
        unistd::geteuid,
    };
    use rtnetlink::LinkVeth;

    use super::*;
    use crate::dataplane::network::{connect, interfaces};

    /// Does something in a new network namespace.
    fn in_a_namespace(act: impl AsyncFnOnce(Handle)) {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(connect().unwrap()).await });
    }

    /// Whoever asks right behind `sync` finds every address: a client's first packet may come as early. What the kernel
    /// does later about an address has to wait while others make and remove interfaces.
    #[test]
    fn an_address_is_ours_when_it_was_added() {
        if !geteuid().is_root() {
            return;
        }
        let is_over = AtomicBool::new(false);
        let others = async |handle: Handle| {
            for _ in (0..1000).take_while(|_| !is_over.load(Relaxed)) {
                let pair = LinkVeth::new("busy", "busy1").build();
                handle.link().add(pair).execute().await.unwrap();
                let all = interfaces::all(&handle).await.unwrap();
                let index = all.iter().find(|interface| interface.name == "busy").unwrap().index;
                handle.link().del(index).execute().await.unwrap();
            }
        };
        let missing = async |handle: Handle| {
            let pair = LinkVeth::new("front", "there").up().build();
            handle.link().add(pair).execute().await.unwrap();
            let all = interfaces::all(&handle).await.unwrap();
            let front = interfaces::named(&["front".to_owned()], &all).unwrap();
            let of_ours = Addresses::new(handle.clone());
            let (mut addresses, mut missing) = (BTreeSet::new(), BTreeSet::new());
            for last in 0..32 {
                addresses.insert(Ipv6Addr::new(0x2001, 0xDB8, 0x64, 0, 0, 0, 0, last));
                of_ours.sync(&addresses, &front).await.unwrap();
                let own = local_table::addresses(&handle).await.unwrap();
                missing.extend(addresses.iter().copied().filter(|&address| !own.contains(&address.into())));
            }
            is_over.store(true, Relaxed);
            assert!(missing.is_empty(), "{missing:?}");
        };
        thread::scope(|scope| {
            scope.spawn(|| in_a_namespace(others));
            scope.spawn(|| in_a_namespace(missing)).join().unwrap();
        });
    }
}
