//! TOA at the backend: what `evenkeel-toa`'s programs read in a segment's options, and what their maps hold.
//!
//! The BPF programs are in `toa_receiver/`; the process that loads them and reads the maps is `userspace/toa/`.
//! The sender is [`crate::toa`].

use core::hint::black_box;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    address::MappedAddress,
    family::{Family, V4, V6},
    toa::KIND,
    wire::{MAX_OPTIONS, OPTION_END as END, OPTION_NOP as NOP},
};

/// Version of everything in this file; part of the pins' path.
pub const ABI_VERSION: u32 = 1;

/// Names of the maps.
pub mod map {
    /// The client of a socket: [`super::Connection`] in the socket's storage.
    pub const CLIENT: &str = "ek_toa_client";
    /// Addresses of the balancers, longest prefix first; the value says nothing.
    pub const TRUSTED: &str = "ek_toa_trusted";
    /// [`super::Counters`], one per CPU.
    pub const COUNTER: &str = "ek_toa_counter";
}

/// Names of the programs.
pub mod program {
    /// Sockops: reads the option when a connection is accepted.
    pub const READ: &str = "ek_toa_read";
    /// `getpeername4`: answers for IPv4 sockets.
    pub const PEER4: &str = "ek_toa_peer4";
    /// `getpeername6`: answers for IPv6 sockets.
    pub const PEER6: &str = "ek_toa_peer6";
}

/// Balancer networks that can be trusted.
pub const MAX_TRUSTED: u32 = 4096;
/// Bytes of the option with an IPv4 address.
const LEN_V4: usize = V4::TOA_LEN;
/// Bytes of the option with an IPv6 address.
pub const LEN_V6: usize = V6::TOA_LEN;

/// Address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Endpoint {
    /// Its address.
    pub address: MappedAddress,
    /// Host order.
    pub port: u16,
    /// Zero.
    pub reserved: u16,
}

impl Endpoint {
    /// From an IPv4 address in network order and a port in host order.
    #[inline(always)]
    pub const fn v4(address: [u8; 4], port: u16) -> Self {
        Self { address: MappedAddress::v4(address), port, reserved: 0 }
    }

    /// From an IPv6 address in network order and a port in host order.
    #[inline(always)]
    pub const fn v6(address: [u8; 16], port: u16) -> Self {
        Self { address: MappedAddress::v6(address), port, reserved: 0 }
    }

    /// The IPv4 address, if it is one.
    #[inline(always)]
    pub fn as_v4(&self) -> Option<[u8; 4]> {
        match self.address.bytes {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, a, b, c, d] => Some([a, b, c, d]),
            _ => None,
        }
    }
}

/// A connection that came with TOA from a trusted balancer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Connection {
    /// Who the option says it comes from.
    pub client: Endpoint,
    /// Who the segments come from: a local address of the balancer's.
    pub balancer: Endpoint,
    /// This end.
    pub local: Endpoint,
}

/// What one CPU counted; each accepted connection counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Counters {
    /// With TOA, from a trusted balancer.
    pub with_toa: u64,
    /// Without TOA, from a trusted balancer: it had no room for the option, or does not send any.
    pub without_toa: u64,
    /// Without TOA, from elsewhere.
    pub direct: u64,
    /// With TOA, from elsewhere; ignored.
    pub untrusted: u64,
    /// From a trusted balancer, with options that are [`Found::Malformed`]; ignored.
    pub malformed: u64,
    /// With TOA, from a trusted balancer, and the kernel had no memory to keep it.
    pub no_memory: u64,
}

/// What a segment's options say about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is this one.
    Client(Endpoint),
    /// Nothing.
    Nothing,
    /// An option of TOA's kind has no valid length or runs past the header, or an option is shorter than two bytes.
    Malformed,
}

