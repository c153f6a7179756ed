//! An ICMP echo, over a raw socket: ping sockets are closed to most groups by default.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
};

use etherparse::{
    IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Icmpv6Slice, Icmpv6Type, Ipv4HeaderSlice,
};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket,
    sockopt::{Ipv4RecvErr, Ipv6RecvErr},
};
use tokio::net::UdpSocket;

/// Room for an IP header and the echo; the rest of what comes in is cut off.
const ROOM: usize = 128;

/// Sends an echo request and returns when its reply is there; never, if none comes.
///
/// # Errors
/// The kernel's: no socket, no way there.
pub(super) async fn echo(address: IpAddr) -> io::Result<()> {
    let socket = open(address)?;
    // Every raw socket that is connected there gets all of its replies: ours has this in it.
    let token = RandomState::new().hash_one(address).to_be_bytes();
    let header = IcmpEchoHeader { id: u16::from_be_bytes([token[0], token[1]]), seq: 1 };
    socket.send(&request(address, header, token)).await?;
    let mut buffer = [0; ROOM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if buffer.get(..length).is_some_and(|packet| is_reply(address, packet, header, token)) {
            return Ok(());
        }
    }
}

/// Makes the socket report every ICMP error about what it sent.
pub(super) fn report_errors(socket: &impl std::os::fd::AsFd, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(_) => setsockopt(socket, Ipv4RecvErr, &true)?,
        IpAddr::V6(_) => setsockopt(socket, Ipv6RecvErr, &true)?,
    }
    Ok(())
}

/// A raw socket, connected, behind the type whose `send` and `recv` are the same system calls.
fn open(address: IpAddr) -> io::Result<UdpSocket> {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = std::net::UdpSocket::from(socket(family, SockType::Raw, flags, protocol)?);
    socket.connect(SocketAddr::new(address, 0))?;
    report_errors(&socket, address)?;
    UdpSocket::from_std(socket)
}

fn request(address: IpAddr, header: IcmpEchoHeader, token: [u8; 8]) -> Vec<u8> {
    let header = match address {
        IpAddr::V4(_) => {
            Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(header), &token).to_bytes().to_vec()
        }
        // The kernel fills the checksum in, because it knows the source.
        IpAddr::V6(_) => etherparse::Icmpv6Header::new(Icmpv6Type::EchoRequest(header)).to_bytes().to_vec(),
    };
    [header, token.to_vec()].concat()
}

/// Whether `packet` is the reply. Of IPv4 it begins with the IP header.
fn is_reply(address: IpAddr, packet: &[u8], header: IcmpEchoHeader, token: [u8; 8]) -> bool {
    match address {
        IpAddr::V4(_) => Ipv4HeaderSlice::from_slice(packet)
            .ok()
            .and_then(|ip| packet.get(ip.slice().len()..))
            .and_then(|icmp| Icmpv4Slice::from_slice(icmp).ok())
            .is_some_and(|icmp| icmp.icmp_type() == Icmpv4Type::EchoReply(header) && icmp.payload() == token),
        IpAddr::V6(_) => Icmpv6Slice::from_slice(packet)
            .is_ok_and(|icmp| icmp.icmp_type() == Icmpv6Type::EchoReply(header) && icmp.payload() == token),
    }
}
