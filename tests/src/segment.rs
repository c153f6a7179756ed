//! A TCP segment over IPv4 or IPv6, as read off the wire or made up for it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, bail};
use etherparse::{
    IpNumber, Ipv4Header, Ipv6FlowLabel, Ipv6Header, NetSlice, SlicedPacket, TcpHeader, TransportSlice,
};

/// Kind of the TCP option that carries the client's address.
const TOA: u8 = 254;
/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address and port it comes from.
    pub source: SocketAddr,
    /// Address and port it goes to.
    pub destination: SocketAddr,
    /// IPv4's time to live, IPv6's hop limit.
    pub time_to_live: u8,
    /// The TCP header. Its ports and checksum are as read; for a segment to be sent, `source`, `destination` and the
    /// right checksum count.
    pub tcp: TcpHeader,
    /// The data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// One to be sent: no flags, no options, no data.
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        let tcp = TcpHeader::new(source.port(), destination.port(), 0, 65_535);
        Self { source, destination, time_to_live: 64, tcp, payload: Vec::new() }
    }

    /// Reads an Ethernet frame. `None` if it is not TCP or is cut short.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
        let (source, destination, time_to_live) = addresses(&packet.net?)?;
        Some(Self {
            source: SocketAddr::new(source, tcp.source_port()),
            destination: SocketAddr::new(destination, tcp.destination_port()),
            time_to_live,
            tcp: tcp.to_header(),
            payload: tcp.payload().to_vec(),
        })
    }

    /// The IP packet.
    ///
    /// # Errors
    /// If it would be longer than an IP packet can be, or its addresses are of two families.
    pub fn packet(&self) -> Result<Vec<u8>> {
        let mut tcp = self.tcp.clone();
        (tcp.source_port, tcp.destination_port) = (self.source.port(), self.destination.port());
        tcp.checksum = self.checksum_of(&tcp)?;
        let length =
            u16::try_from(tcp.header_len() + self.payload.len()).context("a payload that is too long")?;
        let mut packet = Vec::new();
        match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (source.octets(), destination.octets());
                Ipv4Header::new(length, self.time_to_live, IpNumber::TCP, source, destination)?
                    .write(&mut packet)?;
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    traffic_class: 0,
                    flow_label: Ipv6FlowLabel::ZERO,
                    payload_length: length,
                    next_header: IpNumber::TCP,
                    hop_limit: self.time_to_live,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                header.write(&mut packet)?;
            }
            (source, destination) => bail!("{source} and {destination} are of two families"),
        }
        tcp.write(&mut packet)?;
        packet.extend_from_slice(&self.payload);
        Ok(packet)
    }

    /// Whether the TCP checksum is right.
    pub fn checksum_is_right(&self) -> bool {
        self.checksum_of(&self.tcp).is_ok_and(|right| right == self.tcp.checksum)
    }

    fn checksum_of(&self, tcp: &TcpHeader) -> Result<u16> {
        Ok(match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                tcp.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &self.payload)?
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                tcp.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &self.payload)?
            }
            (source, destination) => bail!("{source} and {destination} are of two families"),
        })
    }

    /// The client addresses that the segment claims to carry: every option of kind 254 and length 8 or 20, in order.
    /// Bytes behind an end of options or a bad length do not count, as for any receiver.
    pub fn toa(&self) -> Vec<SocketAddr> {
        options(self.tcp.options.as_slice()).filter_map(toa).collect()
    }
}

/// Source, destination and time to live.
pub fn addresses(net: &NetSlice<'_>) -> Option<(IpAddr, IpAddr, u8)> {
    match net {
        NetSlice::Ipv4(ip) => {
            let ip = ip.header();
            Some((ip.source_addr().into(), ip.destination_addr().into(), ip.ttl()))
        }
        NetSlice::Ipv6(ip) => {
            let ip = ip.header();
            Some((ip.source_addr().into(), ip.destination_addr().into(), ip.hop_limit()))
        }
        NetSlice::Arp(_) => None,
    }
}

/// The options with their kind and length, padding left out.
fn options(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while let Some((1, tail)) = rest.split_first() {
            rest = tail;
        }
        let length = usize::from(*rest.get(1)?);
        if rest.first() == Some(&0) || length < 2 {
            return None;
        }
        let (option, tail) = rest.split_at_checked(length)?;
        rest = tail;
        Some(option)
    })
}

fn toa(option: &[u8]) -> Option<SocketAddr> {
    let &[TOA, _, p0, p1, ref address @ ..] = option else { return None };
    let address = match address.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(address).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    Some(SocketAddr::new(address, u16::from_be_bytes([p0, p1])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Cast;

    fn with_options(options: &[u8]) -> Segment {
        let mut segment =
            Segment::new("198.51.100.2:40000".parse().unwrap(), "203.0.113.10:80".parse().unwrap());
        segment.tcp.set_options_raw(options).unwrap();
        segment
    }

    #[test]
    fn toa_is_read_as_a_receiver_reads_it() {
        let toa = [254, 8, 0x9C, 0x40, 198, 51, 100, 2];
        let client: SocketAddr = "198.51.100.2:40000".parse().unwrap();
        let six = [&[254, 20, 0x9C, 0x40, 0x20, 1, 0xD, 0xB8][..], &[0; 11], &[2]].concat();
        let client6: SocketAddr = "[2001:db8::2]:40000".parse().unwrap();
        let cases: [(&str, Vec<u8>, Vec<SocketAddr>); 7] = [
            ("both", [&six[..], &[1; 4], &toa].concat(), vec![client6, client]),
            ("alone", toa.to_vec(), vec![client]),
            ("behind padding and an MSS", [&[1, 2, 4, 5, 0xB4, 1][..], &toa].concat(), vec![client]),
            ("twice", [toa, toa].concat(), vec![client, client]),
            ("behind the end of options", [&[0, 0, 0, 0][..], &toa].concat(), vec![]),
            ("behind a bad length", [&[2, 1, 1, 1][..], &toa].concat(), vec![]),
            ("of another length", vec![254, 6, 0x9C, 0x40, 198, 51, 1, 1], vec![]),
        ];
        for (what, options, expected) in cases {
            assert_eq!(with_options(&options).toa(), expected, "{what}");
        }
    }

    #[test]
    fn what_is_sent_is_what_is_read() {
        for (cast, ethertype) in [(Cast::IPV4, [8, 0]), (Cast::IPV6, [0x86, 0xDD])] {
            let mut segment = cast.syn();
            segment.payload = b"odd".to_vec();
            let ethernet = [&[2; 12][..], &ethertype, &segment.packet().unwrap()].concat();
            let read = Segment::parse(&ethernet).unwrap();
            assert!(read.checksum_is_right());
            segment.tcp.checksum = read.tcp.checksum;
            assert_eq!(read, segment);
            assert_eq!(Segment::parse(&ethernet[..ethernet.len() - 1]), None);
        }
    }
}