/// The TCP options of a segment.
pub trait Options {
    /// Zero, and nobody may know: if the walk began at a constant, the verifier would follow it from each position that
    /// can be reached from there, with all that it has learned on the way, and not from any position at once.
    fn start(&self) -> usize;
    /// `N` bytes from `offset` on; `None` if there are fewer.
    fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

/// Reads the client from a segment's options. As all receivers do: the first valid option counts, and nothing behind
/// an end of options or a bad length does.
#[inline(always)]
pub fn client(options: &impl Options) -> Found {
    let client = match find(options) {
        Place::V4(at) => value(options, at).map(|(port, address)| Endpoint::v4(address, port)),
        Place::V6(at) => value(options, at).map(|(port, address)| Endpoint::v6(address, port)),
        Place::Malformed => None,
        Place::Nowhere => return Found::Nothing,
    };
    client.map_or(Found::Malformed, Found::Client)
}

/// Where the option is.
enum Place {
    V4(usize),
    V6(usize),
    Nowhere,
    Malformed,
}

/// Walks from option to option; each is at least one byte long.
#[inline(always)]
fn find(options: &impl Options) -> Place {
    let (mut at, mut invalid) = (options.start(), false);
    for _ in 0..MAX_OPTIONS {
        let Some([kind]) = options.at(at) else { break };
        if kind == END {
            break;
        }
        let len = match (kind, options.at(at + 1)) {
            (NOP, _) => 1,
            (_, Some([len])) if len >= 2 => usize::from(len),
            _ => return Place::Malformed,
        };
        match (kind, len) {
            (KIND, LEN_V4) => return Place::V4(at),
            (KIND, LEN_V6) => return Place::V6(at),
            (KIND, _) => invalid = true,
            _ => {}
        }
        if at + len >= MAX_OPTIONS {
            break;
        }
        // Changes nothing: the verifier forgets how far it has come.
        at = black_box(at + len) & 63;
    }
    if invalid { Place::Malformed } else { Place::Nowhere }
}

/// Port and address of the option at `at`.
#[inline(always)]
fn value<const N: usize>(options: &impl Options, at: usize) -> Option<(u16, [u8; N])> {
    Some((u16::from_be_bytes(options.at(at + 2)?), options.at(at + 4)?))
}

#[cfg(feature = "user")]
mod pod {
    //! Lets aya copy the records to and from maps.
    #![allow(unsafe_code, reason = "aya::Pod is an unsafe trait; zerocopy proves what it demands")]
    use super::*;

    const _: () = {
        const fn plain<T: FromBytes + IntoBytes + Immutable + Copy + 'static>() {}
        plain::<Connection>();
        plain::<Counters>();
    };
    // SAFETY: zerocopy proves that every bit pattern is valid and that no byte is padding.
    unsafe impl aya::Pod for Connection {}
    // SAFETY: as above.
    unsafe impl aya::Pod for Counters {}
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use etherparse::TcpOptionElement;
    use proptest::prelude::*;

    use super::*;

    const CLIENT: Endpoint = Endpoint::v4([198, 51, 100, 2], 40_000);
    const TOA: [u8; 8] = [254, 8, 0x9C, 0x40, 198, 51, 100, 2];

    struct Bytes<'a>(&'a [u8]);

