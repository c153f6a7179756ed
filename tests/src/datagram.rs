//! A UDP datagram over IPv4, as read off the wire or made up for it.

use std::net::SocketAddrV4;

use anyhow::Result;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice, UdpHeader};

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Address and port it comes from.
    pub source: SocketAddrV4,
    /// Address and port it goes to.
    pub destination: SocketAddrV4,
    /// As read: zero if the sender made none. For one to be sent, `Some(0)` leaves it out and `None` makes it.
    pub checksum: Option<u16>,
    /// The data.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// One to be sent.
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4, payload: &[u8]) -> Self {
        Self { source, destination, checksum: None, payload: payload.to_vec() }
    }

    /// Reads an Ethernet frame. `None` if it is not UDP over IPv4 or is cut short.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
        else {
            return None;
        };
        Some(Self {
            source: SocketAddrV4::new(ip.header().source_addr(), udp.source_port()),
            destination: SocketAddrV4::new(ip.header().destination_addr(), udp.destination_port()),
            checksum: Some(udp.checksum()),
            payload: udp.payload().to_vec(),
        })
    }

    /// The IPv4 packet.
    ///
    /// # Errors
    /// If it would be longer than an IPv4 packet can be.
    pub fn packet(&self) -> Result<Vec<u8>> {
        let builder = PacketBuilder::ipv4(self.source.ip().octets(), self.destination.ip().octets(), 64)
            .udp(self.source.port(), self.destination.port());
        let mut packet = Vec::new();
        builder.write(&mut packet, &self.payload)?;
        if let (Some(checksum), Some(field)) = (self.checksum, packet.get_mut(26..28)) {
            field.copy_from_slice(&checksum.to_be_bytes());
        }
        Ok(packet)
    }

    /// Whether the checksum, if there is one, is right.
    ///
    /// # Errors
    /// If the datagram is too long for UDP.
    pub fn checksum_is_right(&self) -> Result<bool> {
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        let header = UdpHeader::without_ipv4_checksum(
            self.source.port(),
            self.destination.port(),
            self.payload.len(),
        )?;
        let right = header.calc_checksum_ipv4_raw(source, destination, &self.payload)?;
        Ok(self.checksum.is_none_or(|checksum| checksum == 0 || checksum == right))
    }
}
