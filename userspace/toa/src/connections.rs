//! The open connections that came with TOA, of all network namespaces: out of the storage of their sockets.

use std::{io::ErrorKind, net::SocketAddr, os::fd::AsFd};

use aya::maps::Map;
use caps::Capability;
use evenkeel_loader::privileges::require;
use serde::Serialize;
use xdp_ebpf::receiver::{self, Endpoint, map};
use zerocopy::FromBytes;

use crate::{error::Error, namespaces, pins::PinDir, sock_diag};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Connection {
    /// Where it comes from, as the balancer says.
    pub client: SocketAddr,
    /// Where its segments come from.
    pub balancer: SocketAddr,
    /// This host's end.
    pub local: SocketAddr,
}

impl Connection {
    /// Whether these are its ends; any local end if that is `None`.
    pub fn has_ends(&self, balancer: SocketAddr, local: Option<SocketAddr>) -> bool {
        self.balancer == balancer && local.is_none_or(|local| local == self.local)
    }
}

impl From<receiver::Connection> for Connection {
    fn from(kept: receiver::Connection) -> Self {
        Self { client: end(&kept.client), balancer: end(&kept.balancer), local: end(&kept.local) }
    }
}

fn end(endpoint: &Endpoint) -> SocketAddr {
    match endpoint.as_v4() {
        Some(address) => (address, endpoint.port).into(),
        None => (endpoint.address, endpoint.port).into(),
    }
}

/// The kernel shows the storage of sockets; the namespaces of other users' processes; how they are entered.
const NEEDED: [Capability; 3] = [Capability::CAP_BPF, Capability::CAP_SYS_PTRACE, Capability::CAP_SYS_ADMIN];

/// What [`list`] has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The connections, in the order of their clients within a network namespace.
    pub connections: Vec<Connection>,
    /// Network namespaces that could not be looked into, whose connections may be missing.
    pub unseen: usize,
}

/// The connections of the receiver that is pinned here.
///
/// # Errors
/// Nothing is attached, the process may not look, or the kernel does not list its sockets.
pub fn list(pins: &PinDir) -> Result<Listing, Error> {
    let Map::SkStorage(clients) = pins.open_map(map::CLIENT)? else {
        return Err(Error::Object(map::CLIENT));
    };
    require(NEEDED)?;
    let mut connections = Vec::new();
    let unseen = namespaces::each(|path, namespace| {
        let mut found = Vec::new();
        let listed = sock_diag::values(namespace, clients.fd().as_fd(), |value| {
            let kept = receiver::Connection::read_from_bytes(value).ok();
            found.extend(kept.map(Connection::from));
        });
        listed.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NoSocketList,
            _ => Error::SocketList { namespace: path.to_owned(), error },
        })?;
        // While others come and go, the kernel may list one twice.
        found.sort_unstable();
        found.dedup();
        connections.append(&mut found);
        Ok(())
    })?;
    Ok(Listing { connections, unseen })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_as_the_programs_keep_them() {
        let v6 = [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        let connection = Connection::from(receiver::Connection {
            client: Endpoint::v6(v6, 40_000),
            balancer: Endpoint::v4([100, 64, 0, 1], 1024),
            local: Endpoint::v4([192, 0, 2, 11], 80),
        });
        assert_eq!(connection.client, "[2001:db8::2]:40000".parse().unwrap());
        let (balancer, local) = ("100.64.0.1:1024".parse().unwrap(), "192.0.2.11:80".parse().unwrap());
        assert_eq!((connection.balancer, connection.local), (balancer, local));
        assert!(connection.has_ends(balancer, None) && connection.has_ends(balancer, Some(local)));
        assert!(!connection.has_ends(local, None) && !connection.has_ends(balancer, Some(balancer)));
    }
}
