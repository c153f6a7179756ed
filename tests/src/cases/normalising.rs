//! Frames that are not plain, and how to make them of plain ones: tags, options, extension headers, fragments.

use etherparse::Ipv4Header;

use super::{Case, Cast, Side, Step, frame};
use crate::Datagram;

/// A VLAN's tag: EtherType, priority 3 and VLAN 100.
pub const TAG: u32 = 0x8100_6064;
/// A provider's.
pub const PROVIDER_TAG: u32 = 0x88A8_0007;

/// The frame with these tags, the outer one first.
pub fn tagged(frame: &[u8], tags: &[u32]) -> Vec<u8> {
    let (macs, rest) = frame.split_at(12);
    let tags: Vec<u8> = tags.iter().flat_map(|tag| tag.to_be_bytes()).collect();
    [macs, &tags, rest].concat()
}

/// The IPv4 packet with so many bytes of options, a multiple of four up to 40, that mean nothing.
pub fn with_options(packet: &[u8], length: usize) -> Vec<u8> {
    let (mut header, payload) = Ipv4Header::from_slice(packet).expect("an IPv4 packet");
    // Of an unknown kind, with bytes that a checksum must not overlook.
    let mut options: Vec<u8> = (0..length as u8).map(|n| n.wrapping_mul(37)).collect();
    options[..2].copy_from_slice(&[0x1E | 0x80, length as u8]);
    header.options = etherparse::Ipv4Options::try_from(&options[..]).expect("options of a right length");
    header.total_len += length as u16;
    written(&mut header, payload)
}

fn written(header: &mut Ipv4Header, payload: &[u8]) -> Vec<u8> {
    header.header_checksum = header.calc_header_checksum();
    let mut packet = Vec::new();
    header.write_raw(&mut packet).expect("memory");
    packet.extend_from_slice(payload);
    packet
}

/// An IPv6 extension header: its type and its bytes, of which the first will say what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension(pub u8, pub Vec<u8>);

impl Extension {
    /// Types (RFC 8200, 4).
    pub const HOP_BY_HOP: u8 = 0;
    /// See [`Self::HOP_BY_HOP`].
    pub const ROUTING: u8 = 43;
    /// See [`Self::HOP_BY_HOP`].
    pub const FRAGMENT: u8 = 44;
    /// See [`Self::HOP_BY_HOP`].
    pub const DESTINATION: u8 = 60;

    /// One of this type with `units` times eight bytes, at least 1; of a routing header no segments are left.
    pub fn new(kind: u8, units: u8) -> Self {
        let mut bytes = vec![0xA5; usize::from(units) * 8];
        bytes[..4].copy_from_slice(&[0, units - 1, 4, 0]);
        Self(kind, bytes)
    }

    /// A routing header with segments left.
    pub fn routing(left: u8) -> Self {
        let mut header = Self::new(Self::ROUTING, 3);
        header.1[3] = left;
        header
    }

    /// A fragment header for what lies `offset` bytes into a datagram.
    pub fn fragment(offset: usize, more: bool, id: u32) -> Self {
        let word = (offset as u16 | u16::from(more)).to_be_bytes();
        Self(Self::FRAGMENT, [&[0, 0], &word[..], &id.to_be_bytes()].concat())
    }
}

/// The IPv6 packet with these extension headers.
pub fn with_extensions(packet: &[u8], extensions: &[Extension]) -> Vec<u8> {
    let (header, payload) = packet.split_at(40);
    let (mut header, mut chain) = (header.to_vec(), Vec::new());
    let mut next = header[6];
    for Extension(kind, bytes) in extensions.iter().rev() {
        chain.splice(..0, [&[next], &bytes[1..]].concat());
        next = *kind;
    }
    header[6] = next;
    let length = u16::from_be_bytes([header[4], header[5]]) + chain.len() as u16;
    header[4..6].copy_from_slice(&length.to_be_bytes());
    [header, chain, payload.to_vec()].concat()
}

/// The packet in pieces of at most `size` bytes behind the headers, a multiple of eight.
pub fn in_pieces(packet: &[u8], id: u32, size: usize) -> Vec<Vec<u8>> {
    let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let pieces = packet[header..].chunks(size).enumerate().map(|(n, piece)| (n * size, piece));
    pieces.map(|(offset, data)| piece(packet, id, offset, data)).collect()
}

/// One fragment of this packet: `data`, `offset` bytes into it. All but what ends where it ends have more to follow.
pub fn piece(packet: &[u8], id: u32, offset: usize, data: &[u8]) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        let (mut header, payload) = Ipv4Header::from_slice(packet).expect("an IPv4 packet");
        header.more_fragments = offset + data.len() < payload.len();
        header.dont_fragment = false;
        header.fragment_offset = ((offset / 8) as u16).try_into().expect("an offset below 65,536");
        header.identification = id as u16;
        header.total_len = (20 + data.len()) as u16;
        return written(&mut header, data);
    }
    let (header, payload) = packet.split_at(40);
    let mut header = header.to_vec();
    header[4..6].copy_from_slice(&(data.len() as u16).to_be_bytes());
    let more = offset + data.len() < payload.len();
    with_extensions(&[&header, data].concat(), &[Extension::fragment(offset, more, id)])
}

