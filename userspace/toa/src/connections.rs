//! The open connections that came with TOA, of all network namespaces: what the kernel prints when the pinned list is
//! read.

use std::{fs, net::SocketAddr, str::FromStr};

use serde::Serialize;
use thiserror::Error;

use crate::{error::Error, pins::PinDir};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
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

/// A line that is not `CLIENT via BALANCER to LOCAL`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a connection")]
pub struct NotConnection(String);

impl FromStr for Connection {
    type Err = NotConnection;

    /// A line `CLIENT via BALANCER to LOCAL`.
    fn from_str(line: &str) -> Result<Self, NotConnection> {
        let ends = || {
            let (client, rest) = line.split_once(" via ")?;
            let (balancer, local) = rest.split_once(" to ")?;
            Some(Self { client: end(client)?, balancer: end(balancer)?, local: end(local)? })
        };
        ends().ok_or_else(|| NotConnection(line.to_owned()))
    }
}

fn end(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// Every connection, in no order.
///
/// # Errors
/// Nothing is attached, or the process may not look.
pub fn all(pins: &PinDir) -> Result<Vec<Connection>, Error> {
    let path = pins.connections();
    let lines = fs::read_to_string(&path).map_err(|error| pins.cannot_open(&path, error))?;
    let connections = lines.lines().map(str::parse).collect::<Result<_, _>>();
    connections.map_err(|error| Error::Line { path, error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_as_the_kernel_prints_them() {
        let line = "[2001:0db8:0000:0000:0000:0000:0000:0002]:40000 via 100.64.0.1:1024 to 192.0.2.11:80";
        let connection: Connection = line.parse().unwrap();
        assert_eq!(connection.client, "[2001:db8::2]:40000".parse().unwrap());
        let (balancer, local) = (connection.balancer, connection.local);
        assert!(connection.has_ends(balancer, None) && connection.has_ends(balancer, Some(local)));
        assert!(!connection.has_ends(local, None) && !connection.has_ends(balancer, Some(balancer)));
        assert!("198.51.100.2:40000".parse::<Connection>().is_err());
    }
}
