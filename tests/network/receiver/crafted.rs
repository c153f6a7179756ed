//! A balancer made by hand: connections whose every segment carries the options that the test says. Works for IPv6
//! too, which `testbed::Segment` does not.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
    time::Instant,
};

use etherparse::{PacketBuilder, TcpHeaderSlice};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, recv, sendto,
            setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};
use testbed::Host;

use crate::balancer::DEADLINE;

/// What the segments of a connection carry. `None`: the segment is lost.
#[derive(Clone, Default)]
pub struct Options {
    pub syn: Vec<u8>,
    pub third: Option<Vec<u8>>,
    pub data: Option<Vec<u8>>,
    /// The SYN carries the data, as in a fast open.
    pub fast_open: bool,
}

/// An option that names this client.
pub fn toa(client: SocketAddr) -> Vec<u8> {
    let port = client.port().to_be_bytes();
    match client.ip() {
        IpAddr::V4(address) => [&[254, 8][..], &port, &address.octets()].concat(),
        IpAddr::V6(address) => [&[254, 20][..], &port, &address.octets()].concat(),
    }
}

const REQUEST: &[u8] = b"hello\n";

/// Opens a connection between the two addresses and sends some data. The host's own stack must be kept from
/// resetting it.
pub fn connect(host: &Host, from: SocketAddr, to: SocketAddr, options: &Options) {
    host.enter(|| Wire::new(from, to).and_then(|wire| wire.connect(options))).unwrap().unwrap();
}

struct Wire {
    from: SocketAddr,
    to: SocketAddr,
    out: OwnedFd,
    back: OwnedFd,
}

#[derive(Clone, Copy)]
struct Flags {
    syn: bool,
    sequence: u32,
    acknowledged: Option<u32>,
}

impl Wire {
    fn new(from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let raw = |protocol| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, Some(protocol));
        let (out, back) = (raw(SockProtocol::Raw)?, raw(SockProtocol::Tcp)?);
        setsockopt(&back, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100))?;
        Ok(Self { from, to, out, back })
    }

    fn connect(&self, options: &Options) -> io::Result<()> {
        let early = if options.fast_open { REQUEST } else { &[] };
        let syn = Flags { syn: true, sequence: 1000, acknowledged: None };
        self.send(syn, &options.syn, early)?;
        let server = self.syn_ack()?.wrapping_add(1);
        let next = 1001 + early.len() as u32;
        let flags = Flags { syn: false, sequence: next, acknowledged: Some(server) };
        if let Some(options) = &options.third {
            self.send(flags, options, &[])?;
        }
        if let Some(options) = &options.data {
            self.send(flags, options, REQUEST)?;
        }
        Ok(())
    }

    fn send(&self, flags: Flags, options: &[u8], payload: &[u8]) -> io::Result<()> {
        let builder = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
            _ => panic!("two families"),
        };
        let mut builder = builder.tcp(self.from.port(), self.to.port(), flags.sequence, 65_535);
        if flags.syn {
            builder = builder.syn();
        }
        if let Some(number) = flags.acknowledged {
            builder = builder.ack(number);
        }
        let builder = builder.options_raw(options).unwrap();
        let mut packet = Vec::new();
        builder.write(&mut packet, payload).unwrap();
        let out = self.out.as_raw_fd();
        match self.to {
            SocketAddr::V4(to) => sendto(out, &packet, &SockaddrIn::from(to), MsgFlags::empty())?,
            SocketAddr::V6(mut to) => {
                // The port of a raw socket's destination is its protocol.
                to.set_port(0);
                sendto(out, &packet, &SockaddrIn6::from(to), MsgFlags::empty())?
            }
        };
        Ok(())
    }

    /// The server's initial sequence number.
    fn syn_ack(&self) -> io::Result<u32> {
        let end = Instant::now() + DEADLINE;
        let mut packet = [0; 2048];
        while Instant::now() < end {
            let length = match recv(self.back.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                Err(Errno::EAGAIN) => continue,
                length => length?,
            };
            // An IPv4 raw socket shows the IP header, an IPv6 one does not.
            let start = if self.from.is_ipv4() { usize::from(packet[0] & 15) * 4 } else { 0 };
            let Ok(tcp) = TcpHeaderSlice::from_slice(&packet[start..length]) else { continue };
            let ports = (tcp.source_port(), tcp.destination_port());
            if ports == (self.to.port(), self.from.port()) && tcp.syn() && tcp.ack() {
                return Ok(tcp.sequence_number());
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no SYN-ACK from {}", self.to)))
    }
}