pub(super) fn cases(cast: Cast) -> Vec<Case> {
    let mut table = Vec::new();
    let mut case = |what, steps| table.push(Case { what, steps });
    let syn = cast.syn().packet().expect("a segment of ordinary size");
    let question = Datagram::new(cast.client, cast.vip, &[7; 64]).packet().expect("a datagram");
    let answer = Datagram::new(cast.backend, cast.local, &[8; 64]).packet().expect("a datagram");
    let step =
        |packet: &[u8], verdict| Step { side: Side::Front, frame: frame(Side::Front, packet), verdict };
    let with_tags = |tags: &[u32], packet: &[u8], verdict| {
        let step = step(packet, verdict);
        vec![Step { frame: tagged(&step.frame, tags), ..step }]
    };
    case("one tag", with_tags(&[TAG], &syn, "forward"));
    case("two tags", with_tags(&[PROVIDER_TAG, TAG], &syn, "forward"));
    case("three tags", with_tags(&[PROVIDER_TAG, PROVIDER_TAG, TAG], &syn, "pass_not_ip"));
    case("a tag, and no session", {
        let segment = cast.ack(b"data").packet().expect("a segment");
        with_tags(&[TAG], &segment, "drop_no_session")
    });
    case("two tags, and not ours", {
        let mut segment = cast.syn();
        segment.destination = cast.client;
        with_tags(&[TAG, TAG], &segment.packet().expect("a segment"), "pass_not_ours")
    });
    if cast.client.is_ipv4() {
        case("four bytes of options", vec![step(&with_options(&syn, 4), "forward")]);
        case("forty bytes of options", vec![step(&with_options(&question, 40), "forward")]);
        case("options and a tag", with_tags(&[TAG], &with_options(&question, 12), "forward"));
    } else {
        let every =
            [Extension::HOP_BY_HOP, Extension::DESTINATION, Extension::ROUTING, Extension::DESTINATION]
                .map(|kind| Extension::new(kind, 2));
        case("extension headers", vec![step(&with_extensions(&syn, &every), "forward")]);
        case(
            "extension headers and a tag",
            with_tags(&[TAG], &with_extensions(&question, &every), "forward"),
        );
        case("a routing header for another node", {
            vec![step(&with_extensions(&syn, &[Extension::routing(1)]), "drop_extension")]
        });
        case("seven extension headers", {
            vec![step(&with_extensions(&syn, &[0; 7].map(|kind| Extension::new(kind, 1))), "drop_extension")]
        });
        case("an atomic fragment", {
            vec![step(&with_extensions(&question, &[Extension::fragment(0, false, 7)]), "forward")]
        });
        case("a fragment with more headers behind its own", {
            let headers = [Extension::fragment(0, true, 7), every[1].clone()];
            vec![step(&with_extensions(&question, &headers), "drop_extension")]
        });
    }
    let of_two_families = if cast.is_plain() { "forward" } else { "drop_fragment" };
    let pieces = |side, packet: &[u8], verdict| {
        let pieces = in_pieces(packet, 0x0102_0304, 24).into_iter();
        pieces.map(move |piece| Step { side, frame: frame(side, &piece), verdict })
    };
    case("datagrams in pieces, there and back", {
        let whole = step(&question, "forward");
        let there = pieces(Side::Front, &question, of_two_families);
        let back = pieces(Side::Back, &answer, of_two_families);
        [whole].into_iter().chain(there).chain(back).collect()
    });
    if cast.is_plain() {
        case("a datagram in pieces begins a session", pieces(Side::Front, &question, "forward").collect());
        case("tagged pieces", {
            let pieces = pieces(Side::Front, &question, "forward");
            pieces.map(|step| Step { frame: tagged(&step.frame, &[TAG]), ..step }).collect()
        });
    }
    case("a later fragment before the first", {
        pieces(Side::Front, &question, "drop_fragment").skip(1).collect()
    });
    case("pieces of nobody's", {
        let packet = Datagram::new(cast.client, cast.client, &[7; 64]).packet().expect("a datagram");
        pieces(Side::Front, &packet, "pass_not_ours").collect()
    });
    case("a ping in pieces", {
        let mut packet = question.clone();
        let protocol = if cast.client.is_ipv4() { 9 } else { 6 };
        packet[protocol] = if cast.client.is_ipv4() { 1 } else { 58 };
        pieces(Side::Front, &packet, "pass_vip_other").collect()
    });
    if cast.is_plain() {
        case("a fragment over the first", {
            let again = piece(&question, 9, 16, &[7; 16]);
            vec![
                step(&piece(&question, 9, 0, &question[cast.front_header()..][..24]), "forward"),
                step(&again, "drop_fragment"),
            ]
        });
    }
    case("a first fragment of no multiple of eight", {
        let piece = piece(&question, 9, 0, &question[cast.front_header()..][..20]);
        vec![step(&piece, "drop_malformed")]
    });
    case("too big for the way out, there and back", {
        let there = cast.ack(&[7; 1600]).packet().expect("a segment");
        let back = cast.from_backend(|s| s.payload = vec![7; 1600]).packet().expect("a segment");
        let back = Step { side: Side::Back, frame: frame(Side::Back, &back), verdict: "forward" };
        cast.after_handshake([step(&there, "forward"), back])
    });
    case("too big, tagged", {
        let there = cast.ack(&[7; 1600]).packet().expect("a segment");
        cast.after_handshake(with_tags(&[TAG], &there, "forward"))
    });
    table
}
