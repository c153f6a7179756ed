//! The open connections that came with TOA, of all network namespaces: what the kernel prints when the pinned list is
//! read.

use std::{fs, net::SocketAddr, str::FromStr};

use anyhow::{Context, Result};
use serde::Serialize;

use super::pins::PinDir;

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

impl FromStr for Connection {
    type Err = anyhow::Error;

    /// A line `CLIENT via BALANCER to LOCAL`.
    fn from_str(line: &str) -> Result<Self> {
        let (client, rest) = line.split_once(" via ").context("no ` via `")?;
        let (balancer, local) = rest.split_once(" to ").context("no ` to `")?;
        Ok(Self { client: client.parse()?, balancer: balancer.parse()?, local: local.parse()? })
    }
}

/// Every connection, in no order.
///
/// # Errors
/// Nothing is attached, or the process may not look.
pub fn all(pins: &PinDir) -> Result<Vec<Connection>> {
    let file = pins.connections();
    let lines = fs::read_to_string(&file).map_err(|error| pins.explain(error.kind(), &error))?;
    lines.lines().map(|line| line.parse().with_context(|| format!("{}: {line:?}", file.display()))).collect()
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
