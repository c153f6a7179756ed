//! Headers put together from what headers are made of. `cargo xtask fuzz proxy_headers` looks for longer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bolero::{TypeGenerator, generator::produce};
use model::edge::ProxyVersion;

use super::{receive::read, send::header};

/// What headers of version 1 are made of, right and nearly right.
const PIECES: [&[u8]; 20] = [
    b"PROXY",
    b"PROXY TCP4 ",
    b"PROXY TCP6 ",
    b"PROXY UNKNOWN",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    b" ",
    b"TCP4",
    b"192.0.2.1",
    b"192.0.2.01",
    b"256.0.0.1",
    b"2001:db8::1",
    b"::ffff:192.0.2.1",
    b"1",
    b"65535",
    b"65536",
    b"01",
    b"+1",
    b"\r\n",
    b"\n",
    b"\0",
];

/// How version 2 begins.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

#[derive(Clone, Debug, TypeGenerator)]
enum Input {
    /// Of [`PIECES`], and a byte behind it.
    Pieces(Vec<(u8, Option<u8>)>),
    /// Version and command, family and protocol, length if not that of the rest, the rest.
    Two(u8, u8, Option<u16>, Vec<u8>),
    /// One that we would send.
    Ours {
        v2: bool,
        client: (bool, u128, u16),
        vip: (bool, u128, u16),
    },
    Anything(Vec<u8>),
}

/// - Who is told to be the client is told by the letter of the specification (sections 2.1 and 2.2), read by the standard
///   library alone.
/// - Not a byte behind a header is read, and never more than 4096.
/// - What we send is read as it was meant.
#[test]
fn proxy_headers() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = std::panic::AssertUnwindSafe(|mut bytes: &[u8]| {
        let result = runtime.block_on(read(&mut bytes));
        (result, bytes.len())
    });
    bolero::check!(name = "proxy_headers").with_generator(produce::<Input>()).for_each(|input| {
        let bytes = input.bytes();
        let (result, left) = read(&bytes);
        let taken = bytes.len() - left;
        assert!(taken <= 4096);
        if let Ok(told) = result {
            let header = &bytes[..taken];
            let expected = if header.starts_with(SIGNATURE) { two(header) } else { one(header) };
            assert_eq!(expected, Some(told), "{header:?}");
        } else {
            assert!(!matches!(input, Input::Ours { .. }), "{result:?}: {bytes:?}");
        }
        if let Input::Ours { client, .. } = input {
            assert_eq!((result.unwrap().map(canonical), left), (Some(canonical(address(*client))), 0));
        }
    });
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Pieces(pieces) => {
                let pieces = pieces.iter().map(|&(piece, byte)| {
                    // Rarely, or no header would be right.
                    let byte = byte.filter(|byte| byte % 8 == 0);
                    [PIECES[usize::from(piece) % PIECES.len()], byte.as_slice()].concat()
                });
                pieces.collect::<Vec<_>>().concat()
            }
            Self::Two(command, family, length, rest) => {
                let length = length.unwrap_or(rest.len() as u16);
                // The right ones are few.
                let command = if command % 4 == 0 { *command } else { 0x20 | command & 1 };
                let family = if family % 4 == 0 { *family } else { (family & 0x30) | 1 };
                [SIGNATURE, &[command, family], &length.to_be_bytes(), rest].concat()
            }
            Self::Ours { v2, client, vip } => {
                let version = if *v2 { ProxyVersion::V2 } else { ProxyVersion::V1 };
                header(version, address(*client), address(*vip)).unwrap()
            }
            Self::Anything(bytes) => bytes.clone(),
        }
    }
}

fn address((is_v4, bits, port): (bool, u128, u16)) -> SocketAddr {
    let ip = if is_v4 { Ipv4Addr::from_bits(bits as u32).into() } else { Ipv6Addr::from_bits(bits).into() };
    SocketAddr::new(ip, port)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The client by a whole header of version 1; the inner `None` if it tells none, the outer if it is not right.
fn one(header: &[u8]) -> Option<Option<SocketAddr>> {
    let line = header.strip_suffix(b"\r\n").filter(|_| header.len() <= 107)?;
    // What follows does not count, be it another word or more of this one.
    if line.starts_with(b"PROXY UNKNOWN") {
        return Some(None);
    }
    let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    match words[..] {
        ["PROXY", family, source, destination, from, to] => {
            let [source, destination]: [IpAddr; 2] = [source.parse().ok()?, destination.parse().ok()?];
            let [from, _]: [u16; 2] = [from.parse().ok()?, to.parse().ok()?];
            let families = (family, source.is_ipv4(), destination.is_ipv4());
            let right = matches!(families, ("TCP4", true, true) | ("TCP6", false, false));
            right.then_some(Some(SocketAddr::new(source, from)))
        }
        _ => None,
    }
}

/// The same of version 2.
fn two(header: &[u8]) -> Option<Option<SocketAddr>> {
    let (fixed, rest) = header.split_at_checked(16)?;
    let length = u16::from_be_bytes([fixed[14], fixed[15]]);
    if rest.len() != usize::from(length) {
        return None;
    }
    match (fixed[12], fixed[13]) {
        (0x20, _) | (0x21, 0) => Some(None),
        (0x21, 0x11) => {
            let (address, ports) = rest.get(..12)?.split_at(8);
            let ip: [u8; 4] = address[..4].try_into().ok()?;
            Some(Some((ip, u16::from_be_bytes([ports[0], ports[1]])).into()))
        }
        (0x21, 0x21) => {
            let (address, ports) = rest.get(..36)?.split_at(32);
            let ip: [u8; 16] = address[..16].try_into().ok()?;
            Some(Some((ip, u16::from_be_bytes([ports[0], ports[1]])).into()))
        }
        _ => None,
    }
}
