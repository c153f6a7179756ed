//! A UDP datagram over IPv4 or IPv6, as read off the wire or made up for it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice, UdpHeader};

use crate::segment::addresses;

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Address and port it comes from.
    pub source: SocketAddr,
    /// Address and port it goes to.
    pub destination: SocketAddr,
    /// As read: zero if the sender made none. For one to be sent, `Some(0)` leaves it out and `None` makes it.
    pub checksum: Option<u16>,
    /// The data.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// One to be sent.
    pub fn new(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Self {
        Self { source, destination, checksum: None, payload: payload.to_vec() }
    }

    /// Reads an Ethernet frame. `None` if it is not UDP or is cut short.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(TransportSlice::Udp(udp)) = packet.transport else { return None };
        let (source, destination, _) = addresses(&packet.net?)?;
        Some(Self {
            source: SocketAddr::new(source, udp.source_port()),
            destination: SocketAddr::new(destination, udp.destination_port()),
            checksum: Some(udp.checksum()),
            payload: udp.payload().to_vec(),
        })
    }

    /// The IP packet.
    ///
    /// # Errors
    /// If it would be longer than an IP packet can be, or its addresses are of two families.
    pub fn packet(&self) -> Result<Vec<u8>> {
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                PacketBuilder::ipv4(source.octets(), destination.octets(), 64)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                PacketBuilder::ipv6(source.octets(), destination.octets(), 64)
            }
            (source, destination) => bail!("{source} and {destination} are of two families"),
        };
        let mut packet = Vec::new();
        ip.udp(self.source.port(), self.destination.port()).write(&mut packet, &self.payload)?;
        if let Some(checksum) = self.checksum {
            let field = packet.len() - self.payload.len() - 2;
            packet
                .get_mut(field..field + 2)
                .context("a UDP header")?
                .copy_from_slice(&checksum.to_be_bytes());
        }
        Ok(packet)
    }

    /// The checksum that it should have.
    ///
    /// # Errors
    /// As [`Self::packet`].
    pub fn sum(&self) -> Result<u16> {
        let (from, to) = (self.source.port(), self.destination.port());
        let header = UdpHeader::without_ipv4_checksum(from, to, self.payload.len())?;
        Ok(match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &self.payload)?
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &self.payload)?
            }
            (source, destination) => bail!("{source} and {destination} are of two families"),
        })
    }

    /// Whether the checksum is right; IPv4 may do without.
    ///
    /// # Errors
    /// As [`Self::packet`].
    pub fn checksum_is_right(&self) -> Result<bool> {
        let right = self.sum()?;
        let may_lack = self.source.is_ipv4();
        Ok(self.checksum.is_none_or(|checksum| checksum == right || (checksum == 0 && may_lack)))
    }
}
