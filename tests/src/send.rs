//! Putting made-up TCP segments on the wire: forged options, foreign addresses.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
};

use anyhow::{Context, Result};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
};

use crate::{host::Host, segment::Segment};

impl Host {
    /// Sends a segment as it is; only the checksums and the ports are filled in. The host's stack knows nothing of
    /// it and answers what comes back with a reset, unless something keeps it from that.
    ///
    /// # Errors
    /// If the host has no route to its destination.
    pub fn send(&self, segment: &Segment) -> Result<()> {
        let packet = segment.packet()?;
        self.send_packet(&packet, segment.destination.ip())
    }

    /// Sends an IP packet as it is.
    ///
    /// # Errors
    /// If the host has no route to its destination.
    pub fn send_packet(&self, packet: &[u8], destination: IpAddr) -> Result<()> {
        self.enter(|| transmit(packet, destination))?
            .with_context(|| format!("cannot send to {destination} from {}", self.name()))
    }
}

fn transmit(packet: &[u8], destination: IpAddr) -> io::Result<()> {
    let family = if destination.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(SockProtocol::Raw))?;
    // A raw socket of IPv6 takes no port.
    let to = SockaddrStorage::from(SocketAddr::new(destination, 0));
    sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty())?;
    Ok(())
}
