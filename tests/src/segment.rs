//! A TCP segment over IPv4, as read off the wire or made up for it.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context, Result};
use etherparse::{IpNumber, Ipv4Header, NetSlice, SlicedPacket, TcpHeader, TransportSlice};

/// Kind of the TCP option that carries the client's address.
const TOA: u8 = 254;
/// Its length for IPv4, kind and length included.
const TOA_LENGTH: usize = 8;

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address and port it comes from.
    pub source: SocketAddrV4,
    /// Address and port it goes to.
    pub destination: SocketAddrV4,
    /// IP time to live.
    pub time_to_live: u8,
    /// The TCP header. Its ports and checksum are as read; for a segment to be sent, `source`, `destination` and the
    /// right checksum count.
    pub tcp: TcpHeader,
    /// The data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// One to be sent: no flags, no options, no data.
    pub fn new(source: SocketAddrV4, destination: SocketAddrV4) -> Self {
        let tcp = TcpHeader::new(source.port(), destination.port(), 0, 65_535);
        Self { source, destination, time_to_live: 64, tcp, payload: Vec::new() }
    }

    /// Reads an Ethernet frame. `None` if it is not TCP over IPv4 or is cut short.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport)
        else {
            return None;
        };
        Some(Self {
            source: SocketAddrV4::new(ip.header().source_addr(), tcp.source_port()),
            destination: SocketAddrV4::new(ip.header().destination_addr(), tcp.destination_port()),
            time_to_live: ip.header().ttl(),
            tcp: tcp.to_header(),
            payload: tcp.payload().to_vec(),
        })
    }

    /// The IPv4 packet.
    ///
    /// # Errors
    /// If it would be longer than an IPv4 packet can be.
    pub fn packet(&self) -> Result<Vec<u8>> {
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        let mut tcp = self.tcp.clone();
        (tcp.source_port, tcp.destination_port) = (self.source.port(), self.destination.port());
        tcp.checksum = tcp.calc_checksum_ipv4_raw(source, destination, &self.payload)?;
        let length =
            u16::try_from(tcp.header_len() + self.payload.len()).context("a payload that is too long")?;
        let ip = Ipv4Header::new(length, self.time_to_live, IpNumber::TCP, source, destination)?;
        let mut packet = Vec::new();
        ip.write(&mut packet)?;
        tcp.write(&mut packet)?;
        packet.extend_from_slice(&self.payload);
        Ok(packet)
    }

    /// Whether the TCP checksum is right.
    pub fn checksum_is_right(&self) -> bool {
        let (source, destination) = (self.source.ip().octets(), self.destination.ip().octets());
        self.tcp.calc_checksum_ipv4_raw(source, destination, &self.payload) == Ok(self.tcp.checksum)
    }

    /// The client addresses that the segment claims to carry: every option of kind 254 and length 8, in order. Bytes
    /// behind an end of options or a bad length do not count, as for any receiver.
    pub fn toa(&self) -> Vec<SocketAddrV4> {
        options(self.tcp.options.as_slice()).filter_map(toa).collect()
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

fn toa(option: &[u8]) -> Option<SocketAddrV4> {
    let option: [u8; TOA_LENGTH] = option.try_into().ok()?;
    let [TOA, _, p0, p1, a, b, c, d] = option else { return None };
    Some(SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([p0, p1])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_options(options: &[u8]) -> Segment {
        let mut segment =
            Segment::new("198.51.100.2:40000".parse().unwrap(), "203.0.113.10:80".parse().unwrap());
        segment.tcp.set_options_raw(options).unwrap();
        segment
    }

    #[test]
    fn toa_is_read_as_a_receiver_reads_it() {
        let toa = [254, 8, 0x9C, 0x40, 198, 51, 100, 2];
        let client: SocketAddrV4 = "198.51.100.2:40000".parse().unwrap();
        let cases: [(&str, Vec<u8>, Vec<SocketAddrV4>); 6] = [
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
        let mut segment = with_options(&[2, 4, 5, 0xB4]);
        (segment.tcp.syn, segment.payload) = (true, b"odd".to_vec());
        let ethernet = [&[2; 12][..], &[8, 0], &segment.packet().unwrap()].concat();
        let read = Segment::parse(&ethernet).unwrap();
        assert!(read.checksum_is_right());
        segment.tcp.checksum = read.tcp.checksum;
        assert_eq!(read, segment);
        assert_eq!(Segment::parse(&ethernet[..ethernet.len() - 1]), None);
    }
}