    impl Options for Bytes<'_> {
        fn start(&self) -> usize {
            0
        }
        fn at<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
            self.0.get(offset..)?.first_chunk().copied()
        }
    }

    fn read(options: &[u8]) -> Found {
        assert!(options.len().is_multiple_of(4) && options.len() <= MAX_OPTIONS, "impossible: {options:?}");
        client(&Bytes(options))
    }

    fn v6() -> (Vec<u8>, Endpoint) {
        let address = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        ([&[254, 20, 0x9C, 0x40][..], &address].concat(), Endpoint::v6(address, 40_000))
    }

    #[test]
    fn options_as_receivers_read_them() {
        let (toa6, client6) = v6();
        let timestamps = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];
        let other = [254, 8, 0, 80, 203, 0, 113, 66];
        let cases: [(&str, Vec<u8>, Found); 14] = [
            ("alone", TOA.to_vec(), Found::Client(CLIENT)),
            ("IPv6", toa6.clone(), Found::Client(client6)),
            ("before timestamps", [&TOA[..], &timestamps].concat(), Found::Client(CLIENT)),
            ("behind timestamps", [&timestamps[..], &TOA].concat(), Found::Client(CLIENT)),
            ("IPv6, with all 40 bytes in use", [&[1; 20][..], &toa6].concat(), Found::Client(client6)),
            ("IPv4, with all 40 bytes in use", [&[1; 32][..], &TOA].concat(), Found::Client(CLIENT)),
            ("the first of two", [TOA, other].concat(), Found::Client(CLIENT)),
            ("behind one of another length", [&[254, 4, 0, 0][..], &TOA].concat(), Found::Client(CLIENT)),
            ("timestamps only", timestamps.to_vec(), Found::Nothing),
            ("inside another option", [&[99, 12][..], &TOA, &[0, 0]].concat(), Found::Nothing),
            ("behind the end of options", [&[0; 4][..], &TOA].concat(), Found::Nothing),
            ("another length", [254, 6, 0x9C, 0x40, 198, 51, 1, 1].to_vec(), Found::Malformed),
            ("behind a length of 0", [&[2, 0, 1, 1][..], &TOA].concat(), Found::Malformed),
            ("running past the header", [&[1; 36][..], &TOA[..4]].concat(), Found::Malformed),
        ];
        for (what, options, expected) in cases {
            assert_eq!(read(&options), expected, "{what}");
        }
    }

    #[test]
    fn only_mapped_addresses_are_ipv4() {
        assert_eq!(CLIENT.as_v4(), Some([198, 51, 100, 2]));
        assert_eq!(v6().1.as_v4(), None);
        assert_eq!(Endpoint::default().as_v4(), None);
    }

    proptest! {
        #[test]
        fn well_formed_options_never_hide_it(
            before in prop::collection::vec(prop_oneof![
                Just(TcpOptionElement::Noop),
                any::<u16>().prop_map(TcpOptionElement::MaximumSegmentSize),
                any::<u8>().prop_map(TcpOptionElement::WindowScale),
                Just(TcpOptionElement::SelectiveAcknowledgementPermitted),
                any::<(u32, u32)>().prop_map(|(a, b)| TcpOptionElement::Timestamp(a, b)),
            ], 0..4),
            address: [u8; 4],
            port: u16,
        ) {
            let mut header = etherparse::TcpHeader::default();
            prop_assume!(header.set_options(&before).is_ok());
            // etherparse pads with ends of options, behind which nothing counts.
            let mut options = header.options.as_slice().to_vec();
            let used = before.iter().map(wire_len).sum();
            options[used..].fill(NOP);
            prop_assume!(options.len() + LEN_V4 <= MAX_OPTIONS);
            options.extend([KIND, LEN_V4 as u8]);
            options.extend(port.to_be_bytes());
            options.extend(address);
            prop_assert_eq!(read(&options), Found::Client(Endpoint::v4(address, port)));
        }

        #[test]
        fn what_is_found_was_there(words in prop::collection::vec(any::<[u8; 4]>(), 0..=10), at in 0..10usize) {
            let mut options = words.concat();
            if let Some(place) = options.get_mut(at..at + 2) {
                place.copy_from_slice(&[KIND, LEN_V4 as u8]);
            }
            if let Found::Client(client) = read(&options) {
                let port = client.port.to_be_bytes();
                let v4 = client.as_v4().map(|address| [&[254, 8][..], &port, &address].concat());
                let v6 = [&[254, 20][..], &port, &client.address.bytes].concat();
                let there = |option: &[u8]| options.windows(option.len()).any(|bytes| bytes == option);
                prop_assert!(there(&v6) || v4.is_some_and(|v4| there(&v4)));
            }
        }
    }

    fn wire_len(option: &TcpOptionElement) -> usize {
        match option {
            TcpOptionElement::Noop => 1,
            TcpOptionElement::MaximumSegmentSize(_) => 4,
            TcpOptionElement::WindowScale(_) => 3,
            TcpOptionElement::SelectiveAcknowledgementPermitted => 2,
            TcpOptionElement::SelectiveAcknowledgement(_, rest) => 10 + 8 * rest.iter().flatten().count(),
            TcpOptionElement::Timestamp(..) => 10,
        }
    }
}
