//! Resets for the two ends of a session that timed out, through raw sockets: XDP sees only what comes in, so they
//! need no way around it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
};

use etherparse::PacketBuilder;
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, sendto, socket,
    },
};

use super::halves::AnyHalf;

/// Time to live, or hop limit.
const HOPS: u8 = 64;

/// One TCP reset; both addresses are of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// Whom it comes from, as the receiver knows it.
    pub from: SocketAddr,
    /// Who gets it.
    pub to: SocketAddr,
    /// The sequence number that the receiver expects next; with another it would not believe the reset (RFC 5961).
    pub sequence: u32,
}

/// The resets for the client and for the backend.
pub fn for_both_ends(forward: AnyHalf<'_>, reverse: AnyHalf<'_>) -> [Reset; 2] {
    [forward, reverse].map(|half| Reset {
        from: half.dst(),
        to: half.src(),
        sequence: half.common().ack().get(),
    })
}

/// The raw sockets that send them.
pub struct ResetSocket {
    v4: OwnedFd,
    /// None where the kernel has no IPv6.
    v6: Option<OwnedFd>,
}

impl ResetSocket {
    /// Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// What `socket` says.
    pub fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        // IPPROTO_RAW: the header is ours, VIP or local address as source included.
        let open = |family| socket(family, SockType::Raw, flags, SockProtocol::Raw);
        let v6 = match open(AddressFamily::Inet6) {
            Err(Errno::EAFNOSUPPORT) => None,
            socket => Some(socket?),
        };
        Ok(Self { v4: open(AddressFamily::Inet)?, v6 })
    }

    /// # Errors
    /// What `sendto` says, as when there is no route.
    pub fn send(&self, reset: &Reset) -> io::Result<()> {
        let to = SockaddrStorage::from(SocketAddr::new(reset.to.ip(), 0));
        let socket = if reset.to.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        let socket = socket.ok_or(Errno::EAFNOSUPPORT)?;
        sendto(socket.as_raw_fd(), &packet(reset)?, &to, MsgFlags::empty())?;
        Ok(())
    }
}

fn packet(reset: &Reset) -> io::Result<Vec<u8>> {
    let ip = match (reset.from.ip(), reset.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let builder = ip.tcp(reset.from.port(), reset.to.port(), reset.sequence, 0).rst();
    let mut bytes = Vec::with_capacity(builder.size(0));
    builder.write(&mut bytes, &[]).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_is_all_that_is_sent() {
        for (from, to) in
            [("203.0.113.10:80", "198.51.100.1:40000"), ("[2001:db8:a::10]:80", "[2001:db8:1::2]:40000")]
        {
            let reset = Reset { from: from.parse().unwrap(), to: to.parse().unwrap(), sequence: 11 };
            let bytes = packet(&reset).unwrap();
            let sliced = etherparse::SlicedPacket::from_ip(&bytes).unwrap();
            let Some(etherparse::TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("not TCP") };
            assert!(tcp.rst() && !tcp.ack() && !tcp.syn());
            assert_eq!((tcp.source_port(), tcp.destination_port(), tcp.sequence_number()), (80, 40000, 11));
            let ends: [IpAddr; 2] = match sliced.net.unwrap() {
                etherparse::NetSlice::Ipv4(ip) => {
                    [ip.header().source_addr().into(), ip.header().destination_addr().into()]
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    [ip.header().source_addr().into(), ip.header().destination_addr().into()]
                }
                other => panic!("{other:?}"),
            };
            assert_eq!(ends, [reset.from.ip(), reset.to.ip()]);
        }
    }
}
